"""A user's data set, open: samples read as they are needed, and what is known of the answers."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.folders import COLOURS
from harness.model.inputs import MEANINGS, Numbers, converted, reals
from harness.model.samples import Layout
from harness.model.streams import Streams
from harness.model.targets import TASKS, Targets
from harness.model.tensor import TensorSpec
from harness.text import printable

X, Y, SEQUENCE = "x", "y", "sequence"
"""Arrays of an `.npz` file: the samples; where they are known the answers, and for each sample the
id of its sequence."""

_BLOCK_BYTES = 1 << 24
_CHUNK = 1 << 20

Rows = Callable[[int, int], tuple[NDArray[Any], ...]]
"""Samples of this slice as the file has them: for each input one row of numbers per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How a data set is to be read, as far as it does not say so itself.

    `inputs` is one of MEANINGS, `task` one of TASKS. `labels` names the column of a CSV file or the
    array of an `.npz` file with the answers, or a file of its own; `sequence` names that with the
    ids of sequences. `resize` and `colour` make images fit; `feature` is `module:function`. With a
    `stride` the data are streams of frames: samples are windows as long as the model's input, one
    every so many frames.
    """

    inputs: str | None = None
    labels: str | None = None
    task: str | None = None
    resize: bool = False
    colour: str | None = None
    feature: str | None = None
    sequence: str | None = None
    stride: int | None = None


def parse_data(text: str) -> tuple[Path, DataOptions]:
    """The path of a data set, and how to read it, from `set.csv?labels=y&inputs=real`.

    `resize` stands alone or is 1. `stride` is a number. A path that exists is taken as it is,
    whatever is in its name.

    Raises:
        TensorError: an option that there is none, or a value that it cannot have.
    """
    name, mark, query = text.rpartition("?")
    if not mark or Path(text).exists():
        return Path(text), DataOptions()
    given = dict(parse_qsl(query, keep_blank_values=True))
    known = {item.name for item in fields(DataOptions)}
    unknown = sorted(set(given) - known)
    for option, choices in (("inputs", MEANINGS), ("task", TASKS), ("colour", COLOURS)):
        if given.get(option, choices[0]) not in choices:
            raise TensorError(f"{option} of a data set is one of {', '.join(choices)}")
    if unknown:
        raise TensorError(
            f"a data set has no option {printable(unknown[0])!r}; known: {', '.join(sorted(known))}"
        )
    resize = given.pop("resize", "0") not in ("0", "false")
    stride = _stride(given.pop("stride", None))
    texts: dict[str, Any] = {option: value or None for option, value in given.items()}
    return Path(name), DataOptions(resize=resize, stride=stride, **texts)


def _stride(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise TensorError("the stride of a data set is a number of frames, 1 or more")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """`count` samples for one model. `digest` is a SHA-256 over all that the inputs depend on.

    `meanings` says for each input what its numbers were taken for, `answers` for each output what
    is known of it. `streams` are the sequences that samples form, None where the data say nothing
    of any. Safe to be read by several threads.
    """

    source: str
    digest: str
    count: int
    layout: Layout
    meanings: tuple[str, ...]
    answers: tuple[Targets, ...]
    rows: Rows
    name: Callable[[int], str]
    streams: Streams | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def targets(self) -> Targets:
        """What is known of the first output."""
        return self.answers[0]

    @property
    def meaning(self) -> str:
        """What the numbers were taken for; of several inputs that differ, one after the other."""
        return ", ".join(dict.fromkeys(self.meanings))

    def inputs(self, start: int, stop: int) -> NDArray[Any]:
        """Samples (k, ...) of a slice as the model takes them: see `Layout`.

        Raises:
            TensorError: one cannot be read, or holds NaN; names it.
        """
        given = zip(self._read(start, stop), self.layout.specs, self.meanings, strict=True)
        return self.layout.pack([converted(rows, spec, meaning) for rows, spec, meaning in given])

    def picked(self, indices: Sequence[int]) -> NDArray[Any]:
        """Samples of these places, as `inputs` gives them."""
        return np.concatenate([self.inputs(index, index + 1) for index in indices])

    def reals(self, start: int, stop: int) -> NDArray[np.float32]:
        """The first input of the same samples in the model's own unit; quantized by nobody.

        Raises:
            TensorError: as `inputs`.
        """
        spec, rows = self.layout.specs[0], self._read(start, stop)[0]
        values = reals(rows, spec, self.meanings[0])
        return values.reshape(stop - start, *sample_shape(spec))

    def _read(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        with self.lock:
            read = self.rows(start, stop)
        for rows in read:
            refuse_not_finite(rows, start, self.name)
        return read


def sample_shape(spec: TensorSpec) -> tuple[int, ...]:
    """A tensor's shape without a batch axis of 1; a sample of a larger batch is the whole batch."""
    return spec.shape[1:] if spec.shape and spec.shape[0] == 1 else spec.shape


def numbers_of(
    read: Callable[[int, int], NDArray[Any]],
    count: int,
    name: Callable[[int], str],
    *,
    whole: bool = False,
) -> Numbers:
    """What all numbers of `count` rows are; each is read once.

    Args:
        whole: floating-point numbers stand for whole ones.

    Raises:
        TensorError: one is NaN or infinite; names its row.
    """
    low, high, rounded = np.inf, -np.inf, True
    dtype = read(0, 0).dtype
    for start, block in _blocks(read, count):
        refuse_not_finite(block, start, name)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        if dtype.kind == "f":
            rounded = rounded and bool((block == np.rint(block)).all())
    taken = np.dtype(np.int64) if whole else dtype.newbyteorder("=")
    return Numbers(dtype=taken, low=low, high=high, whole=rounded)


def _blocks(
    read: Callable[[int, int], NDArray[Any]], count: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _BLOCK_BYTES // max(1, read(0, min(1, count)).nbytes))
    for start in range(0, count, step):
        yield start, read(start, min(count, start + step))


def refuse_not_finite(rows: NDArray[Any], start: int, name: Callable[[int], str]) -> None:
    """Refuse rows that hold NaN or an infinite number; the first is number `start`."""
    if rows.dtype.kind != "f":
        return
    good = np.isfinite(rows).all(axis=1)
    if not good.all():
        raise TensorError(f"{name(start + int(np.argmin(good)))} holds NaN or an infinite number")


def stated(options: DataOptions) -> bytes:
    """How data are to be read, for their digest."""
    return repr(options).encode()


def digest_of_files(paths: list[Path], root: Path, stated: bytes) -> str:
    """SHA-256 over names and contents of files, and over how they are to be read."""
    whole = hashlib.sha256(stated)
    for path in paths:
        content = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
        except OSError as error:
            raise TensorError(f"cannot read {printable(path.name)}: {error.strerror}") from error
        whole.update(os.fsencode(os.path.relpath(path, root)) + b"\0" + content.digest())
    return whole.hexdigest()
