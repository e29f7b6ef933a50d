"""Command line: `hil doctor|boards|udev|models|train|build|infer|bench|virtual`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import harness
from harness.artifact import list_models
from harness.board import RUNTIMES, load_registry
from harness.build import Builder
from harness.doctor import examine
from harness.errors import BoardError, HilError, ModelError, RigError, TensorError, UnknownName
from harness.faults import parse_faults
from harness.project import find_project
from harness.ptyboard import serve
from harness.reference import resolve_model
from harness.report import table
from harness.rig import (
    DEFAULT_CSV,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MODEL,
    DEFAULT_SAMPLES,
    RigOptions,
    git_commit,
    open_board,
    record,
    summary,
)
from harness.rigcheck import RIG_FILE_VARIABLE, examine_rig
from harness.rigfile import job_matrix, load_rig
from harness.udev import udev_rules

EXIT_WRONG_NUMBERS = 1
EXIT_USAGE = 2
EXIT_SICK = 3
EPILOG = """\
exit status: 0 all is well; 1 the board's numbers are wrong; 2 wrong use, or a model that cannot be
used; 3 the rig or the board is sick; 130 interrupted
"""


def say(text: str) -> None:
    """One line of progress, at once, on standard error."""
    print(text, file=sys.stderr, flush=True)


def _rig_options(options: argparse.Namespace) -> RigOptions:
    return RigOptions(
        lock_timeout_s=options.lock_timeout, runtime=options.runtime, port=options.port
    )


def doctor(options: argparse.Namespace) -> int:
    """Print every point with its cure; fails if something needed is missing."""
    project = find_project()
    findings = examine(project)
    findings += examine_rig(options.rig, load_registry(), project, options.tflm)
    for finding in findings:
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "absent"
        print(f"{mark:8}{finding.point}: {finding.detail}")
        if not finding.ok and finding.cure:
            print(f"        -> {finding.cure}")
    return EXIT_SICK if any(not item.ok and item.needed for item in findings) else 0


def boards(options: argparse.Namespace) -> int:
    """List the boards of the registry."""
    if options.matrix:
        print(job_matrix(load_rig(options.rig, load_registry())))
        return 0
    rows = [
        (board.id, board.attachment, "/".join(board.runtimes), board.mcu)
        for board in load_registry().boards
    ]
    print(table(("board", "attachment", "runtimes", "mcu"), rows))
    return 0


def udev(options: argparse.Namespace) -> int:
    """Print udev rules for the boards of the registry; docs/rig.md says where they go."""
    print(udev_rules(load_registry()), end="")
    return 0


def models(options: argparse.Namespace) -> int:
    """List the models whose artifacts are there."""
    project = find_project()
    rows = []
    for name in list_models(project.artifacts):
        artifact = resolve_model(name, project.artifacts)
        rows.append((name, artifact.dtype, str(len(artifact.content)), artifact.sha256[:12]))
    print(table(("model", "dtype", "bytes", "sha256"), rows))
    return 0


def train(options: argparse.Namespace) -> int:
    """Run `python -m models train`: training is no import of the harness."""
    root = find_project().root
    if not (root / "models" / "__main__.py").is_file():
        raise RigError("there are no recipes here", hint="Train in a checkout of the project.")
    command = [sys.executable, "-m", "models", "train", options.name]
    for name in ("variant", "recipe", "seed", "output"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name}", str(value)]
    if options.if_changed:
        command.append("--if-changed")
    return subprocess.run(command, cwd=root).returncode


def build(options: argparse.Namespace) -> int:
    """Build firmware and print where it is and what it takes."""
    project = find_project()
    board = load_registry()[options.board]
    artifact = resolve_model(options.model, project.artifacts)
    runtime = board.runtime(options.runtime)
    say(f"building {artifact.name} for {board.id} with {runtime}")
    start = time.monotonic()
    firmware = Builder(project).build(board, runtime, artifact)
    print(f"{firmware.elf}\nbuild id {firmware.build_id}")
    print(f"flash {firmware.flash_bytes} B, RAM {firmware.ram_bytes} B")
    rows = [
        (section.name, str(section.size_bytes), "x" * section.in_flash, "x" * section.in_ram)
        for section in firmware.sections
    ]
    print(table(("section", "bytes", "flash", "RAM"), rows))
    say(f"{time.monotonic() - start:.1f} s")
    return 0


def infer(options: argparse.Namespace) -> int:
    """Invoke the model once on a board with the numbers given, in the model's own unit."""
    project = find_project()
    artifact = resolve_model(options.model, project.artifacts)
    spec = artifact.inputs[0]
    if len(options.values) != spec.elements:
        raise TensorError(f"model {artifact.name} takes {spec.elements} number(s) per inference")
    board = load_registry()[options.board]
    with open_board(board, artifact, project, _rig_options(options)) as opened:
        values = np.array(options.values, dtype=np.float32)
        outputs = opened.dut.infer_real(values)
        print(" ".join(f"{value:.6g}" for value in outputs.ravel()))
    return 0


def bench(options: argparse.Namespace) -> int:
    """Compare and measure boards, append to the CSV, print the summary."""
    project = find_project()
    artifact = resolve_model(options.model, project.artifacts)
    registry = load_registry()
    commit = git_commit(project.root)
    rows = []
    for board_id in options.board:
        board = registry[board_id]
        say(f"{board_id}: build, start, compare, {options.samples} timed invokes")
        with open_board(board, artifact, project, _rig_options(options)) as opened:
            row = record(opened, samples=options.samples, csv=options.csv, commit=commit)
            rows.append(row)
            if row.verdict != "pass":
                say(str(opened.comparison))
    print(summary(rows, options.csv))
    return 0 if all(row.verdict == "pass" for row in rows) else EXIT_WRONG_NUMBERS


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

    checking = command(doctor)
    checking.add_argument(
        "--tflm", type=Path, default=os.environ.get("HIL_TFLM"), metavar="DIR", help="TFLM library"
    )
    listing = command(boards)
    listing.add_argument("--matrix", action="store_true", help="the rig's, as JSON for CI jobs")
    for sub in (checking, listing):
        sub.add_argument(
            "--rig", type=Path, default=os.environ.get(RIG_FILE_VARIABLE), metavar="FILE"
        )
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
    training.add_argument("--if-changed", action="store_true", help="only if it is not current")
    for run in (build, infer, bench):
        sub = command(run)
        several = {"nargs": "+"} if run is bench else {}
        default = ["qemu-m4"] if run is bench else "qemu-m4"
        sub.add_argument("--board", default=default, metavar="ID", **several)  # type: ignore[arg-type]
        sub.add_argument(
            "--model", default=DEFAULT_MODEL, metavar="NAME", help="name, folder or file"
        )
        sub.add_argument("--runtime", metavar="ID", help=" or ".join(RUNTIMES))
        if run is not build:
            sub.add_argument("--port", help="where the board is, if not where it usually is")
            sub.add_argument(
                "--lock-timeout", type=float, default=DEFAULT_LOCK_TIMEOUT_S, metavar="S"
            )
        if run is infer:
            sub.add_argument("values", nargs="+", type=float, help="one number per input element")
        if run is bench:
            sub.add_argument("--samples", type=_positive, default=DEFAULT_SAMPLES, metavar="N")
            sub.add_argument("--csv", type=Path, default=DEFAULT_CSV)
    serving = command(virtual)
    serving.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME")
    serving.add_argument("--faults", default="", help="such as flip=0.01&hang_after=20")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `hil`."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except HilError as error:
        print(f"hil: {error}", file=sys.stderr)
        return _exit_status(error)
    except KeyboardInterrupt:
        return 130


def _exit_status(error: HilError) -> int:
    if isinstance(error, UnknownName | ModelError | TensorError):
        return EXIT_USAGE
    return EXIT_SICK if isinstance(error, RigError | BoardError) else EXIT_WRONG_NUMBERS


if __name__ == "__main__":
    sys.exit(main())
