"""The lines of CSV files of records, in blocks: a file may be larger than memory.

Every line is a row, so that an unclosed quote costs one row only.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ReportError
from harness.measure.csvfile import MOST_BYTES, MOST_LETTERS, header_of, lines_of
from harness.text import listed, printable

BLOCK_BYTES = 1 << 22
SHOWN = 5
"""Lines left out that are named; the others are counted."""
_SHOWN_LETTERS = 200
"""Of what is said about one of them."""
_TORN = "the last line is torn"
_ODD = (b'"', b"\0", b"\r")
"""In a line that is more than cells with commas between them."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A CSV file by its first line. `content` is that of a pipe, which can be read only once."""

    path: Path
    header: tuple[str, ...]
    content: bytes | None = None

    def open(self) -> IO[bytes]:
        """The file from its second line on."""
        file = self.path.open("rb") if self.content is None else io.BytesIO(self.content)
        file.readline(MOST_BYTES)
        return file


@dataclass(slots=True)
class Faults:
    """What is left out of a file: how many lines, and what is wrong with the first of them."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, bad: dict[int, str]) -> None:
        """Count lines, given by number with what is wrong, all behind those before."""
        self.count += len(bad)
        for number in sorted(bad)[: SHOWN - len(self.shown)]:
            why = bad[number]
            line = why if why == _TORN else f"line {number} {why}"
            self.shown.append(printable(line, _SHOWN_LETTERS))

    def __str__(self) -> str:
        more = f" and {self.count - len(self.shown)} more" if self.count > len(self.shown) else ""
        many = f"{self.count} lines are" if self.count > 1 else "1 line is"
        return f"{many} left out: {', '.join(self.shown)}{more}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Rows of a file: `text` is lines of as many cells as its header has, `numbers` theirs.

    `bad` says by number what is wrong with each other line among them.
    """

    numbers: NDArray[np.int64]
    text: bytes
    bad: dict[int, str]


def open_source(path: Path, kind: type[Any]) -> Source:
    """A file of records.

    Raises:
        ReportError: no such file, or it has not even the columns that every version had.
    """
    try:
        content = None if path.is_file() or path.is_dir() else path.read_bytes()
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            first = file.readline(MOST_BYTES)
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    header = header_of(first.removeprefix(codecs.BOM_UTF8).decode(errors="replace").rstrip("\r\n"))
    required = (item.name for item in fields(kind) if item.default is MISSING)
    if lacking := [name for name in required if name not in header]:
        if first.startswith(_UTF16):
            raise ReportError(f"{path} is UTF-16 text", hint="Save it as CSV in UTF-8.")
        raise ReportError(
            f"{path} has no rows of {kind.__name__}: it is without {listed(lacking, 5)}",
            hint="Is it a CSV of the harness, and whole?",
        )
    return Source(path=path, header=header, content=content)


def blocks_of(source: Source) -> Iterator[Block]:
    """The rows of a file, about BLOCK_BYTES at once.

    A last line that lacks its end counts if it is whole.

    Raises:
        ReportError: the file cannot be read any more.
    """
    try:
        with source.open() as file:
            for number, piece in _pieces(file):
                yield _block(number, piece, len(source.header))
    except OSError as error:
        raise ReportError(f"cannot read {source.path}: {error.strerror}") from error


def _pieces(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Whole lines and the number of the first; of a line that is too long not everything."""
    number, rest = 2, b""
    while data := file.read(BLOCK_BYTES):
        text, newline, tail = data.rpartition(b"\n")
        if newline:
            piece = rest + text + newline
            yield number, piece
            number += piece.count(b"\n")
            rest = tail
        else:
            rest += tail
        rest = rest[: MOST_BYTES + 1]
    if rest:
        yield number, rest


def _block(number: int, piece: bytes, width: int) -> Block:
    torn = not piece.endswith(b"\n")
    piece = (piece + b"\n" if torn else piece).replace(b"\r\n", b"\n")
    bytes_ = np.frombuffer(piece, dtype=np.uint8)
    ends = np.flatnonzero(bytes_ == ord("\n"))
    commas = np.searchsorted(np.flatnonzero(bytes_ == ord(",")), ends)
    lengths = np.diff(ends, prepend=-1) - 1
    fits = (np.diff(commas, prepend=0) == width - 1) & (lengths <= MOST_LETTERS)
    numbers = number + np.arange(len(ends))
    if fits.all() and not any(mark in piece for mark in _ODD) and _is_text(piece):
        return Block(numbers=numbers, text=piece, bad={})
    lines, bad = piece.split(b"\n")[:-1], {}
    for at, line in enumerate(lines):
        if not fits[at] or any(mark in line for mark in _ODD) or not _is_text(line):
            try:
                lines[at] = _tidy(line, width)
            except ValueError as error:
                bad[number + at] = str(error)
    if torn and numbers[-1] in bad:
        bad[int(numbers[-1])] = _TORN
    good = [at for at in range(len(lines)) if number + at not in bad]
    text = b"".join(lines[at] + b"\n" for at in good)
    return Block(numbers=numbers[good], text=text, bad=bad)


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _tidy(line: bytes, width: int) -> bytes:
    """A line of so many cells, with quotes around whole cells only; else ValueError says why."""
    text = _text_of(line)
    if len(text) > MOST_LETTERS:
        raise ValueError(f"has more than {MOST_LETTERS} characters")
    try:
        cells = next(csv.reader([text]))
    except csv.Error as error:
        raise ValueError(f"is no line of a CSV: {error}") from error
    if len(cells) != width:
        raise ValueError(f"has {len(cells)} of {width} cells")
    return lines_of([cells]).rstrip(b"\n")


def _text_of(line: bytes) -> str:
    if len(line) > MOST_BYTES:
        raise ValueError(f"has more than {MOST_LETTERS} characters")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8 text: byte {line[error.start]:#04x}") from error
    if "\0" in text:
        raise ValueError("has a NUL byte")
    return text
