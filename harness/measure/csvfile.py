"""CSV files whose rows are records: the text of cells and lines, read and appended durably.

The columns of a file are the fields of its record, in their order. Fields are str, int, float or
bool, or one of these or None; None is an empty cell.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import ReportError
from harness.text import listed

# A spreadsheet takes a cell that starts so for a formula; an apostrophe in front says text.
_FORMULA = re.compile(r"'*[=+\-@]")
_REPLACED = "\N{REPLACEMENT CHARACTER}"
MOST_LETTERS = 100_000
"""Of a line: a longer one is none of ours, and `csv` refuses a cell that is not much longer."""


def columns(kind: type[Any]) -> tuple[str, ...]:
    """Column names of a record."""
    return tuple(item.name for item in fields(kind))


def cell(value: object) -> str:
    """Text of one cell: empty for None, six significant digits for a float, lower-case booleans.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, which `text_of`
    takes away again; characters that cannot be printed are replaced, line ends among them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = "".join(char if char.isprintable() else _REPLACED for char in value)
        return f"'{text}" if _FORMULA.match(text) else text
    return str(value)


def text_of(content: str) -> str:
    """The text that `cell` made this cell of."""
    return content[1:] if content.startswith("'") and _FORMULA.match(content) else content


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a CSV file by their numbers, each of as many cells as its `header`.

    `bad` says what is wrong with each other line; `torn` is whether the last one has no end.
    """

    path: Path
    header: tuple[str, ...]
    whole: dict[int, str]
    bad: dict[int, str]
    torn: bool


def header_of(line: str) -> tuple[str, ...]:
    """Column names of a file, by its first line."""
    return tuple(next(csv.reader([line[:MOST_LETTERS].replace("\0", _REPLACED)])))


def read_lines(path: Path, kind: type[Any]) -> Lines:
    """A file of records as text. Every line is a row, so an unclosed quote costs one row only.

    Raises:
        ReportError: no such file, or it has not even the columns that every version had.
    """
    try:
        # A torn character is part of a torn line.
        text = path.read_text(encoding="utf-8", errors="replace").replace("\0", _REPLACED)
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    content, _, torn = text.rpartition("\n")
    first, *lines = content.rstrip("\n").split("\n")
    header = header_of(first)
    required = (item.name for item in fields(kind) if item.default is MISSING)
    if lacking := [name for name in required if name not in header]:
        raise ReportError(
            f"{path} has no rows of {kind.__name__}: it is without {listed(lacking, 5)}",
            hint="Is it a CSV of the harness, and whole?",
        )
    whole, bad = dict(enumerate(lines, 2)), {}
    for number, line in whole.items():
        if '"' in line or line.count(",") != len(header) - 1 or len(line) > MOST_LETTERS:
            try:
                whole[number] = _tidy(line, len(header))
            except ValueError as error:
                bad[number] = str(error)
    for number in bad:
        del whole[number]
    return Lines(path=path, header=header, whole=whole, bad=bad, torn=bool(torn))


def _tidy(line: str, width: int) -> str:
    """A line of so many cells, with quotes around whole cells only; else ValueError says why."""
    if len(line) > MOST_LETTERS:
        raise ValueError(f"has more than {MOST_LETTERS} characters")
    cells = next(csv.reader([line]))
    if len(cells) != width:
        raise ValueError(f"has {len(cells)} of {width} cells")
    return lines_of([cells]).decode().rstrip("\n")


def lines_of(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of cells as lines of a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def cells_of(row: Any, header: Iterable[str]) -> list[str]:
    """Cells of a record in a file with these columns."""
    return [cell(getattr(row, name, None)) for name in header]


def content_of(rows: Sequence[Any], kind: type[Any]) -> bytes:
    """A whole file of these rows, header included."""
    return lines_of([columns(kind), *(cells_of(row, columns(kind)) for row in rows)])


def free_name(path: Path) -> Path:
    """The first of `latency.1.csv`, `latency.2.csv`... that no file has."""
    number = 1
    while (free := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    return free


def _cut_torn_line(path: Path) -> None:
    """Drop a last line without its newline: what a power cut left of a row nobody was told of."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def append(path: Path, rows: Sequence[Any]) -> None:
    """Append whole rows of one kind, durably, safe against other writers and against being killed.

    Every call is one write to a file opened for appending, followed by fsync, under a lock
    file beside it. A file with other columns is set aside under a numbered name, never overwritten.
    """
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    names = columns(type(rows[0]))
    header, content = lines_of([names]), lines_of(cells_of(row, names) for row in rows)
    with FileLock(f"{path}.lock"):
        if path.exists():
            _cut_torn_line(path)
            with path.open("rb") as existing:
                first = existing.readline()
            if first and first.rstrip(b"\r\n") != header.rstrip(b"\n"):
                path.rename(free_name(path))
        fresh = not path.exists() or path.stat().st_size == 0
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write_all(handle, header + content if fresh else content)
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def beside(latency_csv: Path, table: str) -> Path:
    """Where another table of the same runs is: `samples.csv` beside `latency.csv`.

    Of a file by another name, as `mine.csv`, it is `mine.samples.csv`.
    """
    stem = "" if latency_csv.stem == "latency" else f"{latency_csv.stem}."
    return latency_csv.with_name(f"{stem}{table}{latency_csv.suffix}")
