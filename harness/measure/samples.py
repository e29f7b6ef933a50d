"""Timed invokes of runs as distributions: samples.csv may hold more rows than fit in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Name = tuple[str, ...]
"""Identity of a run."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """How often each value occurred: `values` (k,), each once and ascending, and `counts` (k,)."""

    values: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, samples: NDArray[Any]) -> Spread:
        """That of samples (n,)."""
        values, counts = np.unique(samples.astype(np.float64), return_counts=True)
        return cls(values=values, counts=counts)

    @property
    def size(self) -> int:
        """Samples."""
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float:
        """Percentile of the samples, linear between order statistics as NumPy's default."""
        place = percent / 100 * (self.size - 1)
        low = int(place)
        up_to = np.cumsum(self.counts)
        first, second = (
            float(self.values[np.searchsorted(up_to, at, side="right")])
            for at in (low, min(low + 1, self.size - 1))
        )
        return first + (place - low) * (second - first)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Spread)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


def merged(spreads: Collection[Spread]) -> Spread:
    """That of the samples of several."""
    if len(spreads) == 1:
        return next(iter(spreads))
    values, places = np.unique(np.concatenate([one.values for one in spreads]), return_inverse=True)
    counts = np.zeros(len(values), dtype=np.int64)
    np.add.at(counts, places, np.concatenate([one.counts for one in spreads]))
    return Spread(values=values, counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Timed invokes of one run by session, in microseconds and, if all have them, instructions."""

    us: Mapping[int, Spread]
    instructions: Mapping[int, Spread] | None = None

    def __len__(self) -> int:
        return sum(spread.size for spread in self.us.values())


@dataclass(slots=True)
class _Gathering:
    """A distribution that grows: merged only now and then, so that each value is sorted rarely."""

    whole: Spread | None = None
    parts: list[Spread] = field(default_factory=list)
    waiting: int = 0

    def add(self, samples: NDArray[Any]) -> None:
        self.parts.append(Spread.of(samples))
        self.waiting += len(self.parts[-1].values)
        if self.whole is None or self.waiting > len(self.whole.values):
            self.done()

    def done(self) -> Spread:
        held = [self.whole] if self.whole is not None else []
        self.whole = merged([*held, *self.parts])
        self.parts, self.waiting = [], 0
        return self.whole


@dataclass(slots=True)
class _Seen:
    """Indices of samples that were there before, as intervals, both ends included."""

    first: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    last: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Remember indices (n,); which of them are new, the first of several alike."""
        new = np.zeros(len(index), dtype=bool)
        new[np.unique(index, return_index=True)[1]] = True
        if len(self.first):
            at = np.searchsorted(self.first, index, side="right") - 1
            new &= (at < 0) | (index > self.last[np.maximum(at, 0)])
        fresh = np.sort(index[new])
        if len(fresh):
            gaps = np.flatnonzero(np.diff(fresh) > 1)
            first = np.concatenate([self.first, fresh[:1], fresh[gaps + 1]])
            last = np.concatenate([self.last, fresh[gaps], fresh[-1:]])
            first, last = np.sort(first), np.sort(last)
            apart = first[1:] - 1 > last[:-1]
            self.first = first[np.concatenate([[True], apart])]
            self.last = last[np.concatenate([apart, [True]])]
        return new


@dataclass(slots=True)
class _Session:
    us: _Gathering = field(default_factory=_Gathering)
    instructions: _Gathering = field(default_factory=_Gathering)
    exact: bool = True
    seen: _Seen = field(default_factory=_Seen)


class SampleTable:
    """Takes in rows of samples.csv, block by block, and keeps their distributions.

    Args:
        identity: columns that name a run.
        wanted: runs whose samples are kept.
    """

    def __init__(self, identity: Collection[str], wanted: Collection[_Name]) -> None:
        self._identity = list(identity)
        self._wanted = wanted
        self._sessions: dict[_Name, dict[int, _Session]] = {}
        self.twice = 0
        """Rows that were there before."""

    def add(self, frame: Any) -> None:
        """Take in the rows of a table."""
        us, index = frame["us"].to_numpy(), frame["index"].to_numpy(dtype=np.int64)
        counted = frame["instructions"].notna().to_numpy()
        instructions = frame["instructions"].to_numpy(dtype=np.int64, na_value=0)
        for name, number, at in self._groups(frame):
            session = self._sessions.setdefault(name, {}).setdefault(number, _Session())
            new = session.seen.add(index[at])
            self.twice += int(len(at) - new.sum())
            at = at[new]
            if not len(at):
                continue
            session.us.add(us[at])
            session.exact &= bool(counted[at].all())
            if session.exact:
                session.instructions.add(instructions[at])

    def _groups(self, frame: Any) -> Iterator[tuple[_Name, int, NDArray[np.int64]]]:
        places = frame.groupby([*self._identity, "session_number"], sort=False).indices
        for (*name, number), at in places.items():
            if tuple(name) in self._wanted:
                yield tuple(name), int(number), at

    def of_runs(self) -> dict[_Name, Samples]:
        """What was kept of each run, sessions in their order."""
        return {name: _samples(sessions) for name, sessions in self._sessions.items()}


def _samples(sessions: Mapping[int, _Session]) -> Samples:
    ordered = sorted(sessions.items())
    exact = all(session.exact for _, session in ordered)
    return Samples(
        us={number: session.us.done() for number, session in ordered},
        instructions={number: session.instructions.done() for number, session in ordered}
        if exact
        else None,
    )
