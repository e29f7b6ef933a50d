"""`hil compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.command import Command
from harness.errors import NotWritten, ReportError, WrongUse
from harness.files import refuse_foreign, refuse_overwriting, write_atomic
from harness.measure.csvfile import begin_of
from harness.measure.place import inputs_of
from harness.measure.runs import load_runs
from harness.measure.versus import FORMATS, any_slower, as_csv, as_markdown, as_text, versus
from harness.outcome import Outcome
from harness.terminal import say, say_notes

_WRITERS = dict(zip(FORMATS, (as_text, as_csv, as_markdown), strict=True))


def compare(options: argparse.Namespace) -> int:
    """Compare two CSV files or folders of them, as of two commits: ratios with intervals."""
    refuse_overwriting(options.output, "--output", [*inputs_of(options.a), *inputs_of(options.b)])
    a, b = load_runs(options.a), load_runs(options.b)
    for side in (a, b):
        say_notes(side.notes)
        if not side.runs:
            raise ReportError(f"{side.source} has no complete run")
    rows = versus(a, b)
    text = _WRITERS[options.format](rows)
    if options.output is None:
        print(text)
    else:
        _write(options.output, text)
        say(f"wrote {options.output}")
    slower = options.gate and any_slower(rows)
    return (Outcome.SLOW if slower else Outcome.PASSED).exit_status


def _write(output: Path, text: str) -> None:
    """Write a comparison, over an earlier one only."""
    heading = text.partition("\n")[0].split()
    if output.is_dir():
        raise WrongUse(f"--output {output}: a folder cannot be written as a file")
    refuse_foreign(
        output, "--output", "such comparison", lambda path: begin_of(path).split() in ([], heading)
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, f"{text}\n".encode())
    except OSError as error:
        raise NotWritten(f"cannot write {output}: {error.strerror or error}") from error


def register(command: Command) -> None:
    """Add `hil compare` to the command line."""
    parser = command(compare)
    parser.add_argument("a", type=Path, metavar="A", help="CSV or folder: before")
    parser.add_argument("b", type=Path, metavar="B", help="CSV or folder: after")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    parser.add_argument("--output", type=Path, metavar="FILE")
    parser.add_argument("--gate", action="store_true", help="exit status 12 if one is slower")
