"""Command line: `hil COMMAND`; `hil --help` lists them. Here are those that run a board."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import FrameType

import numpy as np

import harness
from harness.board.registry import RUNTIMES
from harness.board.rigfile import RigFile
from harness.cli_baseline import register as register_baseline
from harness.cli_models import register as register_models
from harness.cli_profile import show_profile
from harness.cli_report import register as register_report
from harness.cli_report import report_to
from harness.cli_rig import register as register_rig
from harness.cli_rig import rig_file, rig_option
from harness.errors import HilError, ModelError, ReportError, TensorError, UnknownName
from harness.firmware.build import Builder
from harness.firmware.elf import has_symbols, memory_parts
from harness.firmware.memory import memory_rows
from harness.link.faults import Faults, parse_faults
from harness.measure.baseline import load_baselines
from harness.measure.gate import Verdict
from harness.measure.tables import LatencyRow
from harness.model.resolve import resolve_model
from harness.outcome import Outcome, of_error, worst
from harness.project import find_project, git_commit
from harness.report.summary import summary
from harness.rig.open import (
    DEFAULT_CSV,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MODEL,
    DEFAULT_SAMPLES,
    FLASH,
    OpenBoard,
    RigOptions,
    open_board,
)
from harness.rig.profiling import DEFAULT_RUNS, append_profile
from harness.rig.sessions import Judge, Plan, judged_by, record
from harness.rig.virtual import serve
from harness.terminal import progress_on, say
from harness.text import table

EXIT_USAGE = 2
EPILOG = """\
exit status: 0 all is well; 1 wrong numbers, or anything else that failed; 2 wrong use, or a model
that cannot be used; 10 the rig or a board is sick; 11 a board runs other firmware; 12 too slow;
130 interrupted; 143 terminated. More in docs/outcomes.md
"""


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
        say(f"{opened.board.id}: {opened.flash}")
    for step in opened.escalations:
        say(f"{opened.board.id}: {step}")


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
    headings, rows = memory_rows(memory_parts(elf))
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
            row = record(opened, plan).run
            rows.append(row)
            if row.verdict != "pass":
                say(str(opened.comparison))
        if options.profile and board.attachment != "virtual" and row.run is not None:
            say(f"{board_id}, {runtime}: build to be profiled")
            append_profile(board, artifact, project, chosen, run=row.run, csv=options.csv)
    print(summary(rows, options.csv))
    if options.report is not None:
        runs = {row.run for row in rows if row.run is not None}
        report_to(options.report, options.csv, runs=runs, progress=options.progress)
    return worst(_outcome(row) for row in rows).exit_status


def _judge(options: argparse.Namespace) -> Judge | None:
    if options.baseline is None:
        return None
    baselines = load_baselines(options.baseline)
    for note in baselines.notes:
        say(note)
    return judged_by(baselines, track=options.track)


def _outcome(row: LatencyRow) -> Outcome:
    if row.verdict != "pass":
        return Outcome.WRONG
    return Outcome.SLOW if row.baseline_verdict == Verdict.SLOWER.value else Outcome.PASSED


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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hil",
        description=harness.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hil {harness.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        made = commands.add_parser(run.__name__, help=text.split("\n")[0], description=text)
        made.set_defaults(run=run)
        return made

    register_rig(command)
    register_models(command)
    for run in (build, flash, infer, bench, profile):
        sub = command(run)
        rig_option(sub)
        several = {"nargs": "+"} if run is bench else {}
        default = ["qemu-m4"] if run is bench else "qemu-m4"
        sub.add_argument("--board", default=default, metavar="ID", **several)  # type: ignore[arg-type]
        sub.add_argument(
            "--model", default=DEFAULT_MODEL, metavar="NAME", help="name, folder or file"
        )
        sub.add_argument("--runtime", metavar="ID", help=" or ".join(RUNTIMES))
        sub.add_argument(
            "--tflm",
            type=lambda text: Path(text).resolve(),
            default=os.environ.get("HIL_TFLM") or None,
            metavar="DIR",
            help="TFLM library to build with, for rigs without a network [$HIL_TFLM]",
        )
        sub.add_argument(
            "--arena", type=_positive, metavar="BYTES", help="capacity of the tflm arena"
        )
        sub.add_argument(
            "--unchecked",
            action="store_true",
            help="build models also where the runtime is known to compute them wrongly",
        )
        if run is not build:
            sub.add_argument("--port", help="where the board is, if not where it usually is")
            sub.add_argument(
                "--lock-timeout", type=float, default=DEFAULT_LOCK_TIMEOUT_S, metavar="S"
            )
        if run is flash:
            sub.set_defaults(flash="always")
        if run in (infer, bench, profile):
            sub.add_argument(
                "--flash", choices=FLASH, default=FLASH[0], help="upload if it runs another build"
            )
        if run is infer:
            sub.add_argument("values", nargs="+", type=float, help="one number per input element")
        if run is profile:
            sub.add_argument("--n", type=_positive, default=DEFAULT_RUNS, help="invokes to observe")
            sub.add_argument(
                "--first-difference",
                action="store_true",
                help="also name the first operator whose output is not that of TFLM on the host",
            )
        if run is bench:
            sub.add_argument("--samples", type=_positive, default=DEFAULT_SAMPLES, metavar="N")
            sub.add_argument("--sessions", type=_positive, default=1, metavar="N")
            sub.add_argument("--csv", type=Path, default=DEFAULT_CSV)
            sub.add_argument(
                "--profile", action="store_true", help="profile every operator, in another build"
            )
            sub.add_argument("--report", type=Path, metavar="FILE", help="HTML page of these runs")
            sub.add_argument("--baseline", type=Path, metavar="FILE", help="CSV to compare with")
            sub.add_argument(
                "--track", action="store_true", help="compare models by name, retrained or not"
            )
    serving = command(virtual)
    serving.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME")
    serving.add_argument(
        "--faults", default="", help=f"such as flip=0.01&hang_after=20. {Faults.__doc__}"
    )
    register_baseline(command)
    register_report(command)
    return parser


@contextmanager
def _orderly_termination() -> Iterator[None]:
    """SIGTERM, as of a cancelled job, unwinds the program: locks and emulators are let go."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `hil`."""
    options = _parser().parse_args(arguments)
    try:
        with _orderly_termination(), progress_on(sys.stderr) as options.progress:
            status: int = options.run(options)
            return status
    except HilError as error:
        print(f"hil: {error}", file=sys.stderr)
        return _exit_status(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does. Nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _exit_status(error: HilError) -> int:
    if isinstance(error, UnknownName | ModelError | TensorError | ReportError):
        return EXIT_USAGE
    return of_error(error, on_board=True).exit_status


if __name__ == "__main__":
    sys.exit(main())
