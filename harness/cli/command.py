"""How commands are hooked into the command line, and what their errors come to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import (
    HilError,
    ModelError,
    NotWritten,
    ReportError,
    TensorError,
    UnknownName,
    WrongUse,
)
from harness.outcome import Outcome, of_error

EXIT_USAGE = 2
Run = Callable[[argparse.Namespace], int]


Command = Callable[[Run], argparse.ArgumentParser]
"""Makes a command of a function: its name, its docstring as help; it returns the exit status."""


def exit_status(error: HilError) -> int:
    """What a command ends with because of an error."""
    if isinstance(error, NotWritten):
        return Outcome.FAILED.exit_status
    if isinstance(error, UnknownName | WrongUse | ModelError | TensorError | ReportError):
        return EXIT_USAGE
    return of_error(error, on_board=True).exit_status


@contextmanager
def errors_noted(
    statuses: list[int], status_of: Callable[[HilError], int] = exit_status
) -> Iterator[None]:
    """An error of the block is printed and its exit status kept, for what follows to go on."""
    try:
        yield
    except HilError as error:
        print(f"hil: {error}", file=sys.stderr)
        statuses.append(status_of(error))


def add_source(parser: argparse.ArgumentParser) -> None:
    """The argument `source` of commands that read what was measured."""
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        default=Path("reports"),
        metavar="CSV|FOLDER",
        help="latency.csv, or a folder of CSVs; default: reports",
    )


def worst_status(statuses: Iterable[int]) -> int:
    """The exit status that says most of several, in the order of outcomes; 0 of none."""
    order = (
        Outcome.FAILED.exit_status,
        EXIT_USAGE,
        Outcome.SLOW.exit_status,
        Outcome.STALE.exit_status,
        Outcome.SICK.exit_status,
        Outcome.PASSED.exit_status,
    )
    return min(statuses, key=order.index, default=Outcome.PASSED.exit_status)
