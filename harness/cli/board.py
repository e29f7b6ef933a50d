"""Commands that run a board: build, flash, infer, bench, profile, virtual."""

from __future__ import annotations

import argparse
import textwrap
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from harness.board.rigfile import RigFile
from harness.cli.profile import show_profile
from harness.cli.report import report_to
from harness.cli.rig import rig_file
from harness.errors import TensorError
from harness.firmware.build import Builder
from harness.firmware.elf import has_symbols, memory_parts
from harness.firmware.memory import memory_table_rows
from harness.link.faults import parse_faults
from harness.measure.baseline import load_baselines
from harness.measure.gate import LatencyVerdict
from harness.measure.tables import LatencyRow
from harness.model.resolve import resolve_model
from harness.outcome import Outcome, worst
from harness.project import find_project, git_commit
from harness.report.summary import summary
from harness.rig.open import (
    OpenBoard,
    RigOptions,
    open_board,
)
from harness.rig.profiling import append_profile
from harness.rig.sessions import Judging, Plan, judged_by, measure_board
from harness.rig.virtual import serve
from harness.terminal import say
from harness.text import table


def _rig_options(options: argparse.Namespace, file: RigFile, board_id: str) -> RigOptions:
    return RigOptions(
        lock_timeout_s=options.lock_timeout,
        runtime=options.runtime,
        port=options.port,
        plugged=file.plugged(board_id),
        neighbours=file.neighbours(board_id),
        flash=options.flash,
        tflm=options.tflm,
        arena_bytes=options.arena,
        check_support=not options.unchecked,
        progress=options.progress,
    )


def _say_what_it_took(opened: OpenBoard) -> None:
    if opened.flash is not None:
        say(f"{opened.declared.id}: {opened.flash}")
    for step in opened.escalations:
        say(f"{opened.declared.id}: {step}")


def build(options: argparse.Namespace) -> int:
    """Build firmware and print where it is and what it takes."""
    project = find_project()
    board = rig_file(options)[1][options.board]
    runtime = board.runtime(options.runtime)
    artifact = resolve_model(options.model, project.artifacts, runtime)
    say(f"building {artifact.name} for {board.id} with {runtime}")
    start = time.monotonic()
    builder = Builder(
        project,
        tflm=options.tflm,
        arena_bytes=options.arena,
        check_support=not options.unchecked,
        progress=options.progress,
    )
    firmware = builder.build(board, runtime, artifact)
    print(f"{firmware.elf}\nbuild id {firmware.build_id}")
    if firmware.library and firmware.arena:
        print(f"TFLM from {firmware.library}, folder {firmware.library.folder or 'of PlatformIO'}")
        print(f"arena {firmware.arena.size_bytes} B: {firmware.arena.source}")
    print(textwrap.fill(f"{firmware.compiler}: {firmware.flags}", 80, break_on_hyphens=False))
    print(f"flash {firmware.flash_bytes} B, RAM {firmware.ram_bytes} B")
    print(memory_table(firmware.elf))
    say(f"{time.monotonic() - start:.1f} s")
    return 0


def memory_table(elf: Path) -> str:
    """What each owner takes, by section; a section in flash and RAM counts in both sums."""
    headings, rows = memory_table_rows(memory_parts(elf))
    note = "" if has_symbols(elf) else "\nthe ELF file has no symbols: nothing is known of owners"
    return table(headings, rows) + note


def flash(options: argparse.Namespace) -> int:
    """Build and upload, whatever the board runs, and see that it answers as the very build."""
    project = find_project()
    file, registry = rig_file(options)
    board = registry[options.board]
    if board.emulated:
        say(f"{board.id} is emulated: it gets its firmware whenever it starts; nothing to upload")
        return 0
    artifact = resolve_model(options.model, project.artifacts)
    say(f"{board.id}: build {artifact.name}, upload, greet")
    with open_board(board, artifact, project, _rig_options(options, file, board.id)) as opened:
        _say_what_it_took(opened)
        print(f"{board.id} at {opened.port} runs build {opened.dut.hello.build_id.hex()}")
    return 0


def infer(options: argparse.Namespace) -> int:
    """Invoke the model once on a board with the numbers given, in the model's own unit."""
    project = find_project()
    file, registry = rig_file(options)
    board = registry[options.board]
    runtime = board.runtime(options.runtime)
    artifact = resolve_model(options.model, project.artifacts, runtime)
    spec = artifact.inputs[0]
    if len(options.values) != spec.elements:
        raise TensorError(f"model {artifact.name} takes {spec.elements} number(s) per inference")
    with open_board(board, artifact, project, _rig_options(options, file, board.id)) as opened:
        _say_what_it_took(opened)
        values = np.array(options.values, dtype=np.float32)
        outputs = opened.dut.infer_real(values)
        print(" ".join(f"{value:.6g}" for value in outputs.ravel()))
    return 0


def bench(options: argparse.Namespace) -> int:
    """Compare and measure boards, append to the CSV, print the summary."""
    project = find_project()
    file, registry = rig_file(options)
    plan = Plan(
        samples=options.samples,
        sessions=options.sessions,
        csv=options.csv,
        commit=git_commit(project.root),
        judge=_judge(options),
    )
    rows = []
    asked = (options.runtime or "").split(",")
    for board_id, name in product(options.board, asked):
        board = registry[board_id]
        runtime = board.runtime(name or None)
        artifact = resolve_model(options.model, project.artifacts, runtime)
        say(
            f"{board_id}, {runtime}: build, start, compare, {options.sessions} x {options.samples} "
            "timed invokes"
        )
        chosen = replace(_rig_options(options, file, board_id), runtime=runtime)
        with open_board(board, artifact, project, chosen) as opened:
            _say_what_it_took(opened)
            row = measure_board(opened, plan).run
            rows.append(row)
            if row.verdict != "pass":
                say(str(opened.comparison()))
        if options.profile and board.attachment != "virtual" and row.run is not None:
            say(f"{board_id}, {runtime}: build to be profiled")
            append_profile(board, artifact, project, chosen, run=row.run, csv=options.csv)
    print(summary(rows, options.csv))
    if options.report is not None:
        runs = {row.run for row in rows if row.run is not None}
        report_to(options.report, options.csv, runs=runs, progress=options.progress)
    return worst(_outcome(row) for row in rows).exit_status


def _judge(options: argparse.Namespace) -> Judging | None:
    if options.baseline is None:
        return None
    baselines = load_baselines(options.baseline)
    for note in baselines.notes:
        say(note)
    return judged_by(baselines, track=options.track)


def _outcome(row: LatencyRow) -> Outcome:
    if row.verdict != "pass":
        return Outcome.WRONG
    return Outcome.SLOW if row.baseline_verdict == LatencyVerdict.SLOWER.value else Outcome.PASSED


def profile(options: argparse.Namespace) -> int:
    """Show where an inference on a board spends its time, operator by operator."""
    project = find_project()
    file, registry = rig_file(options)
    board = registry[options.board]
    runtime = board.runtime(options.runtime)
    artifact = resolve_model(options.model, project.artifacts, runtime)
    say(f"{board.id}, {runtime}: build to be profiled, start, {options.n} invokes")
    chosen = replace(_rig_options(options, file, board.id), profile=True)
    with open_board(board, artifact, project, chosen) as opened:
        _say_what_it_took(opened)
        return show_profile(opened, n=options.n, difference=options.first_difference)


def virtual(options: argparse.Namespace) -> int:
    """Serve the virtual board on a pty until interrupted; prints its port."""
    artifact = resolve_model(options.model, find_project().artifacts)
    serve(artifact, parse_faults(options.faults))
    return 0
