"""Finding windows of a known length and number by steps of current, where there is no pin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_trace import Trace, Window

Floats = NDArray[np.float64]

BINS = 200
"""A window is first looked for in steps of so many parts of it."""

FLANK = 0.1
"""Share of a window that must be idle before and after it."""

ALIKE = 0.05
"""By how much the lengths of the windows may differ."""

STANDS_OUT = 0.5
"""What is no window must reach less than this of the weakest window's step, and a window more than
this of the usual one's."""

LEAST_STEP = 6.0
"""A window's step by the scatter of the means that it is a difference of."""

LEAST_EDGE = 2.0
"""The same for one of its edges: that the window stands out is known by then."""

FITS = 0.8
"""How well a step fits where the length says that it is, by how well one fits near it."""

_MOST_GRID = 4
"""Samples with those lost, by samples."""

_CLOCK = 0.002
"""By how much a window's length is refined from that of the board's clock."""


def windows_by_steps(trace: Trace, lengths: Sequence[float]) -> tuple[Window, ...]:
    """The windows whose mean current stands out from that before and after them.

    First by a matched filter of the known length, then each edge where two levels fit best, the
    least squares estimate of a change point (Bai, Review of Economics and Statistics 79, 1997).

    Raises:
        CannotTell: a window does not stand out, there are more of them, or an edge is in a gap.
    """
    length_s = float(np.mean(lengths))
    if max(abs(length - length_s) for length in lengths) > ALIKE * length_s:
        raise CannotTell(
            "windows of different lengths are not told apart by their current",
            hint="Wire the meter's digital channel to the board's pin.",
        )
    amps = _on_grid(trace)
    starts = _coarse(amps, len(lengths), length_s * trace.rate_hz)
    return tuple(
        _refined(trace, amps, start, length * trace.rate_hz, number)
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True), 1)
    )


def _on_grid(trace: Trace) -> Floats:
    """Currents in equal steps of time from the first sample on; those lost are interpolated."""
    count = round((trace.seconds[-1] - trace.seconds[0]) * trace.rate_hz) + 1
    if count > _MOST_GRID * len(trace.seconds):
        raise CannotTell("most samples are lost")
    grid = trace.seconds[0] + np.arange(count) / trace.rate_hz
    amps: Floats = np.interp(grid, trace.seconds, trace.amps)
    return amps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Filter:
    """By how much windows that begin at each bin stand out, and by how much scatter does."""

    scores: Floats
    scatter: float
    flank: int
    length: int


def _coarse(amps: Floats, count: int, length: float) -> list[float]:
    """Starts of the `count` windows that stand out most, in samples, rising."""
    width = max(1, min(len(amps), int(length / BINS)))
    bins = amps[: len(amps) // width * width].reshape(-1, width).mean(axis=1)
    found = _filtered(bins, max(1, round(length / width)))
    starts, scores = _peaks(found, count + 1)
    _refuse_unclear(scores, count, found.scatter)
    return sorted((start + found.flank) * width for start in starts[:count])


def _filtered(bins: Floats, length: int) -> _Filter:
    flank = max(2, round(FLANK * length))
    whole = length + 2 * flank
    if len(bins) < whole:
        raise CannotTell(
            "the trace is shorter than one window with idle before and after", hint=_WIRE
        )
    sums = np.concatenate(([0.0], np.cumsum(bins)))
    starts = np.arange(len(bins) - whole + 1)
    before = (sums[starts + flank] - sums[starts]) / flank
    within = (sums[starts + flank + length] - sums[starts + flank]) / length
    after = (sums[starts + whole] - sums[starts + flank + length]) / flank
    up = np.minimum(within - before, within - after)
    down = np.minimum(before - within, after - within)
    # Some boards idle in a busy loop that draws more than their kernels.
    scores = up if up.max() >= down.max() else down
    return _Filter(
        scores=scores, scatter=_scatter(bins) * sqrt(1 / flank), flank=flank, length=length
    )


def _scatter(bins: Floats) -> float:
    """Standard deviation of neighbours, whatever steps are among them."""
    steps = np.diff(bins)
    return 1.4826 * float(np.median(np.abs(steps))) / sqrt(2) if len(steps) else 0.0


def _peaks(found: _Filter, most: int) -> tuple[list[int], list[float]]:
    """The highest scores that do not overlap, the highest first."""
    left = found.scores.copy()
    starts: list[int] = []
    scores: list[float] = []
    for _ in range(most):
        best = int(left.argmax())
        if not np.isfinite(left[best]):
            break
        starts.append(best)
        scores.append(float(left[best]))
        left[max(0, best - found.length) : best + found.length + 1] = -np.inf
    return starts, scores


def _refuse_unclear(scores: Sequence[float], count: int, scatter: float) -> None:
    windows, others = scores[:count], scores[count:]
    usual = float(np.median(windows)) if windows else 0.0
    clear = max(STANDS_OUT * usual, LEAST_STEP * scatter)
    seen = sum(score > clear for score in scores)
    if len(windows) < count or min(windows) <= clear:
        raise CannotTell(f"{seen} of {count} windows stand out from the idle current", hint=_WIRE)
    if others and others[0] >= STANDS_OUT * min(windows):
        raise CannotTell(f"more than {count} stretches of current look like windows", hint=_WIRE)


_WIRE = "Wire the meter's digital channel to a pin of the board, and name both in the rig file."


def _refined(trace: Trace, amps: Floats, start: float, length: float, number: int) -> Window:
    """The window whose edges fit best, near where the filter has found it."""
    flank = max(4, round(FLANK * length))
    begin, end = round(start), round(start + length)
    rises = _fit(amps, begin, flank)
    falls = _fit(amps, end, flank)
    both = int((rises + falls).argmax())
    near = max(2, round(_CLOCK * length))
    edges = []
    for middle, fits in ((begin, rises), (end, falls)):
        low = max(0, both - near)
        at = low + int(fits[low : both + near + 1].argmax())
        if fits[at] < FITS * fits.max():
            raise CannotTell(f"window {number} is of another length than the board says")
        edges.append(_edge(trace, amps, middle - flank + at, flank, number))
    (start_s, start_u), (end_s, end_u) = edges
    return Window(
        start_s=start_s, end_s=end_s, start_u_s=start_u, end_u_s=end_u, found_by="current"
    )


def _fit(amps: Floats, middle: int, flank: int) -> Floats:
    """How well a step at each sample from middle - flank to middle + flank fits, in A^2.

    By how much two levels lower the sum of squares of the samples within twice `flank`.
    """
    low, high = max(0, middle - 2 * flank), min(len(amps), middle + 2 * flank)
    sums = np.concatenate(([0.0], np.cumsum(amps[low:high] - amps[low])))
    at = np.clip(np.arange(middle - flank, middle + flank + 1) - low, 1, high - low - 1)
    left, right = at, high - low - at
    step = (sums[-1] - sums[at]) / right - sums[at] / left
    fits: Floats = step**2 * left * right / (left + right)
    return fits


def _edge(trace: Trace, amps: Floats, at: int, flank: int, number: int) -> tuple[float, float]:
    """Time of an edge before sample `at`, and its standard uncertainty.

    The estimate of a change point between normal samples of deviation s, with a step of d, scatters
    by sqrt(26) (s / d)^2 samples (Yao, Annals of Statistics 15, 1987); between two samples it may
    be anywhere.
    """
    before, after = amps[max(0, at - flank) : at], amps[at : at + flank]
    step = abs(float(after.mean() - before.mean()))
    spread = max(_long_run(before), _long_run(after))
    if not step > LEAST_EDGE * spread / sqrt(flank):
        raise CannotTell(f"an edge of window {number} does not stand out", hint=_WIRE)
    unsure = sqrt(1 / 12 + 26 * (spread / step) ** 4) * trace.step_s
    edge_s = float(trace.seconds[0]) + (at - 0.5) * trace.step_s
    near = 4 * unsure + trace.step_s
    if any(begin - near < edge_s < end + near for begin, end in trace.gaps):
        raise CannotTell(
            f"samples were lost at an edge of window {number}",
            hint="Measure again. Does this machine keep up with the meter?",
        )
    return edge_s, unsure


def _long_run(values: Floats) -> float:
    """Standard deviation, widened for what neighbours have in common as in an AR(1) process."""
    away = values - values.mean()
    total = float(away @ away)
    if total == 0 or len(values) < 4:
        return 0.0
    common = min(max(0.0, float(away[:-1] @ away[1:]) / total), 0.9)
    return float(values.std(ddof=1)) * sqrt((1 + common) / (1 - common))
