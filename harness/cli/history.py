"""`hil history`: when a figure changed, and between which commits."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from harness.cli.command import Command
from harness.cli.machine import add_json, print_json
from harness.terminal import is_utf8, say_notes

_NARROWEST, _WIDEST = 40, 200
_DEFAULT = Path("reports")


def history(options: argparse.Namespace) -> int:
    """When latency, sizes and accuracy changed, and between which commits; from CSVs."""
    from harness.measure.history_read import Wanted, read_history
    from harness.report.history import history_data, history_text

    names = ("board", "runtime", "model", "dtype")
    wanted = Wanted(
        **{name: getattr(options, name) or None for name in names}, layers=options.layers
    )
    with options.progress("reading the history"):
        found = read_history(_source(options.source), wanted)
    if options.json:
        print_json("history", history_data(found))
        return 0
    say_notes(found.notes, 400)
    columns = shutil.get_terminal_size().columns
    width = min(max(columns, _NARROWEST), _WIDEST)
    unicode = is_utf8(sys.stdout)
    text = history_text(found, width=width, unicode=unicode)
    print(text if unicode else text.encode("ascii", "backslashreplace").decode())
    return 0


def _source(given: Path | None) -> Path:
    """What was named, else where the nights are kept, else the reports of this folder."""
    return given or Path(os.environ.get("HIL_HISTORY") or _DEFAULT)


def register(command: Command) -> None:
    """Hook the command in."""
    parser = command(history)
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        metavar="CSV|FOLDER",
        help="latency.csv, or a folder of CSVs; default: $HIL_HISTORY, else reports",
    )
    for name, metavar in (("board", "ID"), ("model", "NAME"), ("runtime", "ID"), ("dtype", "TYPE")):
        parser.add_argument(f"--{name}", metavar=metavar, help="only this one")
    parser.add_argument("--layers", action="store_true", help="also each operator, of profiles")
    add_json(parser)
