"""Command line: `hil COMMAND`; `hil --help` lists them."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import os
import signal
import sys

from harness.cli.command import EXIT_USAGE, Run, errors_noted
from harness.cli.machine import errors_as_json
from harness.outcome import GIT_ABORT
from harness.process import GracefulShutdown, Terminated
from harness.terminal import open_standard_streams, plain_stdout, progress_on
from harness.version import __version__

__all__ = ["EXIT_USAGE", "main"]

EPILOG = """\
exit status: 0 all is well; 1 wrong numbers, or anything else that failed; 2 wrong use, or a model
that cannot run (hil inspect FILE says why); 10 the rig or a board is sick; 11 a board runs
different firmware than the one just built; 12 too slow, or too much energy;
129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM. More in docs/outcomes.md. Options may also be said
in pytest's ini file and in the environment: docs/options.md
"""


BISECTING = "--bisect"
"""Of `hil bench`: its exit status is for `git bisect run`."""

GROUPS = {
    "rig": ("doctor", "boards", "udev"),
    "power": ("power",),
    "models": ("models", "train", "loss", "layers"),
    "inspect": ("inspect",),
    "board": ("build", "flash", "bench", "infer", "profile", "virtual"),
    "evaluate": ("evaluate",),
    "baseline": ("baseline",),
    "compare": ("compare",),
    "bisect": ("bisect",),
    "report": ("report",),
    "history": ("history",),
    "cores": ("cores",),
}
"""Modules of this package, in the order of the help, and the commands of each. Only the module of
the command that is given is imported, since all of them together take longer than some commands."""


def _parser(asked: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line.

    Args:
        asked: the command, if it is known by now; the others are left out.
    """
    parser = argparse.ArgumentParser(
        prog="hil",
        description="Hardware-in-the-loop tests and benchmarks for TinyML.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hil {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Run) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").strip()
        made = commands.add_parser(run.__name__, help=text.split("\n")[0], description=text)
        made.set_defaults(run=run)
        return made

    of_asked = [group for group, names in GROUPS.items() if asked in names]
    for group in of_asked or GROUPS:
        importlib.import_module(f"harness.cli.{group}").register(command)
    return parser


SHORT = ("inspect",)
"""Commands that make next to no garbage and are done at once."""


def _leave_garbage(asked: str = "") -> None:
    """At the end of a process, or in a short one, garbage is not looked for: 0.03 s each."""
    atexit.register(gc.freeze)
    if asked in SHORT:
        gc.disable()


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `hil`."""
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        open_standard_streams()
        _leave_garbage(*given[:1])
    statuses: list[int] = []
    try:
        options = _parser(given[0] if given else None).parse_args(given)
        with (
            errors_noted(statuses),
            GracefulShutdown(),
            progress_on(sys.stderr) as options.progress,
            plain_stdout(),
            errors_as_json(options),
        ):
            statuses.append(options.run(options))
        # An answer that cannot be written is told after the command is done.
        return next(filter(None, statuses), 0)
    except SystemExit as end:
        # To `git bisect run` 2 would be a bad commit, where an option is not spelled right.
        if end.code == EXIT_USAGE and BISECTING in given:
            return GIT_ABORT
        raise
    except Terminated as end:
        return 128 + end.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does. Nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
