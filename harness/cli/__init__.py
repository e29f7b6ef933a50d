"""Command line: `hil COMMAND`; `hil --help` lists them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness.board.registry import RUNTIMES
from harness.cli.baseline import register as register_baseline
from harness.cli.board import bench, build, flash, infer, profile, virtual
from harness.cli.models import register as register_models
from harness.cli.report import register as register_report
from harness.cli.rig import register as register_rig
from harness.cli.rig import rig_option
from harness.errors import HilError, ModelError, ReportError, TensorError, UnknownName
from harness.link.faults import Faults
from harness.outcome import of_error
from harness.rig.open import (
    DEFAULT_CSV,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MODEL,
    DEFAULT_SAMPLES,
    FLASH,
)
from harness.rig.profiling import DEFAULT_RUNS
from harness.terminal import progress_on
from harness.version import __version__

EXIT_USAGE = 2
EPILOG = """\
exit status: 0 all is well; 1 wrong numbers, or anything else that failed; 2 wrong use, or a model
that cannot be used; 10 the rig or a board is sick; 11 a board runs other firmware; 12 too slow;
130 interrupted; 143 terminated. More in docs/outcomes.md
"""


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hil",
        description="Hardware-in-the-loop tests and benchmarks for TinyML.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hil {__version__}")
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
