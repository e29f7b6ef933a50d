"""Command line: `hil COMMAND`; `hil --help` lists them."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from harness.cli import baseline, board, models, report, rig
from harness.cli.command import EXIT_USAGE, Run, errors_noted
from harness.process import GracefulShutdown, Terminated
from harness.terminal import progress_on
from harness.version import __version__

__all__ = ["EXIT_USAGE", "main"]

EPILOG = """\
exit status: 0 all is well; 1 wrong numbers, or anything else that failed; 2 wrong use, or a model
that cannot be used; 10 the rig or a board is sick; 11 a board runs different firmware than the one
just built; 12 too slow;
129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM. More in docs/outcomes.md. Options may also be said
in pytest's ini file and in the environment: docs/options.md
"""


def _parser() -> argparse.ArgumentParser:
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

    for group in (rig, models, board, baseline, report):
        group.register(command)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `hil`."""
    options = _parser().parse_args(arguments)
    statuses: list[int] = []
    try:
        with (
            errors_noted(statuses),
            GracefulShutdown(),
            progress_on(sys.stderr) as options.progress,
        ):
            statuses.append(options.run(options))
        return statuses[0]
    except Terminated as end:
        return 128 + end.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does. Nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
