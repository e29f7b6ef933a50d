"""Whether a build got slower: the rule, as a function of two runs' session medians.

A session is one start of a board; its figure is the median of its invokes. Sessions differ by more
than their invokes do (clocks, memory layout, temperature), so a run is as many numbers as it had
sessions. docs/gate.md shows what the rule sees and from which noise on it does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray

LEAST_DELTA = 0.02
"""A smaller change is none, however certain."""
SHARED_LEAST_DELTA = 1.0
"""The same where the clock is that of a shared host: other work slows whole runs down, by up to
1.7 times in our recordings, and sessions that follow each other do not show it."""
SPREADS = 3.0
LEAST_SESSIONS = 3
CONFIDENCE = 0.95
FENCE_SPREADS = 3.0
"""Sessions slower than their median by more robust standard deviations count as this slow."""

_UPPER_QUARTILE = 1.1503
"""Three quarters of a normal distribution lie within this many standard deviations."""
_MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2)
"""Standard error of a normal sample's median over that of its mean, for many samples."""
_WIDENING = 60.0
_FAMILY_WIDENING, _FAMILY_POWER = 1.2, 0.8
_RARE = 1e-9

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]


class LatencyVerdict(Enum):
    """The gate's verdict on two runs; the value is the word that every report uses."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """One figure for each session of a run: its median in us, or `exact` instruction counts.

    `step_us` is the smallest step of the board's counter. `least_delta` is the smallest change
    that counts; larger for a board whose runs differ by more than their sessions show.
    """

    figures: tuple[float, ...]
    exact: bool = False
    step_us: float = 0.0
    least_delta: float = LEAST_DELTA

    def __post_init__(self) -> None:
        if any(not 0 < figure < math.inf for figure in self.figures):
            raise ValueError(f"a session's median is positive, not among {self.figures}")

    @property
    def median(self) -> float:
        """Median of the figures, of which there is at least one."""
        return float(np.median(self.figures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict on `ratio`, new over baseline, in the 95 % interval `low` to `high`.

    `delta` is what the ratio had to exceed 1 by, `rule` a sentence with the figures that decided.
    Absent where nothing could be computed.
    """

    verdict: LatencyVerdict
    rule: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    delta: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatioEstimate:
    """Ratios, their intervals and deltas, for many pairs of runs at once; all of one shape.

    `floor` is the smallest delta there can be, whatever the spread, and `least` what it is for a
    board of its own clock.
    """

    ratio: Floats
    low: Floats
    high: Floats
    delta: Floats
    floor: Floats
    least: Floats

    @property
    def slower(self) -> Truths:
        """Above 1 + delta, and the whole interval above 1."""
        return np.asarray((self.ratio > 1 + self.delta) & (self.low > 1))

    @property
    def faster(self) -> Truths:
        """As `slower`, with the sides exchanged."""
        return np.asarray((1 / self.ratio > 1 + self.delta) & (self.high < 1))

    @property
    def same(self) -> Truths:
        """The interval excludes a change by the least delta.

        Not by delta: what noise has widened would call any change the same.
        """
        inside = (self.high <= 1 + self.least) & (1 / self.low <= 1 + self.least)
        return np.asarray(inside & ~self.slower & ~self.faster)


def session_sd(base: Floats, new: Floats) -> Floats:
    """Robust relative standard deviation of session medians, from both sides together.

    The upper quartile of all distances from the own side's median, in parts of that median and
    without each side's smallest, over 1.15, which is that quartile of a normal distribution. Of 5
    and 5 sessions it is the sixth of eight: two bad sessions leave it as it is.

    Args:
        base, new: shapes (..., n) and (..., m).
    """
    far = [np.sort(np.abs(side / _median(side) - 1), axis=-1)[..., 1:] for side in (base, new)]
    both = np.sort(np.concatenate(far, axis=-1), axis=-1)
    quartile: Floats = both[..., math.ceil(0.75 * both.shape[-1]) - 1]
    return quartile / _UPPER_QUARTILE


def aa_spread(sd: Floats, n: int, m: int) -> Floats:
    """The A/A spread: how far two runs of the same firmware differ, relative.

    The standard error of the ratio of two medians, sd * sqrt(pi/2 * (1/n + 1/m)), times
    1 + 60 / (n + m - 2)**2, since so few sessions know their own spread badly. That factor was
    found by simulation (benchmarks/latency/gate.py): with it three spreads are exceeded by chance
    less than once in 1000 for 3 to 20 normal or heavy-tailed sessions, however large their spread.
    """
    widening = 1 + _WIDENING / (n + m - 2) ** 2
    return np.asarray(sd * _MEDIAN_EFFICIENCY * math.sqrt(1 / n + 1 / m) * widening)


def spreads_of(family: int, n: int, m: int) -> float:
    """How many A/A spreads a change must exceed where `family` figures are judged at once.

    3 for one. For more 3 * family**(1.2 / (n + m - 2)**0.8): what of normal or heavy-tailed
    sessions, 3 to 10 on each side, any of up to 200 figures exceeds by chance less than once in
    1000 times. Found by simulation as `aa_spread` was: so few sessions have long tails.
    """
    power = _FAMILY_WIDENING / (n + m - 2) ** _FAMILY_POWER
    return float(SPREADS * family**power)


def weigh(
    base: Floats,
    new: Floats,
    *,
    step_us: float = 0.0,
    least_delta: float = LEAST_DELTA,
    family: int = 1,
) -> RatioEstimate:
    """Ratios, intervals and deltas for many pairs of runs at once.

    The interval is the percentile bootstrap of the ratio of medians, over sessions. With so few
    sessions the bootstrap distribution is summed exactly instead of sampled: there is no seed, and
    the same data give the same verdict. Slow outliers are winsorized first, or one bad session of
    five in the baseline would hide any slowdown smaller than its own. Fast outliers are kept:
    disturbances make a board slower, so a few fast sessions show what it can do.

    Args:
        base, new: us, shapes (..., n) and (..., m); 3 sessions at least on each side.
        family: how many figures of one run are judged at once, as its operators.
    """
    n, m = base.shape[-1], new.shape[-1]
    sd = session_sd(base, new)
    low, high = bootstrap(_fenced(base, sd), _fenced(new, sd))
    middle = _median(base)[..., 0]
    least = np.maximum(LEAST_DELTA, step_us / middle)
    floor = np.maximum(least_delta, least)
    return RatioEstimate(
        ratio=_median(new)[..., 0] / middle,
        low=low,
        high=high,
        delta=np.maximum(floor, spreads_of(family, n, m) * aa_spread(sd, n, m)),
        floor=floor,
        least=least,
    )


def _median(sessions: Floats) -> Floats:
    return np.asarray(np.median(sessions, axis=-1, keepdims=True))


def _fenced(sessions: Floats, sd: Floats) -> Floats:
    return np.minimum(sessions, _median(sessions) * (1 + FENCE_SPREADS * sd[..., None]))


def bootstrap(base: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Ends of the 95 % percentile bootstrap interval of median(new) / median(base).

    Args:
        base, new: shapes (..., n) and (..., m).
    """
    below, weight_below = _medians(base)
    above, weight_above = _medians(new)
    ratios = (above[..., :, None] / below[..., None, :]).reshape(*base.shape[:-1], -1)
    weights = np.broadcast_to(np.outer(weight_above, weight_below).ravel(), ratios.shape)
    order = np.argsort(ratios, axis=-1)
    ratios = np.take_along_axis(ratios, order, axis=-1)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=-1), axis=-1)
    return tuple(
        np.take_along_axis(ratios, (reached >= share).argmax(axis=-1)[..., None], axis=-1)[..., 0]
        for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )  # type: ignore[return-value]


def _medians(sessions: Floats) -> tuple[Floats, Floats]:
    """Medians that resamples of the sessions can have, (..., k), and their probabilities, (k,)."""
    first, second, odds = _median_odds(sessions.shape[-1])
    ordered = np.sort(sessions, axis=-1)
    return (ordered[..., first] + ordered[..., second]) / 2, odds


@cache
def _median_odds(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Odds that a resample's median is the mean of order statistics i <= j, counted from 0.

    At least h of n draws are among the k smallest with the odds of a binomial tail. For even n
    the two middle draws differ, i < j, if exactly n/2 draws reach up to i with i among them, and
    the others down to j with j among them. Pairs rarer than 1e-9 are left out.
    """
    half = (n + 1) // 2
    reach = [_at_least(half, n, k / n) for k in range(n + 1)]
    table = np.diag(np.diff(reach))
    if n % 2 == 0:
        power = (np.arange(n + 1) / n) ** half
        up_to, down_to = np.diff(power), np.diff(power)[::-1]
        apart = np.triu(math.comb(n, half) * np.outer(up_to, down_to), k=1)
        table = table - np.diag(apart.sum(axis=1)) + apart
    first, second = np.nonzero(table > _RARE)
    odds = table[first, second]
    return first, second, odds / odds.sum()


def _at_least(least: int, n: int, probability: float) -> float:
    terms = (
        math.comb(n, i) * probability**i * (1 - probability) ** (n - i) for i in range(least, n + 1)
    )
    return math.fsum(terms)


def judge(base: Sessions, new: Sessions, *, family: int = 1) -> Judgement:
    """The verdict on a run against its baseline.

    Slower: the ratio of medians of session medians is above 1 + delta, and its 95 % interval above
    1; delta is the largest of 2 % (or the sides' own `least_delta`), one step of the counter, and
    three times the A/A spread. Faster is the mirror. Same: the interval lies within 2 % or one
    step. Anything else, and fewer than 3 sessions on a side, cannot tell. Instruction counts
    are exact: any difference counts.

    Args:
        family: how many figures of one run are judged at once; more need more than three spreads.
    """
    if not base.figures or not new.figures:
        lacking = "the baseline" if not base.figures else "this run"
        return Judgement(
            verdict=LatencyVerdict.CANNOT_TELL, rule=f"{lacking} has no measured session"
        )
    if base.exact != new.exact:
        return Judgement(
            verdict=LatencyVerdict.CANNOT_TELL,
            rule="one side counts instructions, the other measures us",
        )
    return _judge_counts(base, new) if base.exact else _judge_times(base, new, family)


def _judge_counts(base: Sessions, new: Sessions) -> Judgement:
    ratio = new.median / base.median
    before, after = _counted(base.figures), _counted(new.figures)
    if min(new.figures) > max(base.figures):
        verdict, how = (
            LatencyVerdict.SLOWER,
            f"{after} instructions against {before}: exact, so one more",
        )
    elif max(new.figures) < min(base.figures):
        verdict, how = (
            LatencyVerdict.FASTER,
            f"{after} instructions against {before}: exact, so one less",
        )
    elif len({*base.figures, *new.figures}) == 1:
        same = f"{after} instructions, as before: exact"
        return Judgement(
            verdict=LatencyVerdict.SAME, rule=same, ratio=ratio, low=ratio, high=ratio, delta=0.0
        )
    else:
        apart = f"counts of one firmware differ: {after} instructions against {before}"
        return Judgement(verdict=LatencyVerdict.CANNOT_TELL, rule=apart, ratio=ratio)
    low = min(new.figures) / max(base.figures)
    high = max(new.figures) / min(base.figures)
    return Judgement(
        verdict=verdict, rule=f"{how} decides", ratio=ratio, low=low, high=high, delta=0.0
    )


def _counted(figures: Sequence[float]) -> str:
    low, high = min(figures), max(figures)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _judge_times(base: Sessions, new: Sessions, family: int) -> Judgement:
    n, m = len(base.figures), len(new.figures)
    if min(n, m) < LEAST_SESSIONS:
        return Judgement(
            verdict=LatencyVerdict.CANNOT_TELL,
            rule=f"{_against(m, n)}: {LEAST_SESSIONS} on each side say how sessions differ, "
            "fewer do not",
            ratio=new.median / base.median,
        )
    step_us = max(base.step_us, new.step_us)
    least_delta = max(base.least_delta, new.least_delta)
    estimate = weigh(
        np.array(base.figures),
        np.array(new.figures),
        step_us=step_us,
        least_delta=least_delta,
        family=family,
    )
    verdict = _verdict(estimate)
    spreads = "three" if family == 1 else f"{spreads_of(family, n, m):.2g}"
    return Judgement(
        verdict=verdict,
        rule=_sentence(verdict, estimate, _against(m, n), spreads),
        ratio=float(estimate.ratio),
        low=float(estimate.low),
        high=float(estimate.high),
        delta=float(estimate.delta),
    )


def _verdict(estimate: RatioEstimate) -> LatencyVerdict:
    if estimate.slower:
        return LatencyVerdict.SLOWER
    if estimate.faster:
        return LatencyVerdict.FASTER
    return LatencyVerdict.SAME if estimate.same else LatencyVerdict.CANNOT_TELL


def _against(new: int, base: int) -> str:
    return f"{new} session{'s' * (new > 1)} against {base}"


def _sentence(verdict: LatencyVerdict, estimate: RatioEstimate, sessions: str, spreads: str) -> str:
    delta, least = 100 * float(estimate.delta), 100 * float(estimate.least)
    figures = (
        f"ratio {float(estimate.ratio):.4f}, 95 % interval {float(estimate.low):.4f} to "
        f"{float(estimate.high):.4f}, of {sessions}"
    )
    floor = 100 * float(estimate.floor)
    widened = f"{spreads} A/A spreads" if delta > floor else "the least that counts here"
    if verdict in (LatencyVerdict.SLOWER, LatencyVerdict.FASTER):
        side = "above" if verdict is LatencyVerdict.SLOWER else "below"
        return f"{figures}: {side} 1 by more than {delta:.3g} % ({widened}), all of it {side} 1"
    if verdict is LatencyVerdict.SAME:
        return f"{figures}: all of it within {least:.3g} % of 1"
    return (
        f"{figures}: not beyond {delta:.3g} % ({widened}) with all of it on one side of 1, "
        f"nor within {least:.3g} % of 1; more sessions or a quieter rig can tell"
    )
