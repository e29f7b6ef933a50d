"""An array in a file, read row by row with file reads.

It is never mapped: where a mapped file becomes shorter in mid-run, the next access ends the process
with SIGBUS, and nothing can be said of it.
"""

from __future__ import annotations

import math
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.text import printable


@dataclass(frozen=True, slots=True)
class _Version:
    """What changes when somebody writes to a file."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, file: int) -> _Version:
        found = os.fstat(file)
        return cls(found.st_size, found.st_mtime_ns)


class Stored:
    """An array (n, ...) that begins at `offset` of an open file, which is closed with it.

    `fortran`: the first axis varies fastest in the file. `source` names the file in errors; None
    for a temporary one, which nobody else can change. Several threads may read it.
    """

    def __init__(
        self,
        file: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        offset: int = 0,
        fortran: bool = False,
        source: str | None = None,
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._offset, self._source = file, offset, source
        self._columns = math.prod(shape[1:])
        self._by_column = fortran and self._columns > 1
        self._version = _Version.of(file)
        weakref.finalize(self, os.close, file)

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows (stop - start, ...) of a slice, which lies within the array.

        Raises:
            TensorError: the file was changed since it was opened, or cannot be read.
        """
        read = self._of_columns if self._by_column else self._of_rows
        try:
            found, whole = read(start, stop)
        except OSError as error:
            raise TensorError(f"cannot read {self._source}: {error.strerror}") from error
        now = _Version.of(self._file)
        if self._source is not None and (not whole or now != self._version):
            raise TensorError(
                f"{self._source} was changed while it was in use: it had {self._version.size} "
                f"bytes when it was opened and has {now.size} now",
                hint="Start again when nothing writes to it. What was computed of the old content "
                "is not taken for the new one.",
            )
        return found

    def flat(self, start: int, stop: int) -> NDArray[Any]:
        """As `rows`, with one axis for all that is in a row."""
        return self.rows(start, stop).reshape(stop - start, self._columns)

    def merged(self, source: str) -> Stored:
        """The same with the first two axes as one, (n * m, ...).

        Raises:
            TensorError: the array is in Fortran's order.
        """
        if self._by_column:
            raise TensorError(
                f"{source} holds streams in Fortran's order",
                hint="Save them in C's order: np.ascontiguousarray(array)",
            )
        shape = (self.shape[0] * self.shape[1], *self.shape[2:])
        own = os.dup(self._file)
        return Stored(own, shape, self.dtype, offset=self._offset, source=self._source)

    def whole(self) -> NDArray[Any]:
        """All rows, in memory."""
        return self.rows(0, len(self))

    def _of_rows(self, start: int, stop: int) -> tuple[NDArray[Any], bool]:
        found = np.zeros((stop - start, *self.shape[1:]), dtype=self.dtype)
        return found, self._read(found, start * self._columns)

    def _of_columns(self, start: int, stop: int) -> tuple[NDArray[Any], bool]:
        found = np.zeros((self._columns, stop - start), dtype=self.dtype)
        whole = [self._read(found[at], at * len(self) + start) for at in range(self._columns)]
        return found.T.reshape((stop - start, *self.shape[1:]), order="F"), all(whole)

    def _read(self, target: NDArray[Any], element: int) -> bool:
        """Fill an array from an element on; whether the file had as much."""
        view, at = memoryview(target.reshape(-1).view(np.uint8).data), 0
        begin = self._offset + element * self.dtype.itemsize
        while at < len(view):
            got = os.preadv(self._file, [view[at:]], begin + at)
            if got == 0:
                return False
            at += got
        return True


def stored_in(
    file: Path | int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    offset: int = 0,
    fortran: bool = False,
) -> Stored:
    """An array (n, ...) in a file.

    Args:
        file: a path; or the descriptor of a temporary file, of which a copy is kept.

    Raises:
        OSError: it cannot be opened.
    """
    if isinstance(file, int):
        return Stored(os.dup(file), shape, dtype, offset=offset, fortran=fortran)
    own = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    source = printable(file.name)
    return Stored(own, shape, dtype, offset=offset, fortran=fortran, source=source)
