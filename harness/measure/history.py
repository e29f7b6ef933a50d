"""When a figure of a board and model changed: runs in the order of time, judged by the gate's rule.

Every run is held to the one before it, and to the first of its level, so that a figure that creeps
by less than a night can show is found too. Runs that cannot be compared are in different setups,
and each setup has a history of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import isclose

from harness.measure.baseline import refusal
from harness.measure.gate import LEAST_SESSIONS, Judgement, LatencyVerdict, Sessions, judge
from harness.measure.runs import Key

MOST_SESSIONS = 100
"""A run of more is not judged: the bootstrap would take minutes and gigabytes."""
_ROUNDING = 1e-9
"""Shares and means that differ by less, relatively, are one figure summed in another order."""


class Move(Enum):
    """What a run's figure is against an earlier one's."""

    MORE = 1
    LESS = -1
    SAME = 0
    CANNOT_TELL = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureKind:
    """What is followed through time. `more` and `less` are the words for its changes."""

    name: str
    unit: str
    more: str = "larger"
    less: str = "smaller"

    def word(self, move: Move) -> str:
        """The word of a move, as every output has it."""
        words = {Move.MORE: self.more, Move.LESS: self.less, Move.SAME: "same"}
        return words.get(move, "cannot tell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What runs must share to be compared; of `key` neither the model's bytes nor versions.

    `data` is what an evaluation's figure is of.
    """

    key: Key
    compiler: str | None = None
    data: str = ""


def setup_of(key: Key, compiler: str | None = None, data: str = "") -> Setup:
    """The setup of a run. A model is the same by its name and a runtime whatever its version."""
    return Setup(
        key=replace(key, runtime_version="", model_sha256=""), compiler=compiler, data=data
    )


def apart(before: Setup, now: Setup) -> str | None:
    """Why runs of two setups cannot be compared; None if they can."""
    if why := refusal(now.key, before.key, any_version=True):
        return why.replace("the baseline", "the run before").replace(", baseline", ", before")
    if now.data != before.data:
        return f"other data: {now.data}, before {before.data}"
    if now.compiler != before.compiler:
        if now.compiler is None or before.compiler is None:
            side = "this run" if now.compiler is None else "the run before"
            return f"{side} does not say its compiler"
        return f"other compiler: {now.compiler}, before {before.compiler}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure of one run. `sessions` is what the gate judges; None where `value` is exact."""

    time_utc: str
    run: str
    commit: str | None
    value: float
    setup: Setup
    model_sha256: str
    runtime_version: str
    sessions: Sessions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A point, the number of its setup from 0 on, and what it is against those before it.

    `move` is None of a setup's first. `rule` says what decided.
    """

    point: Point
    setup: int
    move: Move | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: `bad` is the first run that has it, `good` the last that has it not.

    `reference` is the run that `bad` was judged against, `undecided` how many runs lie between
    `good` and `bad` of which nobody can tell. `at` is the place of `bad` among all points.
    """

    at: int
    move: Move
    good: Point
    bad: Point
    reference: Point
    undecided: int
    rule: str
    ratio: float | None
    low: float | None
    high: float | None

    @property
    def causes(self) -> tuple[str, ...]:
        """What else is not as it was."""
        pairs = (
            ("model", self.good.model_sha256[:8], self.bad.model_sha256[:8]),
            ("runtime", self.good.runtime_version, self.bad.runtime_version),
        )
        return tuple(f"{what} changed from {a} to {b}" for what, a, b in pairs if a != b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The first run of a setup, at place `at`, and why it is not compared with the run before."""

    at: int
    setup: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureHistory:
    """One figure through time: all runs, and what came of judging them."""

    kind: FigureKind
    points: tuple[Judged, ...]
    changes: tuple[Change, ...]
    splits: tuple[Split, ...]

    @property
    def undecided(self) -> tuple[Judged, ...]:
        """Runs of which the rule cannot tell."""
        return tuple(point for point in self.points if point.move is Move.CANNOT_TELL)

    @property
    def constant(self) -> bool:
        """Whether every run has the very same figure."""
        return len({judged.point.value for judged in self.points}) == 1


def figure_history(kind: FigureKind, points: Sequence[Point]) -> FigureHistory:
    """Judge a figure's runs.

    Args:
        points: at least one, in the order of time.
    """
    lanes: dict[Setup, _Lane] = {}
    judged: list[Judged] = []
    changes: list[Change] = []
    splits: list[Split] = []
    for at, point in enumerate(points):
        if point.setup not in lanes:
            if at:
                why = apart(points[at - 1].setup, point.setup) or ""
                splits.append(Split(at=at, setup=len(lanes), reason=why))
            lanes[point.setup] = _Lane(len(lanes))
        lane = lanes[point.setup]
        found = lane.add(at, point)
        judged.append(found[0])
        changes += found[1]
    return FigureHistory(
        kind=kind, points=tuple(judged), changes=tuple(changes), splits=tuple(splits)
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A run, and its number among those of its setup."""

    number: int
    point: Point


class _Lane:
    """Runs of one setup, as far as they were judged: those that the next one is held to.

    They are the `first` of the present level, the `last` that can be judged by, and the last that
    is `good`, that is the same as the first.
    """

    def __init__(self, setup: int) -> None:
        self._setup = setup
        self._count = 0
        self._first: _Placed | None = None
        self._last: _Placed | None = None
        self._good: _Placed | None = None
        self._blind = False
        """Whether the last could not be told from the first."""

    def add(self, at: int, point: Point) -> tuple[Judged, list[Change]]:
        """Judge the next run, which is at place `at` among the runs of all setups."""
        new = _Placed(self._count, point)
        self._count += 1
        if why := _unusable(point):
            return self._judged(point, Move.CANNOT_TELL, why), []
        if self._first is None or self._last is None or self._good is None:
            self._begin(new)
            return self._judged(point, None, "the first of its kind"), []
        found, reference, good = _judge(self._last.point, point), self._last, self._last
        from_first = found if self._first is self._last else _judge(self._first.point, point)
        if found.verdict not in _MOVED and from_first.verdict in _MOVED:
            found, reference, good = from_first, self._first, self._good
        if found.verdict in _MOVED:
            change = _change(at, new, found, reference, good)
            self._begin(new)
            return self._judged(point, change.move, found.rule), [change]
        self._stay(new, found, from_first)
        return self._judged(point, _MOVES[from_first.verdict], from_first.rule), []

    def _stay(self, new: _Placed, found: Judgement, from_first: Judgement) -> None:
        """Go on at the same level, as far as can be told.

        A level that began with a noisy run is taken to begin where two runs agree with each other
        and neither can be told from it.
        """
        unknown = from_first.verdict is LatencyVerdict.CANNOT_TELL
        if unknown and self._blind and found.verdict is LatencyVerdict.SAME:
            self._begin(new)
            return
        self._last, self._blind = new, unknown
        if not unknown:
            self._good = new

    def _begin(self, new: _Placed) -> None:
        self._first = self._last = self._good = new
        self._blind = False

    def _judged(self, point: Point, move: Move | None, rule: str) -> Judged:
        return Judged(point=point, setup=self._setup, move=move, rule=rule)


def _change(at: int, new: _Placed, found: Judgement, reference: _Placed, good: _Placed) -> Change:
    return Change(
        at=at,
        move=_MOVES[found.verdict],
        good=good.point,
        bad=new.point,
        reference=reference.point,
        undecided=new.number - good.number - 1,
        rule=found.rule,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
    )


_MOVES = {
    LatencyVerdict.SLOWER: Move.MORE,
    LatencyVerdict.FASTER: Move.LESS,
    LatencyVerdict.SAME: Move.SAME,
    LatencyVerdict.CANNOT_TELL: Move.CANNOT_TELL,
}
_MOVED = (LatencyVerdict.SLOWER, LatencyVerdict.FASTER)


def _unusable(point: Point) -> str | None:
    """Why nothing can be judged by a run, whatever the other is; None if something can."""
    sessions = point.sessions
    if sessions is None or sessions.exact:
        return None
    if (n := len(sessions.figures)) < LEAST_SESSIONS:
        return (
            f"{n} session{'s' * (n != 1)}: {LEAST_SESSIONS} say how sessions differ, fewer do not"
        )
    if n > MOST_SESSIONS:
        return f"{n} sessions: more than {MOST_SESSIONS} are not judged"
    return None


def _judge(base: Point, new: Point) -> Judgement:
    if base.sessions is None or new.sessions is None:
        return _exact(base.value, new.value)
    return judge(base.sessions, new.sessions)


def _exact(before: float, after: float) -> Judgement:
    """The verdict on sizes, counts and shares, which are the same in every session."""
    verdict = LatencyVerdict.SLOWER if after > before else LatencyVerdict.FASTER
    if isclose(before, after, rel_tol=_ROUNDING):
        verdict = LatencyVerdict.SAME
    ratio = after / before if before else None
    return Judgement(
        verdict=verdict,
        rule=f"{after:.10g} against {before:.10g}: exact, so any difference decides",
        ratio=ratio,
        low=ratio,
        high=ratio,
        delta=0.0,
    )
