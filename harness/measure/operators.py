"""Two profiles of a model, operator by operator: which got slower or faster, appeared or went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from harness.errors import ReportError
from harness.measure.frames import DataFrame, records_of
from harness.measure.gate import (
    LEAST_DELTA,
    SHARED_LEAST_DELTA,
    Judgement,
    LatencyVerdict,
    Sessions,
    judge,
)
from harness.measure.tables import BETWEEN, LayerRow
from harness.measure.versus import INSTRUCTIONS

APPEARED, WENT = "appeared", "went"
SLOWER = LatencyVerdict.SLOWER.value

Pair = tuple[LayerRow | None, LayerRow | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorChange:
    """An operator in profile a and in profile b; None where it is in one of them only.

    `a` and `b` are what it takes in `unit`: exact instructions, or medians of session medians in
    us. `verdict` is the gate's word, `appeared` or `went`, `rule` what decided. `ratio` is b over
    a, in the interval `low` to `high`. What lies between the operators has the operator `between`
    and no index.
    """

    index_a: int | None
    index_b: int | None
    operator: str
    name: str
    shape: str
    unit: str
    a: float | None
    b: float | None
    verdict: str
    rule: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def label(self) -> str:
        """`2 CONV_2D`, by the index in b where it is there."""
        index = self.index_a if self.index_b is None else self.index_b
        return self.operator if index is None else f"{index} {self.operator}"


def compare_operators(
    a: Sequence[LayerRow] | DataFrame, b: Sequence[LayerRow] | DataFrame
) -> tuple[OperatorChange, ...]:
    """The operators of two profiles, in the order of b; those that went, where they were in a.

    Operators are the same by kind, name and shape of their output, in their order, as a diff finds
    them; where names changed, by kind and shape. Exact counts differ by one instruction; times are
    judged by the gate's rule over the sessions of each profile, and more strictly the more
    operators there are. What takes less than a step of the board's counter cannot be told.

    Args:
        a, b: rows of layers.csv, of one run of one model each: records, or a table of
            `load_frame`.

    Raises:
        ReportError: one is empty or of several runs, or they cannot be compared: of other boards,
            clocks or runtimes, which fuse other operators into one step.
    """
    before, after = _records(a), _records(b)
    if reason := profile_refusal(before, after):
        raise ReportError(f"the operators of two profiles cannot be compared: {reason}")
    pairs = paired(before, after)
    both = sum(None not in pair for pair in pairs) + 1
    changes = [_change(pair, both) for pair in pairs]
    return (*changes, _between(before[0], after[0], both))


def profile_refusal(a: Sequence[LayerRow], b: Sequence[LayerRow]) -> str | None:
    """Why the rows of two profiles cannot be compared; None if they can."""
    for name, rows in (("first", a), ("second", b)):
        if not rows:
            return f"the {name} has no rows"
        if len({(row.run, row.board, row.runtime, row.model, row.dtype) for row in rows}) > 1:
            return f"the {name} has rows of several runs or models"
    old, new = a[0], b[0]
    for what in ("board", "emulated", "clock_hz", "runtime"):
        left, right = getattr(old, what), getattr(new, what)
        if left != right:
            return f"{what.removesuffix('_hz')} {left} and {right}"
    return None


def paired(a: Sequence[LayerRow], b: Sequence[LayerRow]) -> list[Pair]:
    """Operators of two profiles that are the same; the others beside None."""
    pairs: list[Pair] = []
    for left, right in _blocks(a, b, _by_name):
        if left and right and len(left) == len(right) and _by_name(left) == _by_name(right):
            pairs += zip(left, right, strict=True)
            continue
        # No operator of this gap has its name on the other side: converters number them anew.
        for old, new in _blocks(left, right, _by_kind):
            if _by_kind(old) == _by_kind(new):
                pairs += zip(old, new, strict=True)
            else:
                pairs += [*((row, None) for row in old), *((None, row) for row in new)]
    return pairs


def _by_name(rows: Sequence[LayerRow]) -> list[tuple[str, ...]]:
    return [(row.operator, row.name, row.shape) for row in rows]


def _by_kind(rows: Sequence[LayerRow]) -> list[tuple[str, ...]]:
    return [(row.operator, row.shape) for row in rows]


def _blocks(
    a: Sequence[LayerRow], b: Sequence[LayerRow], key: Any
) -> Iterable[tuple[Sequence[LayerRow], Sequence[LayerRow]]]:
    """Stretches of both that are equal by the key, and the gaps between them."""
    matcher = SequenceMatcher(None, key(a), key(b), autojunk=False)
    for _, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        yield a[a_from:a_to], b[b_from:b_to]


def _records(rows: Sequence[LayerRow] | DataFrame) -> tuple[LayerRow, ...]:
    found = records_of(rows, LayerRow) if hasattr(rows, "columns") else tuple(rows)
    return tuple(sorted(found, key=lambda row: row.index))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What an operator takes on one side: an exact count, or one figure in us of each session."""

    count: int | None
    sessions: tuple[float, ...]
    step_us: float
    least_delta: float

    @property
    def us(self) -> float:
        ordered = sorted(self.sessions)
        low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        return (low + high) / 2


def _figures(row: LayerRow, *, between: bool = False) -> _Figures:
    texts = row.session_between_us if between else row.session_p50_us
    whole = row.between_us if between else row.p50_us
    return _Figures(
        count=row.between_instructions if between else row.instructions_p50,
        sessions=_numbers(texts) or (whole,),
        step_us=row.timer_step_us or 0.0,
        # Of an emulated board that counts nothing the clock is a shared machine's.
        least_delta=SHARED_LEAST_DELTA if row.emulated else LEAST_DELTA,
    )


def operator_sessions(row: LayerRow) -> Sessions | None:
    """What an operator took in us in each session of its profile; None if its count is exact.

    There are no figures where it takes no more than one step of the board's counter.
    """
    if row.instructions_p50 is not None:
        return None
    of = _figures(row)
    figures = tuple(max(figure, of.step_us) for figure in of.sessions)
    told = min(figures) > 0 and of.us > of.step_us
    return Sessions(figures=figures if told else (), step_us=of.step_us, least_delta=of.least_delta)


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        found = tuple(map(float, (text or "").split()))
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()


def _change(pair: Pair, family: int) -> OperatorChange:
    old, new = pair
    known = new or old
    assert known is not None, "a pair has an operator"
    before = None if old is None else _figures(old)
    after = None if new is None else _figures(new)
    exact = all(side is None or side.count is not None for side in (before, after))
    if before is None or after is None:
        verdict, rule = _alone(before is None)
        found = Judgement(verdict=LatencyVerdict.CANNOT_TELL, rule=rule)
    else:
        found = _judged(before, after, family)
        verdict, rule = found.verdict.value, found.rule
    return OperatorChange(
        index_a=None if old is None else old.index,
        index_b=None if new is None else new.index,
        operator=known.operator,
        name=known.name,
        shape=known.shape,
        unit=INSTRUCTIONS if exact else "us",
        a=_amount(before, exact),
        b=_amount(after, exact),
        verdict=verdict,
        rule=rule,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
    )


def _alone(appeared: bool) -> tuple[str, str]:
    if appeared:
        return APPEARED, "the baseline has no such operator there"
    return WENT, "this run has no such operator there"


def _between(old: LayerRow, new: LayerRow, family: int) -> OperatorChange:
    """What lies between the operators, as one more."""
    before, after = (_figures(row, between=True) for row in (old, new))
    exact = before.count is not None and after.count is not None
    found = _judged(before, after, family)
    return OperatorChange(
        index_a=None,
        index_b=None,
        operator=BETWEEN,
        name="",
        shape="",
        unit=INSTRUCTIONS if exact else "us",
        a=_amount(before, exact),
        b=_amount(after, exact),
        verdict=found.verdict.value,
        rule=found.rule,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
    )


def _amount(side: _Figures | None, exact: bool) -> float | None:
    if side is None:
        return None
    return float(side.count) if exact and side.count is not None else side.us


def _judged(before: _Figures, after: _Figures, family: int) -> Judgement:
    if before.count is not None and after.count is not None:
        return _judged_counts(before.count, after.count)
    if (before.count is None) != (after.count is None):
        return Judgement(
            verdict=LatencyVerdict.CANNOT_TELL,
            rule="one side counts instructions, the other measures us",
        )
    step = max(before.step_us, after.step_us)
    if max(before.us, after.us) <= step:
        rule = f"takes no more than one step of the board's counter, {step:.3g} us"
        return Judgement(verdict=LatencyVerdict.CANNOT_TELL, rule=rule)
    # Less than a step is not told apart from one step; without a step known, from nothing.
    if not step and min(*before.sessions, *after.sessions) <= 0:
        rule = "takes less than observing it costs, and the counter's step is not known"
        return Judgement(verdict=LatencyVerdict.CANNOT_TELL, rule=rule)
    sides = [
        Sessions(
            figures=tuple(max(figure, step) for figure in side.sessions),
            step_us=step,
            least_delta=side.least_delta,
        )
        for side in (before, after)
    ]
    return judge(*sides, family=family)


def _judged_counts(before: int, after: int) -> Judgement:
    """As the gate; an operator without an instruction of its own has no ratio."""
    if before > 0 and after > 0:
        return judge(*(Sessions(figures=(float(count),), exact=True) for count in (before, after)))
    if before == after:
        verdict, how = LatencyVerdict.SAME, "as before: exact"
    else:
        slower = after > before
        verdict = LatencyVerdict.SLOWER if slower else LatencyVerdict.FASTER
        how = f"against {before}: exact, so one {'more' if slower else 'less'} decides"
    return Judgement(verdict=verdict, rule=f"{after} instructions, {how}")


def any_slower(changes: Iterable[OperatorChange]) -> bool:
    """Whether the gate should close: as of a whole run, by what got slower."""
    return any(change.verdict == SLOWER for change in changes)
