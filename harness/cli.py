"""Command line: `hil COMMAND`; `hil --help` lists them."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
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
from harness.arena import plan_arena
from harness.artifact import list_models
from harness.baseline import load_baselines
from harness.board import RUNTIMES, Board, Registry, load_registry
from harness.build import Builder
from harness.cli_baseline import register as register_baseline
from harness.cli_profile import show_profile
from harness.cli_report import register as register_report
from harness.cli_report import report_to
from harness.console import progress_on, say
from harness.doctor import examine
from harness.errors import HilError, ModelError, ReportError, RigError, TensorError, UnknownName
from harness.faults import Faults, parse_faults
from harness.fit import shortage
from harness.footprint import memory_rows
from harness.gate import Verdict
from harness.layers import save_pictures
from harness.memory import has_symbols, memory_parts
from harness.outcome import Outcome, of_error, worst
from harness.ports import (
    WATCH_S,
    Listing,
    SerialPort,
    candidates,
    changes,
    in_bootloader,
    kind_of,
    list_serial_ports,
    rig_lines,
)
from harness.profiling import DEFAULT_RUNS, append_profile
from harness.project import Project, find_project
from harness.ptyboard import serve
from harness.record import Judge, Plan, judged_by, record
from harness.reference import resolve_model
from harness.report import LatencyRow, table
from harness.rig import (
    DEFAULT_CSV,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MODEL,
    DEFAULT_SAMPLES,
    FLASH,
    OpenBoard,
    RigOptions,
    git_commit,
    open_board,
)
from harness.rigcheck import examine_rig
from harness.rigfile import Plugged, RigFile, job_matrix, load_rig
from harness.summary import summary
from harness.udev import udev_rules

EXIT_USAGE = 2
EPILOG = """\
exit status: 0 all is well; 1 wrong numbers, or anything else that failed; 2 wrong use, or a model
that cannot be used; 10 the rig or a board is sick; 11 a board runs other firmware; 12 too slow;
130 interrupted; 143 terminated. More in docs/outcomes.md
"""


def _rig_path(options: argparse.Namespace) -> Path | None:
    path = options.rig or os.environ.get("HIL_RIG")
    return Path(path) if path else None


def _rig_file(options: argparse.Namespace) -> tuple[RigFile, Registry]:
    """The rig file (--rig, $HIL_RIG), and the registry with its boards."""
    registry = load_registry()
    file = load_rig(_rig_path(options), registry)
    return file, file.extend(registry)


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


def doctor(options: argparse.Namespace) -> int:
    """Print every point with its cure; fails if something needed is missing."""
    project = find_project()
    findings = examine(project)
    tflm = Path(options.tflm) if options.tflm else None
    findings += examine_rig(_rig_path(options), load_registry(), project, tflm)
    for finding in findings:
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "absent"
        print(f"{mark:8}{finding.point}: {finding.detail}")
        if not finding.ok and finding.cure:
            cure = finding.cure.replace("\n", "\n           ")
            print(f"        -> {cure}")
    sick = any(not item.ok and item.needed for item in findings)
    return (Outcome.SICK if sick else Outcome.PASSED).exit_status


def boards(options: argparse.Namespace) -> int:
    """List the boards of registry and rig file, where each is plugged in, and unknown ports."""
    file, registry = _rig_file(options)
    if options.matrix:
        print(job_matrix(file))
        return 0
    if options.watch:
        return _watch(registry)
    listing = list_serial_ports()
    rows, known = [], set()
    for board in registry.boards:
        place, ports = _whereabouts(board, file, listing)
        known |= {port.path for port in ports}
        rows.append((board.id, board.attachment, "/".join(board.runtimes), board.mcu, place))
    print(table(("board", "attachment", "runtimes", "mcu", "port"), rows))
    for port in listing:
        if port.usb is not None and port.path not in known:
            print(f"unknown: {port}")
    return 0


def _whereabouts(board: Board, file: RigFile, listing: Listing) -> tuple[str, Listing]:
    """Where a board is, in words, and the ports that could be it."""
    if board.emulated:
        return "-", ()
    plugged = file.plugged(board.id) or Plugged(id=board.id, kind=board.kind)
    found = candidates(board, plugged, listing, neighbours=file.neighbours(board.id))
    if len(found) == 1:
        note = " (in its bootloader)" if in_bootloader(board, found[0]) else ""
        return f"{found[0].path}{note}", found
    if found:
        return f"one of {', '.join(port.path for port in found)}", found
    if plugged.port is not None and ("://" in plugged.port or Path(plugged.port).exists()):
        return plugged.port, ()
    return "absent", ()


def _watch(registry: Registry) -> int:
    before: Listing = ()
    say("watching serial ports; Ctrl-C ends")
    while True:
        listing = list_serial_ports()
        for event, port in changes(before, listing):
            print(f"{event:10}{port}", flush=True)
            if event == "plugged" and port.usb is not None:
                print(_suggestion(port, listing, registry), flush=True)
        before = listing
        time.sleep(WATCH_S)


def _suggestion(port: SerialPort, listing: Listing, registry: Registry) -> str:
    kind = kind_of(port, registry.boards)
    if kind is not None and in_bootloader(kind, port):
        return f"a {kind.id} in its bootloader: hil flash --board {kind.id} --port {port.path}"
    board_id, kind_id = (kind.id, kind.id) if kind else ("NAME", "KIND")
    return rig_lines(board_id, kind_id, port, listing)


def udev(options: argparse.Namespace) -> int:
    """Print udev rules for the boards of the registry; docs/rig.md says where they go."""
    print(udev_rules(load_registry()), end="")
    return 0


def models(options: argparse.Namespace) -> int:
    """List models: size, MACs and arena of the int8 form, and the boards that it fits."""
    project = find_project()
    registry = load_registry()
    rows, notes = [], []
    for name in list_models(project.artifacts):
        try:
            artifact = resolve_model(name, project.artifacts)
        except ModelError as error:
            notes.append(str(error))
            continue
        arena = plan_arena(artifact).size_bytes
        size = len(artifact.content)
        short = {
            board.id: shortage(board, model_bytes=size, arena_bytes=arena)
            for board in registry.boards
        }
        fitting = [board_id for board_id, lacking in short.items() if lacking is None]
        fits = "all" if len(fitting) == len(short) else f"{len(fitting)} of {len(short)}"
        rows.append((name, str(size), str(artifact.macs), str(arena), fits))
        notes += [f"{name} does not fit {id_}: {lack}" for id_, lack in short.items() if lack]
    print(table(("model", "bytes", "MACs", "arena", "boards"), rows))
    print("\n".join([*notes, *_untrained(project)]))
    return 0


def _untrained(project: Project) -> list[str]:
    """Models that a recipe declares and nobody trained, and how to; none without a checkout."""
    if not (project.root / "models" / "__main__.py").is_file():
        return []
    command = [sys.executable, "-m", "models", "list", "--ids"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=True)
    trained = list_models(project.artifacts)
    declared = [line.split(" ") for line in done.stdout.splitlines()]
    return [
        f"{model} is not trained here: hil train {recipe} --variant {variant}"
        for model, recipe, variant in declared
        if model not in trained
    ]


def layers(options: argparse.Namespace) -> int:
    """Write what the convolutions of a model make of one golden input as pictures."""
    artifact = resolve_model(options.name, find_project().artifacts)
    for path in save_pictures(artifact, options.sample, options.output):
        print(path)
    return 0


def train(options: argparse.Namespace) -> int:
    """Run `python -m models train`: training is no import of the harness."""
    root = find_project().root
    if not (root / "models" / "__main__.py").is_file():
        raise RigError("there are no recipes here", hint="Train in a checkout of the project.")
    command = [sys.executable, "-m", "models", "train", options.name]
    for name in ("variant", "recipe", "seed", "output", "data", "weights"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name}", str(value)]
    if options.if_changed:
        command.append("--if-changed")
    return subprocess.run(command, cwd=root).returncode


def build(options: argparse.Namespace) -> int:
    """Build firmware and print where it is and what it takes."""
    project = find_project()
    board = _rig_file(options)[1][options.board]
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
    file, registry = _rig_file(options)
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
    file, registry = _rig_file(options)
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
    file, registry = _rig_file(options)
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
        report_to(options.report, options.csv, runs=runs)
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
    file, registry = _rig_file(options)
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

    def rig_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--rig", metavar="FILE", help="what is plugged in where [$HIL_RIG]")

    checking = command(doctor)
    rig_option(checking)
    checking.add_argument(
        "--tflm", default=os.environ.get("HIL_TFLM"), metavar="DIR", help="TFLM library [$HIL_TFLM]"
    )
    listing = command(boards)
    rig_option(listing)
    listing.add_argument("--matrix", action="store_true", help="the rig's, as JSON for CI jobs")
    listing.add_argument("--watch", action="store_true", help="show what is plugged in and out")
    command(udev)
    command(models)
    training = command(train)
    training.add_argument("name", metavar="NAME", help="a recipe")
    training.add_argument("--variant", help="the network; default: the recipe's own")
    training.add_argument("--recipe", metavar="SCHEDULE", help="the schedule: fast or course")
    training.add_argument("--seed", type=int)
    training.add_argument(
        "--output", type=lambda text: Path(text).absolute(), metavar="DIR", help="models/artifacts"
    )
    for name, kind in (("--data", "DIR"), ("--weights", "FILE")):
        training.add_argument(
            name, type=lambda text: Path(text).absolute(), metavar=kind, help="for recipes with any"
        )
    training.add_argument("--if-changed", action="store_true", help="only if it is not current")
    inside = command(layers)
    inside.add_argument("name", metavar="MODEL", help="name, folder or file")
    inside.add_argument("--sample", type=int, default=0, metavar="N", help="golden input, from 0")
    inside.add_argument("--output", type=Path, default=Path("reports/layers"), metavar="DIR")
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
