"""Commands that run a board: build, flash, infer, bench, profile, virtual."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness import settings
from harness.bisect.status import status_of_error, status_of_row, worst_of
from harness.board.registry import load_registry
from harness.board.runtimes import TFLM
from harness.cli.command import Command, errors_noted, exit_status, worst_status
from harness.cli.cycles import add_options as add_cycle_options
from harness.cli.cycles import show_cycles
from harness.cli.energy import Asked, asked_for, refuse_without_meter
from harness.cli.machine import add_json, error_object, print_json
from harness.cli.profile import (
    run_alone,
    say_how_to_attribute,
    show_functions,
    show_profile,
    what_is_measured,
)
from harness.cli.report import report_to
from harness.cli.settings import add_settings, refuse_several, sources_of
from harness.cli.work import (
    Work,
    by_board,
    keeping,
    on_what_was_flashed,
    one_firmware,
    one_work,
    runnable,
    sharing,
    works,
)
from harness.errors import HilError, NotKept, TensorError, WrongUse
from harness.files import refuse_overwriting
from harness.firmware.build import Builder, Firmware
from harness.firmware.elf import has_symbols, memory_parts
from harness.firmware.memory import memory_table_rows
from harness.firmware.verdict import refuse_unrunnable
from harness.link.answers import Inference
from harness.link.faults import Faults, parse_faults
from harness.measure.baseline import load_baselines
from harness.measure.by_core import as_text as cores_text
from harness.measure.by_core import by_core, compared
from harness.measure.findings import findings
from harness.measure.gate import LatencyVerdict
from harness.measure.latency import MOST_INVOKES
from harness.measure.operator_gate import with_profiles
from harness.measure.place import check_place, inputs_of
from harness.measure.runs import Baselines
from harness.measure.tables import RAM, LatencyRow, OperatorRow
from harness.model.resolve import resolve_model
from harness.model.samples import Layout, to_reals
from harness.model.tensor import TensorSpec
from harness.outcome import Outcome
from harness.project import find_project, git_commit
from harness.report.energy import energy_summary
from harness.report.operators import summary_of_rows
from harness.report.output import check_output
from harness.report.summary import summary
from harness.rig.functions import append_functions
from harness.rig.metering import BoardMeter
from harness.rig.open import OpenBoard
from harness.rig.profiling import DEFAULT_RUNS, ProfilePlan, append_profile
from harness.rig.recovery import Attempt
from harness.rig.sessions import Plan, judged_by, measure_board
from harness.rig.virtual import BOARD_ID, serve
from harness.settings import Sources
from harness.terminal import say
from harness.text import table


def _say_what_it_took(opened: OpenBoard) -> None:
    if opened.flash is not None:
        say(f"{opened.declared.id}: {opened.flash}")
    for step in opened.escalations:
        say(f"{opened.declared.id}: {step}")


def build(options: argparse.Namespace) -> int:
    """Build firmware and print its path, size and memory by owner."""
    work = one_work(options)
    say(f"building {work.artifact.name} for {work.board.id} with {work.runtime}")
    start = time.monotonic()
    builder = Builder(
        work.project,
        tflm=work.options.tflm,
        arena_bytes=work.options.arena_bytes,
        check_support=work.options.check_support,
        progress=work.options.progress,
        marking=work.options.marking,
    )
    firmware = builder.build(work.board, work.runtime, work.artifact)
    if options.json:
        print_json("build", _build_object(work, firmware))
        return 0
    print(f"{firmware.elf}\nbuild id {firmware.build_id}")
    if firmware.library and firmware.arena:
        print(f"TFLM from {firmware.library}, folder {firmware.library.folder or 'of PlatformIO'}")
        print(f"arena {firmware.arena.size_bytes} B: {firmware.arena.source}")
    print(textwrap.fill(f"{firmware.compiler}: {firmware.flags}", 80, break_on_hyphens=False))
    print(f"flash {firmware.flash_bytes} B, RAM {firmware.ram_bytes} B")
    print(memory_table(firmware.elf))
    say(f"{time.monotonic() - start:.1f} s")
    return 0


def _build_object(work: Work, firmware: Firmware) -> dict[str, Any]:
    library, arena = firmware.library, firmware.arena
    return {
        "board": work.board.id,
        "runtime": firmware.runtime,
        "model": work.artifact.name,
        "elf": firmware.elf,
        "build_id": firmware.build_id,
        "library": None if library is None else str(library),
        "library_folder": None if library is None else library.folder,
        "arena_bytes": None if arena is None else arena.size_bytes,
        "arena_source": None if arena is None else arena.source,
        "compiler": firmware.compiler,
        "flags": firmware.flags,
        "flash_bytes": firmware.flash_bytes,
        "ram_bytes": firmware.ram_bytes,
        "memory": memory_parts(firmware.elf),
    }


def memory_table(elf: Path) -> str:
    """What each owner takes, by section; a section in flash and RAM counts in both sums."""
    headings, rows = memory_table_rows(memory_parts(elf))
    note = "" if has_symbols(elf) else "\nthe ELF file has no symbols: nothing is known of owners"
    return table(headings, rows) + note


def flash(options: argparse.Namespace) -> int:
    """Build firmware, upload it, and check that the board answers with this build.

    Several models share a firmware, to which they are brought over the link.
    """
    asked = one_firmware(options)
    work, models = asked[0], [work.artifact.name for work in asked]
    said: dict[str, Any] = {"board": work.board.id, "port": None, "build_id": None}
    if not work.board.takes_uploads:
        say(f"{work.board.id} is emulated: it starts with its firmware; nothing to upload")
        if options.json:
            print_json("flash", said | {"models": []})
        return 0
    say(f"{work.board.id}, {work.runtime}, {', '.join(models)}: build, upload, greet")
    with work.open(flash="always") as opened:
        _say_what_it_took(opened)
        runs = opened.dut.hello.build_id.hex()
        taken = models if opened.model_in == RAM else []
        if options.json:
            said |= {"port": opened.port, "build_id": runs, "models": taken}
            print_json("flash", said)
        else:
            takes = f", which takes {', '.join(taken)}" if taken else ""
            print(f"{work.board.id} at {opened.port} runs build {runs}{takes}")
    return 0


def infer(options: argparse.Namespace) -> int:
    """Invoke the model once on a board with the numbers given, in the model's own unit.

    All inputs' numbers, one tensor after the other in the model's order. To a board whose firmware
    takes the model, by `hil flash` or a run before, it is brought.
    """
    work = on_what_was_flashed(one_work(options), sources_of(options)[settings.SWAP])
    takes = Layout(specs=work.artifact.inputs)
    if len(options.values) != takes.elements:
        raise TensorError(
            f"model {work.artifact.name} takes {takes.elements} number(s) per inference, "
            f"got {len(options.values)}: {takes}"
        )
    with work.open() as opened:
        _say_what_it_took(opened)
        sample = takes.from_bytes(takes.from_numbers(np.array(options.values)))
        answered = opened.dut.infer(sample)
        if options.json:
            outputs = list(_output_objects(answered))
            print_json("infer", what_is_measured(opened) | {"outputs": outputs})
            return 0
        for line in _answers(answered):
            print(line)
    return 0


def _answers(answered: Inference) -> Iterator[str]:
    """The outputs in the model's unit; of several, a line for each that begins with its name."""
    for name, _, values in _outputs(answered):
        numbers = " ".join(
            f"{value:{'d' if isinstance(value, int) else '.6g'}}" for value in values
        )
        yield numbers if len(answered.layout.specs) == 1 else f"{name}: {numbers}"


def _output_objects(answered: Inference) -> Iterator[dict[str, Any]]:
    for name, spec, values in _outputs(answered):
        yield {"name": name, "dtype": spec.dtype, "shape": spec.shape, "values": values}


def _outputs(answered: Inference) -> Iterator[tuple[str, TensorSpec, list[int | float]]]:
    """Name, spec and values in the model's unit of each output."""
    layout = answered.layout
    for name, spec, column in zip(
        layout.names, layout.specs, layout.columns(answered.samples), strict=True
    ):
        whole = not spec.quantized and spec.dtype != "float32"
        reals = column.astype(int) if whole else to_reals(column, spec)
        yield name, spec, reals.ravel().tolist()


def bench(options: argparse.Namespace) -> int:
    """Compare and measure boards, append to the CSV, print the summary.

    A board that breaks, or a model that it cannot run, stops neither the others nor the summary and
    the report.
    """
    if options.bisect and options.json:
        raise WrongUse("--bisect answers by its exit status; take it without --json")
    if not options.bisect:
        return worst_status(_bench(options, exit_status, lambda row: _outcome(row).exit_status))
    statuses: list[int] = []
    with errors_noted(statuses, status_of_error):
        statuses += _bench(options, status_of_error, status_of_row)
    return worst_of(statuses)


def _bench(
    options: argparse.Namespace,
    of_error: Callable[[HilError], int],
    of_row: Callable[[LatencyRow], int],
) -> list[int]:
    """Measure, and return an exit status for each row and each error."""
    sources = sources_of(options)
    profiled, report = sources[settings.PROFILE], sources[settings.REPORT]
    by_function = sources[settings.FUNCTIONS]
    check_place(sources[settings.CSV])
    check_output(report, "--report", _files_of(sources))
    judging = _judging(sources)
    plan = _plan(sources, judging)
    energy = asked_for(sources, plan.commit)
    asked = works(sources, options.progress)
    if energy is not None:
        refuse_without_meter(asked)
    rows: list[LatencyRow] = []
    operators: list[OperatorRow] = []
    statuses: list[int] = []
    errors: list[HilError] = []
    of_error = partial(_noted, errors, of_error)
    kept = True
    ran = runnable(asked, statuses, of_error)

    def measure(work: Work) -> None:
        nonlocal kept
        try:
            _measure(work, plan, rows, energy)
        except NotKept:
            kept = False
            raise
        if profiled:
            profile_plan = ProfilePlan(
                row=rows[-1],
                csv=plan.csv,
                sessions=plan.sessions,
                baselines=judging,
                track=sources[settings.TRACK],
            )
            _append_profile(work, profile_plan, operators)
        if by_function:
            _append_functions(work, rows[-1], plan.csv)

    for group in by_board(sharing(ran, sources[settings.SWAP], judging)):
        # Nobody gets in between two models, or a measurement and its profile.
        kept_for = keeping(group, profiled=profiled, metered=energy is not None)
        with errors_noted(statuses, of_error), kept_for as held:
            for work in held:
                with errors_noted(statuses, of_error):
                    measure(work)
    statuses += map(of_row, rows)
    if not options.json:
        _print_summary(rows, operators, plan.csv if kept else None)
    if energy is not None and energy.rows:
        statuses += [Outcome.HUNGRY.exit_status] if energy.more else []
        if not options.json:
            print(energy_summary(energy.rows))
    if operators:
        slower = any(row.verdict == LatencyVerdict.SLOWER.value for row in operators)
        statuses += [Outcome.SLOW.exit_status] if slower else []
    runs = {row.run for row in rows if row.run is not None}
    if report is not None and runs:
        with errors_noted(statuses, of_error):
            report_to(report, plan.csv, runs=runs, progress=options.progress)
            (say if options.json else print)(str(report))
    if options.json:
        content = {
            "csv": plan.csv if kept else None,
            "rows": rows,
            "cores": compared(by_core(rows)),
            "operators": operators,
            "energies": energy.rows if energy else [],
            "errors": list(map(error_object, errors)),
        }
        print_json("bench", content)
    return statuses


def _noted(errors: list[HilError], status_of: Callable[[HilError], int], error: HilError) -> int:
    errors.append(error)
    return status_of(error)


def _print_summary(
    rows: Sequence[LatencyRow], operators: Sequence[OperatorRow], csv: Path | None
) -> None:
    if rows:
        print(summary(rows, csv))
    if cores := compared(by_core(rows)):
        print(cores_text(cores))
    if operators:
        print(summary_of_rows(operators))


def _files_of(sources: Sources) -> list[Path]:
    """What a run appends to and reads."""
    others = (sources[settings.BASELINE], sources[settings.RIG])
    return [*inputs_of(sources[settings.CSV]), *(path for path in others if path is not None)]


def _plan(sources: Sources, judging: Baselines | None) -> Plan:
    return Plan(
        samples=sources[settings.SAMPLES],
        sessions=sources[settings.SESSIONS],
        csv=sources[settings.CSV],
        commit=git_commit(find_project().root),
        judge=None if judging is None else judged_by(judging, track=sources[settings.TRACK]),
    )


def _measure(work: Work, plan: Plan, rows: list[LatencyRow], energy: Asked | None) -> None:
    """Measure a board and add the row of the run, also of one that no file could take.

    Its energy comes last: what goes wrong with that costs no row.
    """
    say(f"{work}: build, start, compare, {plan.sessions} x {_count(plan)} timed invokes")
    options = work.options
    with (
        BoardMeter(options.plugged, work.board.id, supplies=options.supplies) as meter,
        ExitStack() as stack,
    ):
        if energy is not None:
            # The board first: a run that keeps it may come for the meter again.
            stack.enter_context(work.hold())
            meter.begin()
        opened = stack.enter_context(work.open())
        _say_what_it_took(opened)
        try:
            watched = replace(plan, recovered=partial(_say_recovered, opened))
            rows.append(measure_board(opened, watched).run)
        except NotKept as error:
            rows += (row for row in error.rows if isinstance(row, LatencyRow))
            raise
        finally:
            if rows and rows[-1].session == opened.session and rows[-1].verdict != "pass":
                say(str(opened.comparison()))
                say_how_to_attribute(work, opened)
        if energy is not None:
            energy.measure(opened, meter, rows[-1])


def _count(plan: Plan) -> str:
    return f"up to {MOST_INVOKES}" if plan.samples is None else str(plan.samples)


def _say_recovered(opened: OpenBoard, error: HilError, steps: tuple[Attempt, ...]) -> None:
    say(f"{opened.declared.id}: recovered after {error.what}: {'; '.join(map(str, steps))}")


def _append_profile(work: Work, plan: ProfilePlan, operators: list[OperatorRow]) -> None:
    """Profile what was measured, and add the verdicts on its operators."""
    if work.board.attachment == "virtual" or plan.row.run is None:
        return
    say(f"{work}: build to be profiled")
    found = append_profile(work.board, work.artifact, work.project, work.options, plan)
    operators += found.operators


def _append_functions(work: Work, row: LatencyRow, csv: Path) -> None:
    if not work.counts_functions:
        say(f"{work}: functions are counted on QEMU's boards only")
        return
    if row.run is None:
        return
    say(f"{work}: count an invoke by function")
    options = work.options
    found = append_functions(work.board, work.artifact, work.project, options, run=row.run, csv=csv)
    for text in findings(found.functions, found.calls):
        say(text)


def _judging(sources: Sources) -> Baselines | None:
    """The baselines asked for; with their profiles where operators are profiled."""
    baseline = sources[settings.BASELINE]
    if baseline is None:
        return None
    baselines = load_baselines(baseline)
    if sources[settings.PROFILE]:
        baselines = with_profiles(baselines, baseline)
    for note in baselines.notes:
        say(note)
    return baselines


def _outcome(row: LatencyRow) -> Outcome:
    if row.verdict != "pass":
        return Outcome.WRONG
    return Outcome.SLOW if row.baseline_verdict == LatencyVerdict.SLOWER.value else Outcome.PASSED


def profile(options: argparse.Namespace) -> int:
    """Show where an inference on a board spends its time, operator by operator.

    With --functions on one of QEMU's boards: function by function, in exact instructions. With
    --estimate-cycles there: what that might come to on a real core, which is an estimate.
    """
    work = one_work(options)
    if options.estimate_cycles:
        return _cycles(work, options)
    if options.save_operator:
        refuse_overwriting(options.save_operator, "--save-operator", [work.artifact.path])
        if not options.first_difference:
            raise WrongUse("--save-operator keeps the one that differs: add --first-difference")
    if options.core or options.wait_states:
        raise WrongUse("--core and --wait-states are of an estimate: add --estimate-cycles")
    if work.board.attachment == "virtual" and not options.functions:
        raise WrongUse(
            "the virtual board cannot be profiled: TFLM's Python package runs whole models only",
            hint="Take an emulated board: hil profile --board qemu-m4",
        )
    if options.functions:
        return _functions(work, options)
    count = options.n or DEFAULT_RUNS
    say(f"{work}: build to be profiled, start, {count} invokes")
    with work.open(profile=True) as opened:
        _say_what_it_took(opened)
        return show_profile(
            opened,
            n=count,
            difference=options.first_difference,
            as_json=options.json,
            alone=partial(run_alone, work, options.save_operator),
        )


def _functions(work: Work, options: argparse.Namespace) -> int:
    if options.first_difference or options.n:
        raise WrongUse(
            "--functions counts one invoke of the firmware that is measured; --n and "
            "--first-difference are for the build that times operators",
            hint="Run hil profile twice.",
        )
    say(f"{work}: build, start, one invoke")
    with work.open(functions=True) as opened:
        return show_functions(opened, as_json=options.json)


def _cycles(work: Work, options: argparse.Namespace) -> int:
    if options.functions or options.first_difference or options.n:
        raise WrongUse(
            "--estimate-cycles is printed alone, without --functions, --n and --first-difference",
            hint="Run hil profile twice.",
        )
    say(f"{work}: build, start, one invoke")
    return show_cycles(work, options)


def virtual(options: argparse.Namespace) -> int:
    """Serve the virtual board on a pty until interrupted or terminated; prints its port."""
    sources = sources_of(options)
    refuse_several(sources, settings.MODEL)
    (model,) = sources[settings.MODEL]
    artifact = resolve_model(model, find_project().artifacts)
    refuse_unrunnable(artifact, load_registry()[BOARD_ID], TFLM)
    serve(artifact, parse_faults(options.faults))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def register(command: Command) -> None:
    """Hook the commands in."""
    for run in (build, flash):
        parser = command(run)
        add_settings(parser, run.__name__)
        add_json(parser)
    _register_bench(command(bench))
    _register_infer(command(infer))
    _register_profile(command(profile))
    _register_virtual(command(virtual))


def _register_bench(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "bench")
    add_json(parser)
    parser.add_argument(
        "--bisect",
        action="store_true",
        help="exit status for git bisect run: 0 good, 1 wrong or slower, 125 cannot be judged, "
        "255 wrong use",
    )


def _register_infer(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "infer")
    add_json(parser)
    parser.add_argument("values", nargs="+", type=float, help="one number per input element")


def _register_profile(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "profile")
    parser.add_argument("--n", type=_positive, help=f"invokes to observe; default {DEFAULT_RUNS}")
    parser.add_argument(
        "--functions",
        action="store_true",
        help="the instructions of each function of one invoke, on QEMU's boards",
    )
    add_json(parser)
    parser.add_argument(
        "--first-difference",
        action="store_true",
        help="also name the first operator whose output is not that of TFLM on the host, and run "
        "it alone",
    )
    parser.add_argument(
        "--save-operator",
        type=Path,
        metavar="FILE",
        help="with --first-difference: keep a model of that operator alone",
    )
    add_cycle_options(parser)


def _register_virtual(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "virtual")
    parser.add_argument(
        "--faults", default="", help=f"such as flip=0.01&hang_after=20. {Faults.__doc__}"
    )
