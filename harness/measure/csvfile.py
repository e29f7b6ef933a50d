"""CSV files whose rows are records: the text of cells and lines, read and appended durably.

The columns of a file are the fields of its record, in their order. Fields are str, int, float or
bool, or one of these or None; None is an empty cell.
"""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from harness.errors import LockBusy, NotKept
from harness.locks import held

# A spreadsheet takes a cell that starts so for a formula; an apostrophe in front says text.
_FORMULA = re.compile(r"'*[=+\-@]")
_REPLACED = "\N{REPLACEMENT CHARACTER}"
MOST_LETTERS = 100_000
"""Of a line: a longer one is none of ours, and `csv` refuses a cell that is not much longer."""
MOST_BYTES = 4 * MOST_LETTERS
"""Of a line in UTF-8."""


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


def header_of(line: str) -> tuple[str, ...]:
    """Column names of a file, by its first line."""
    try:
        return tuple(next(csv.reader([line[:MOST_LETTERS].replace("\0", _REPLACED)])))
    except csv.Error:
        return ()


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


def begin_of(path: Path) -> str:
    """The first line of a file, or what begins it."""
    with path.open("rb") as file:
        first = file.readline(MOST_BYTES)
    return first.removeprefix(codecs.BOM_UTF8).decode(errors="replace").rstrip("\r\n")


def free_name(path: Path) -> Path:
    """The first of `latency.1.csv`, `latency.2.csv`... that no file has."""
    number = 1
    while os.path.lexists(free := path.with_suffix(f".{number}{path.suffix}")):
        number += 1
    return free


def append(path: Path, rows: Sequence[Any]) -> None:
    """Append whole rows of one kind, durably, safe against other writers and against being killed.

    Every call is one write to a file opened for appending, followed by fsync, under a lock
    file beside it. A file with other columns is set aside under a numbered name, never overwritten.
    Of a file of these columns only the begin of a row is cut from its end; a last row that lacks
    its line end only gets it.

    Raises:
        NotKept: it cannot be written, as on a full disk, or another process holds it for minutes.
            The file is as it was.
    """
    if not rows:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(Path(f"{path}.lock"), f"{path} is being written"):
            _append(path, rows)
    except LockBusy as error:
        raise NotKept(error.what, hint=_NOT_KEPT) from error
    except OSError as error:
        raise NotKept(f"cannot write {path}: {error.strerror or error}", hint=_NOT_KEPT) from error


_NOT_KEPT = "What was measured is shown, and is in no file. Make room, or take another folder."


def _append(path: Path, rows: Sequence[Any]) -> None:
    names = columns(type(rows[0]))
    fresh = _make_ready(path, lines_of([names]))
    content = lines_of(cells_of(row, names) for row in rows)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            _write_all(handle, lines_of([names]) + content if fresh else content)
            os.fsync(handle)
        except BaseException:
            # Nobody is told of these rows, so that none of them may stay, whole or torn.
            os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)


def _make_ready(path: Path, header: bytes) -> bool:
    """Make a file end with a whole line of this header's; whether the header is to be written.

    Reads its two ends only: files of samples grow large.
    """
    if not path.exists():
        return True
    if not path.is_file():
        raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, "it is no file", str(path))
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        first = file.read(len(header) + len(codecs.BOM_UTF8) + 1)
        first = first.removeprefix(codecs.BOM_UTF8)
        if b"\n" not in first and size < len(header) and header.startswith(first):
            file.truncate(0)
            return True
        if first.split(b"\n")[0].rstrip(b"\r") == header.rstrip(b"\n"):
            _end_line(file, size, width=header.count(b",") + 1)
            return False
    path.rename(free_name(path))
    return True


def _end_line(file: IO[bytes], size: int, width: int) -> None:
    """Cut the begin of a row from the end of a file; a whole row gets its line end."""
    begin = max(0, size - MOST_BYTES)
    file.seek(begin)
    before, newline, last = file.read().rpartition(b"\n")
    if not last:
        return
    if newline and _cell_count(last) < width:
        # What a power cut left of a row that nobody was told of.
        file.truncate(begin + len(before) + 1)
    else:
        file.seek(size)
        file.write(b"\n")


def _cell_count(line: bytes) -> int:
    try:
        return len(next(csv.reader([line.decode(errors="replace").replace("\0", _REPLACED)])))
    except (csv.Error, StopIteration):
        return 0


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def beside(latency_csv: Path, table: str) -> Path:
    """Where another table of the same runs is: `samples.csv` beside `latency.csv`.

    Of a file by another name, as `mine.csv`, it is `mine.samples.csv`.
    """
    stem = "" if latency_csv.stem == "latency" else f"{latency_csv.stem}."
    return latency_csv.with_name(f"{stem}{table}{latency_csv.suffix}")


def latency_beside(path: Path, table: str) -> Path:
    """The latency.csv that another table is beside; any other path as it is."""
    if path.stem == table:
        return path.with_name(f"latency{path.suffix}")
    return path.with_name(f"{path.stem.removesuffix(f'.{table}')}{path.suffix}")
