"""Where a run is to be appended, looked at before anything is measured for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ReportError
from harness.measure.csvfile import begin_of, beside, columns
from harness.measure.frames import table_in
from harness.measure.tables import TABLES
from harness.text import printable

_SHOWN = 40
"""Letters of a foreign file that a message shows."""


def tables_of(latency_csv: Path) -> Iterator[tuple[str, Path]]:
    """The names of all tables of a run, and their files."""
    for table in TABLES:
        yield table, latency_csv if table == "latency" else beside(latency_csv, table)


def inputs_of(source: Path) -> list[Path]:
    """The files that are read of a CSV with the tables beside it, or of a folder of CSVs."""
    if source.is_dir():
        return list(source.rglob("*.csv"))
    return [path for _, path in tables_of(source)]


def check_place(latency_csv: Path) -> None:
    """Refuse a file that is not to be appended to, or one beside it.

    One of the harness with other columns is none of these: it is set aside when rows come.

    Raises:
        ReportError: it is a folder, another program's file, or in a folder that cannot be written.
    """
    for table, path in tables_of(latency_csv):
        _check_file(path, table)
    folder = latency_csv.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ReportError(f"{folder} is no folder: {latency_csv} cannot be written")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ReportError(f"folder {folder} cannot be written: {latency_csv} is to be in it")


def _check_file(path: Path, table: str) -> None:
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file"
        raise ReportError(f"{path} is {kind}: rows of {table} cannot be appended to it")
    if path.exists() and not os.access(path, os.W_OK):
        raise ReportError(f"{path} cannot be written: rows of {table} are to be appended to it")
    begin = begin_of(path) if path.exists() else ""
    torn = ",".join(columns(TABLES[table])).startswith(begin)
    if not torn and table_in(path) != table:
        raise ReportError(
            f"{path} is no {table} CSV of the harness: it begins with '{printable(begin, _SHOWN)}'",
            hint="Nothing was changed. Name another file with --csv FILE (pytest: --hil-csv=FILE).",
        )
