"""Arrays in `.npy`, `.npz` and `.csv` files, mapped from disk rather than read into memory."""

from __future__ import annotations

import csv
import math
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.text import listed, printable

MOST_ARRAYS = 64
MOST_UNPACKED = 4 << 30
"""Bytes that a compressed array may unpack to, in a temporary file."""

MOST_COLUMNS = 1 << 20
_CHUNK = 1 << 20
_ROWS = 1024
_SHOWN = 8
_KINDS = "biufUS"
_LOCAL_HEADER = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Arrays of one file by name, each with one row for each sample or of another length."""

    arrays: dict[str, NDArray[Any]]

    def named(self, name: str, source: str) -> NDArray[Any]:
        """An array of the file.

        Raises:
            TensorError: it has none of this name.
        """
        if name not in self.arrays:
            names = listed([printable(known) for known in self.arrays], _SHOWN)
            raise TensorError(f"{source} has no array {printable(name)!r}; it has: {names}")
        return self.arrays[name]


def read_npy(path: Path) -> NDArray[Any]:
    """Map the array of a `.npy` file.

    Raises:
        TensorError: it cannot be read, is cut short, or holds anything but numbers or text.
    """
    source = printable(path.name)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, MemoryError) as error:
        raise TensorError(f"{source} is no array file: {_first(error)}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise TensorError(f"{source} is an archive of arrays: name it .npz")
    return _checked(array, source)


def read_npz(path: Path) -> Table:
    """Map the arrays of an `.npz` file; compressed ones are unpacked to a temporary file.

    Raises:
        TensorError: the file or one of its arrays cannot be read, or is too large to unpack.
    """
    source = printable(path.name)
    arrays: dict[str, NDArray[Any]] = {}
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
                arrays[name] = _checked(_member(path, archive, member, where), where)
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise TensorError(f"{source} is no archive of arrays: {_first(error)}") from error
    return Table(arrays=arrays)


def _member(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str
) -> NDArray[Any]:
    try:
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)
            at = file.tell()
            size = math.prod(shape) * dtype.itemsize
            if dtype.hasobject or dtype.kind not in _KINDS:
                raise TensorError(f"{where} holds {dtype}, neither numbers nor text")
            if size != member.file_size - at:
                raise TensorError(f"{where} has {member.file_size - at} bytes instead of {size}")
            if size == 0:
                return np.empty(shape, dtype)
            order: Any = "F" if fortran else "C"
            if member.compress_type == zipfile.ZIP_STORED:
                offset = _data_offset(path, member) + at
                return np.memmap(path, dtype, "r", offset=offset, shape=shape, order=order)
            with _unpacked(file, size, where) as unpacked:
                return np.memmap(unpacked, dtype, "r+", shape=shape, order=order)
    except (ValueError, TypeError, SyntaxError, OverflowError) as error:
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


def _checked(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.dtype.hasobject or array.dtype.kind not in _KINDS:
        raise TensorError(f"{where} holds {array.dtype}, neither numbers nor text")
    if array.ndim == 0:
        raise TensorError(f"{where} holds a single value, not one row for each sample")
    return array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """A CSV file: `numbers` (n, columns) in a temporary file; `answers` (n,) are a column's text.

    `whole` says that no cell has a point or an exponent.
    """

    numbers: NDArray[np.float64]
    answers: NDArray[np.str_] | None
    whole: bool


def read_csv(path: Path, labels: str | None) -> Columns:
    """Read a CSV file with a header.

    Args:
        labels: heading of the column with the answers; None where there is none.

    Raises:
        TensorError: a line with too few or too many cells, or a cell that is no number; names it.
    """
    source = printable(path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _columns(csv.reader(file, strict=True), source, labels)
    except OSError as error:
        raise TensorError(f"cannot read {source}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TensorError(f"{source} is no CSV file: {_first(error)}") from error


def _columns(lines: Iterator[list[str]], source: str, labels: str | None) -> Columns:
    header = [heading.strip() for heading in next(lines, [])]
    if not header or len(header) > MOST_COLUMNS:
        raise TensorError(f"{source} has no header of 1 to {MOST_COLUMNS} columns")
    if all(_is_number(heading) for heading in header):
        raise TensorError(f"{source} has no header: its first line holds numbers")
    if labels is not None and labels not in header:
        names = listed([printable(heading) for heading in header], _SHOWN)
        raise TensorError(f"{source} has no column {printable(labels)!r}; it has: {names}")
    place = None if labels is None else header.index(labels)
    width = len(header) - (place is not None)
    answers: list[str] = []
    whole = True
    with tempfile.TemporaryFile(prefix="hil-data-") as unpacked:
        for number, block in _blocks(lines):
            cells = [_cells(row, number + at, len(header), source) for at, row in enumerate(block)]
            if place is not None:
                answers += [row.pop(place).strip() for row in cells]
            values = _numbers(cells, number, source)
            whole = whole and values.dtype.kind == "i"
            unpacked.write(values.astype(np.float64).tobytes())
        count = unpacked.tell() // (8 * width) if width else 0
        unpacked.flush()
        if count == 0:
            raise TensorError(f"{source} holds no samples")
        mapped = np.memmap(unpacked, np.float64, "r+", shape=(count, width))
    return Columns(
        numbers=mapped, answers=None if place is None else np.array(answers), whole=whole
    )


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
