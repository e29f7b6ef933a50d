"""Samples that follow one another: sequences of a data set, and windows over longer streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.text import printable

Read = Callable[[int, int], NDArray[Any]]
"""Frames of a slice, one row of numbers each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Streams:
    """The sequences of a data set, one after the other, and the frames that samples are made of.

    A sample is `length` frames; from one sample of a sequence to the next it is `stride` frames.
    Both are 1 where samples are what the data hold. `starts` (s,) are the first samples of the
    sequences, `frame_starts` (s,) their first frames, `firsts` (n,) the first frame of each sample,
    counted through all sequences. `labels` (frames,) are class numbers where they are known, else
    None; -1 is a frame of no class.
    """

    names: tuple[str, ...]
    starts: NDArray[np.int64]
    frame_starts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    frames: int
    length: int = 1
    stride: int = 1
    labels: NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """Samples in all sequences."""
        return len(self.firsts)

    @property
    def sequence_of(self) -> NDArray[np.intp]:
        """The number of each sample's sequence (n,)."""
        return np.searchsorted(self.starts, np.arange(self.samples), side="right") - 1

    @property
    def ends(self) -> NDArray[np.int64]:
        """Frames of its sequence that are over when a sample is complete, (n,)."""
        ends: NDArray[np.int64] = self.firsts + self.length - self.frame_starts[self.sequence_of]
        return ends

    def sequence_at(self, sample: int) -> int:
        """The number of a sample's sequence."""
        return int(np.searchsorted(self.starts, sample, side="right")) - 1

    def begins(self, sample: int) -> bool:
        """Whether a sequence begins at a sample, or all have ended before it."""
        at = int(np.searchsorted(self.starts, sample))
        return sample == self.samples or (at < len(self.starts) and self.starts[at] == sample)

    def name_at(self, sample: int) -> str:
        """The name of a sample's sequence."""
        return self.names[self.sequence_at(sample)]

    def bounds(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The sequences of a slice of samples, as slices; the first and the last may be parts."""
        inner = self.starts[(self.starts > start) & (self.starts < stop)].tolist()
        edges = [start, *inner, stop]
        return list(zip(edges[:-1], edges[1:], strict=True))

    def block(self, start: int, most: int) -> int:
        """Where whole sequences from `start` on end that hold at most so many samples, or one."""
        edges = np.append(self.starts[self.starts > start], self.samples)
        fitting = edges[edges <= start + most]
        return int(fitting[-1] if len(fitting) else edges[0])

    def frames_in(self, sequence: int) -> int:
        """Frames of one sequence."""
        after = np.append(self.frame_starts, self.frames)
        return int(after[sequence + 1] - after[sequence])


def streams_of(ids: NDArray[Any], source: str) -> Streams:
    """Sequences by the id of each sample, integers or text. One sequence stands in one place.

    Raises:
        TensorError: other ids, or a sequence that goes on after another one.
    """
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1 or ids.dtype.kind not in "biuUS" or len(ids) == 0:
        raise TensorError(
            f"{source}: the ids of sequences are {ids.dtype} of shape {ids.shape}; they are one "
            "integer or text for each sample"
        )
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])).astype(np.int64)
    names = [_text(ids[at]) for at in starts]
    seen: dict[str, int] = {}
    for name, start in zip(names, starts.tolist(), strict=True):
        if seen.setdefault(name, start) != start:
            raise TensorError(
                f"{source}: sample {start} is of sequence {printable(name)!r}, which had ended "
                "before",
                hint="The samples of a sequence follow one another: sort them by sequence.",
            )
    return _of_lengths(tuple(map(printable, names)), starts, len(ids))


def streams_of_counts(counts: list[int], names: tuple[str, ...]) -> Streams:
    """Sequences of so many samples each."""
    starts = np.cumsum([0, *counts[:-1]], dtype=np.int64)
    return _of_lengths(names, starts, sum(counts))


def one_stream(count: int, name: str) -> Streams:
    """All samples as one sequence."""
    return streams_of_counts([count], (name,))


def cut(streams: Streams, *, length: int, stride: int, source: str) -> Streams:
    """Windows of `length` frames, every `stride` frames, none over the end of a sequence.

    Args:
        streams: its samples are the frames.

    Raises:
        TensorError: a sequence is shorter than a window.
    """
    sizes = np.diff(np.append(streams.frame_starts, streams.frames))
    if (short := np.flatnonzero(sizes < length)).size:
        at = int(short[0])
        raise TensorError(
            f"{source}: sequence {streams.names[at]!r} has {sizes[at]} frames, while the model "
            f"takes windows of {length}"
        )
    counts = 1 + (sizes - length) // stride
    starts = np.cumsum(np.append(0, counts[:-1])).astype(np.int64)
    within = np.arange(counts.sum(), dtype=np.int64) - np.repeat(starts, counts)
    return replace(
        streams,
        starts=starts,
        firsts=np.repeat(streams.frame_starts, counts) + stride * within,
        length=length,
        stride=stride,
    )


def windows(read: Read, streams: Streams, start: int, stop: int) -> NDArray[Any]:
    """Samples of a slice out of their frames, one row each."""
    firsts, length = streams.firsts[start:stop], streams.length
    if streams.stride >= length:
        # Nothing is in two windows, and much may be in none.
        return np.stack([read(first, first + length).reshape(-1) for first in firsts.tolist()])
    span = read(int(firsts[0]), int(firsts[-1]) + length)
    which = (firsts - firsts[0])[:, np.newaxis] + np.arange(length)
    return np.asarray(span[which].reshape(stop - start, -1))


def frame_labels(labels: NDArray[np.int64], streams: Streams) -> NDArray[np.int64]:
    """The class of each frame (frames,) by those of samples: a sample says it of its newest frames.

    -1 stands for frames that no sample says it of.
    """
    known = np.full(streams.frames, -1, dtype=np.int64)
    ends = streams.firsts + streams.length
    for back in range(min(streams.stride, streams.length), 0, -1):
        known[ends - back] = labels
    first = streams.starts
    for start, stop, label in zip(
        streams.firsts[first].tolist(), ends[first].tolist(), labels[first].tolist(), strict=True
    ):
        known[start:stop] = label
    return known


def _of_lengths(names: tuple[str, ...], starts: NDArray[np.int64], count: int) -> Streams:
    return Streams(
        names=names,
        starts=starts,
        frame_starts=starts,
        firsts=np.arange(count, dtype=np.int64),
        frames=count,
    )


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip()
