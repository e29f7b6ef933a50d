"""CSV files whose rows are records: appended durably, read whatever version wrote them.

The columns of a file are the fields of its record, in their order. Fields are str, int, float or
bool, or one of these or None; None is an empty cell.
"""

from __future__ import annotations

import csv
import io
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock

from harness.errors import ReportError
from harness.text import listed

# A spreadsheet takes a cell that starts so for a formula; an apostrophe in front says text.
_FORMULA = re.compile(r"'*[=+\-@]")
_SHOWN = 5
"""Places of unreadable lines that are named; the others are counted."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Row]):
    """What could be read of a file. `notes` say, one line each, what could not, and why."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def columns(kind: type[Any]) -> tuple[str, ...]:
    """Column names of a record."""
    return tuple(item.name for item in fields(kind))


def cell(value: object) -> str:
    """Text of one cell: empty for None, six significant digits for a float, lower-case booleans.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, which `read_rows`
    takes away again; characters that cannot be printed are replaced, line ends among them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = "".join(
            char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value
        )
        return f"'{text}" if _FORMULA.match(text) else text
    return str(value)


def _text_of(content: str) -> str:
    return content[1:] if content.startswith("'") and _FORMULA.match(content) else content


def _truth_of(content: str) -> bool:
    if content not in ("true", "false"):
        raise ValueError(f"{content!r} is neither true nor false")
    return content == "true"


_PARSERS: dict[type[Any], Callable[[str], Any]] = {
    str: _text_of,
    bool: _truth_of,
    int: int,
    float: float,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """How to read a column; `required` if its record has no default."""

    parse: Callable[[str], Any]
    optional: bool
    text: bool
    required: bool

    def value(self, content: str) -> Any:
        if content == "" and not self.text:
            if self.optional:
                return None
            raise ValueError("is empty")
        return None if content == "" and self.optional else self.parse(content)


def _column(item: Field[Any], hint: Any) -> _Column:
    several = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = [kind for kind in (typing.get_args(hint) if several else (hint,)) if kind in _PARSERS]
    assert len(kinds) == 1, f"a row's {item.name} is one plain value, not {hint}"
    return _Column(
        parse=_PARSERS[kinds[0]],
        optional=several,
        text=kinds[0] is str,
        required=item.default is MISSING and item.default_factory is MISSING,
    )


@cache
def _layout(kind: type[Any]) -> dict[str, _Column]:
    hints = typing.get_type_hints(kind)
    return {item.name: _column(item, hints[item.name]) for item in fields(kind)}


def read_rows(path: Path, kind: type[Row]) -> Loaded[Row]:
    """Every row that can be read.

    An older file's missing columns get the record's defaults; a newer file's unknown ones are left
    out, with a note. Torn and malformed lines are left out, counted and named.

    Raises:
        ReportError: no such file, or it has not even the columns that every version had.
    """
    try:
        # A torn character is part of a torn line.
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    whole, _, torn = text.rpartition("\n")
    lines = csv.reader(io.StringIO(whole))
    header = next(lines, [])
    record: Any = kind  # mypy does not know that a class is hashable
    layout = _layout(record)
    lacking = [name for name, column in layout.items() if column.required and name not in header]
    if lacking:
        raise ReportError(
            f"{path} has no rows of {kind.__name__}: it is without {listed(lacking, _SHOWN)}",
            hint="Is it a CSV of the harness, and whole?",
        )
    notes = []
    unknown = [name for name in header if name not in layout]
    if unknown:
        notes.append(f"{path} is from a newer version: {listed(unknown, _SHOWN)} left out")
    rows, bad = [], []
    for cells in lines:
        try:
            rows.append(_row(kind, layout, header, cells))
        except ValueError as error:
            bad.append(f"line {lines.line_num} {error}")
    if torn:
        bad.append("the last line is torn")
    if bad:
        many = f"{len(bad)} lines are" if len(bad) > 1 else "1 line is"
        notes.append(f"{path}: {many} left out: {listed(bad, _SHOWN)}")
    return Loaded(rows=tuple(rows), notes=tuple(notes))


def _row(kind: type[Row], layout: dict[str, _Column], header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} of {len(header)} cells")
    values = {}
    for name, content in zip(header, cells, strict=True):
        if name in layout:
            try:
                values[name] = layout[name].value(content)
            except ValueError as error:
                raise ValueError(f"({name}: {error})") from error
    return kind(**values)


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def content_of(rows: Sequence[Any], kind: type[Any]) -> bytes:
    """A whole file of these rows, header included."""
    return _lines([columns(kind), *(_cells(row) for row in rows)])


def _cells(row: Any) -> list[str]:
    return [cell(getattr(row, name)) for name in columns(type(row))]


def set_aside(path: Path) -> Path:
    """Keep a file under the first free name `latency.1.csv`, `latency.2.csv`..., returned."""
    number = 1
    while (aside := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    return aside


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
    header = _lines([columns(type(rows[0]))])
    with FileLock(f"{path}.lock"):
        if path.exists():
            _cut_torn_line(path)
            with path.open("rb") as existing:
                first = existing.readline()
            if first and first.rstrip(b"\r\n") != header.rstrip(b"\n"):
                set_aside(path)
        fresh = not path.exists() or path.stat().st_size == 0
        content = _lines([_cells(row) for row in rows])
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
