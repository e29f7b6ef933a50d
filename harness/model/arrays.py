"""Arrays in `.npy`, `.npz` and `.csv` files, read from disk piece by piece as they are needed."""

from __future__ import annotations

import csv
import math
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.stored import Stored, stored_in
from harness.text import listed, printable

MOST_ARRAYS = 64
MOST_UNPACKED = 4 << 30
"""Bytes that a compressed array may unpack to, in a temporary file."""

MOST_COLUMNS = 1 << 20
_CHUNK = 1 << 20
_ROWS = 1024
_SHOWN = 8
_KINDS = "biufUS"
_ZIP = b"PK"
_LOCAL_HEADER = 30
_NO_ARRAY = (
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    EOFError,
    MemoryError,
    RecursionError,
)
"""What NumPy raises on a header that is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Arrays of one file by name, each with one row for each sample or of another length."""

    arrays: dict[str, Stored]

    def named(self, name: str, source: str) -> Stored:
        """An array of the file.

        Raises:
            TensorError: it has none of this name.
        """
        if name not in self.arrays:
            names = listed([printable(known) for known in self.arrays], _SHOWN)
            raise TensorError(f"{source} has no array {printable(name)!r}; it has: {names}")
        return self.arrays[name]


def read_npy(path: Path) -> Stored:
    """The array of a `.npy` file.

    Raises:
        TensorError: it cannot be read, is cut short, or holds anything but numbers or text.
    """
    source = printable(path.name)
    try:
        with path.open("rb") as file:
            if file.read(len(_ZIP)) == _ZIP:
                raise TensorError(f"{source} is an archive of arrays: name it .npz")
            file.seek(0)
            shape, fortran, dtype = _header(file)
            at, size = file.tell(), _checked(shape, dtype, source)
            held = file.seek(0, 2) - at
            if held < size:
                raise TensorError(f"{source} is no array file: {held} bytes instead of {size}")
            return stored_in(path, shape, dtype, offset=at, fortran=fortran)
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror or error}") from error
    except _NO_ARRAY as error:
        raise TensorError(f"{source} is no array file: {_first(error)}") from error


def read_npz(path: Path) -> Table:
    """The arrays of an `.npz` file; compressed ones are unpacked to a temporary file.

    Raises:
        TensorError: the file or one of its arrays cannot be read, or is too large to unpack.
    """
    source = printable(path.name)
    arrays: dict[str, Stored] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise TensorError(f"{source} holds {len(members)} arrays; {MOST_ARRAYS} at most")
            for member in members:
                name = member.filename.removesuffix(".npy")
                where = f"{source}, array {printable(name)!r}"
                if name in arrays:
                    raise TensorError(f"{where} is there twice")
                arrays[name] = _member(path, archive, member, where)
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise TensorError(f"{source} is no archive of arrays: {_first(error)}") from error
    return Table(arrays=arrays)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> Stored:
    try:
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)
            at, size = file.tell(), _checked(shape, dtype, where)
            if size != member.file_size - at:
                raise TensorError(f"{where} has {member.file_size - at} bytes instead of {size}")
            if member.compress_type == zipfile.ZIP_STORED:
                offset = _data_offset(path, member) + at
                return stored_in(path, shape, dtype, offset=offset, fortran=fortran)
            with _unpacked(file, size, where) as unpacked:
                return stored_in(unpacked.fileno(), shape, dtype, fortran=fortran)
    except _NO_ARRAY as error:
        raise TensorError(f"{where} is no array: {_first(error)}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        read = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        read = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"format {version} is for structured arrays")
    shape, fortran, dtype = read
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin; the header before them may differ from the index's."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
    name, extra = header[26:28], header[28:30]
    lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
    return member.header_offset + _LOCAL_HEADER + lengths


def _unpacked(file: IO[bytes], size: int, where: str) -> Any:
    """A temporary file with no name that holds what is left of `file`."""
    if size > MOST_UNPACKED:
        raise TensorError(
            f"{where} unpacks to {size} bytes; {MOST_UNPACKED} at most",
            hint="Save it without compression (np.savez or np.save): then it is read from disk.",
        )
    unpacked = tempfile.TemporaryFile(prefix="hil-data-")
    while chunk := file.read(_CHUNK):
        unpacked.write(chunk)
    unpacked.flush()
    return unpacked


def _checked(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> int:
    """Bytes of an array that a data set can hold."""
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise TensorError(f"{where} holds {dtype}, neither numbers nor text")
    if not shape:
        raise TensorError(f"{where} holds a single value, not one row for each sample")
    return math.prod(shape) * dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """A CSV file: `numbers` (n, columns) in a temporary file; `texts` are other columns (n,).

    `whole` says that no cell has a point or an exponent.
    """

    numbers: Stored
    texts: dict[str, NDArray[np.str_]]
    whole: bool


def read_csv(path: Path, named: Sequence[str], maybe: Callable[[str], bool]) -> Columns:
    """Read a CSV file with a header.

    Args:
        named: headings of columns that hold text, such as the answers.
        maybe: of another heading, whether its column is one of these too.

    Raises:
        TensorError: a line with too few or too many cells, or a cell that is no number; names it.
    """
    source = printable(path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = _heading(lines, source)
            texts = _places(header, named, maybe, source)
            return _columns(lines, source, len(header), texts)
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TensorError(f"{source} is no CSV file: {_first(error)}") from error


def _heading(lines: Iterator[list[str]], source: str) -> list[str]:
    header = [heading.strip() for heading in next(lines, [])]
    if not header or len(header) > MOST_COLUMNS:
        raise TensorError(f"{source} has no header of 1 to {MOST_COLUMNS} columns")
    if all(_is_number(heading) for heading in header):
        raise TensorError(f"{source} has no header: its first line holds numbers")
    return header


def _places(
    header: list[str], named: Sequence[str], maybe: Callable[[str], bool], source: str
) -> dict[str, int]:
    """Where the columns of text are."""
    for name in named:
        if name not in header:
            names = listed([printable(heading) for heading in header], _SHOWN)
            raise TensorError(f"{source} has no column {printable(name)!r}; it has: {names}")
    found = [name for name in header if name in named or maybe(name)]
    if len(found) > MOST_ARRAYS or len(set(found)) < len(found):
        raise TensorError(f"{source}: columns of answers and ids have names of their own")
    return {name: header.index(name) for name in found}


def _columns(lines: Iterator[list[str]], source: str, cells: int, texts: dict[str, int]) -> Columns:
    width, whole = cells - len(texts), True
    held: dict[str, list[str]] = {name: [] for name in texts}
    places = sorted(texts.items(), key=lambda item: -item[1])
    with tempfile.TemporaryFile(prefix="hil-data-") as unpacked:
        for number, block in _blocks(lines):
            rows = [_cells(row, number + at, cells, source) for at, row in enumerate(block)]
            for name, place in places:
                held[name] += [row.pop(place).strip() for row in rows]
            values = _numbers(rows, number, source)
            whole = whole and values.dtype.kind == "i"
            unpacked.write(values.astype(np.float64).tobytes())
        count = unpacked.tell() // (8 * width) if width else 0
        unpacked.flush()
        if count == 0:
            raise TensorError(f"{source} holds no samples")
        numbers = stored_in(unpacked.fileno(), (count, width), np.dtype(np.float64))
    arrays = {name: np.array(column) for name, column in held.items()}
    return Columns(numbers=numbers, texts=arrays, whole=whole)


def _blocks(lines: Iterator[list[str]]) -> Iterator[tuple[int, list[list[str]]]]:
    """Rows in blocks, with the number of the first; empty lines are left out."""
    block: list[list[str]] = []
    done = 0
    for row in lines:
        if row:
            block.append(row)
        if len(block) == _ROWS:
            yield done, block
            done, block = done + len(block), []
    if block:
        yield done, block


def _cells(row: list[str], sample: int, width: int, source: str) -> list[str]:
    if len(row) != width:
        raise TensorError(f"{source}: sample {sample} has {len(row)} cells instead of {width}")
    return row


def _numbers(rows: Sequence[Sequence[str]], first: int, source: str) -> NDArray[Any]:
    """Numbers of cells: int64 where all are whole and small, else float64."""
    try:
        return np.array(rows, dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError:
        sample, cell = next(
            (first + at, cell)
            for at, row in enumerate(rows)
            for cell in row
            if not _is_number(cell)
        )
    raise TensorError(
        f"{source}: sample {sample} holds {printable(cell)!r}, which is no number",
        hint="A column of answers must be named: --labels COLUMN",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first(error: BaseException) -> str:
    """What a library says, on one line."""
    return printable(next(iter(str(error).splitlines()), "")) or type(error).__name__
