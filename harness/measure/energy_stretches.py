"""What a trace has within windows of invokes, and what it has of idle around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_noise import level, resolution_uncertainty
from harness.measure.energy_trace import FoundBy, PerRange, Trace, Window

Floats = NDArray[np.float64]

MOST_LOST = 0.1
"""Share of a window without samples; with more of it nothing is said of the energy."""

LEAST_SAMPLES = 4
"""Of a window."""

_LEAST_IDLE = 16
"""Samples of a stretch of idle that is looked at."""

_GUARD = 0.1
"""Share of an idle stretch that is left out at each end, where the board talks to the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Standard uncertainties of a mean power, in watts, by what is stated of the instrument."""

    resolution: float
    ranges: float
    gain: float
    offset: float
    volts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Idle power before, between and after the windows.

    watts: mean over the stretches by their lengths. watts_under: what the windows stand on, by
    linear interpolation between the stretches, weighted as the windows are. scatter: standard
    uncertainty of watts_under. unseen: of a difference of two stretches, below which no drift is
    seen. drift: standard uncertainty of watts_under by what the stretches before and after a window
    differ; drift_of_all: of what is drawn in the windows, by what all stretches differ.
    """

    watts: float
    watts_under: float
    scatter: float
    unseen: float
    drift: float
    drift_of_all: float
    bounds: Bounds

    @property
    def uncertainty(self) -> float:
        """Standard uncertainty of `watts`."""
        bounds = self.bounds
        stated = (bounds.resolution, bounds.ranges, bounds.gain, bounds.offset, bounds.volts)
        return hypot(self.scatter, *stated)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretches:
    """Windows of a trace: samples, means and lengths, each of shape (windows,), and the idle."""

    windows: tuple[Window, ...]
    samples: tuple[Floats, ...]
    amps: Floats
    volts: Floats
    watts: Floats
    lengths: Floats
    counts: tuple[int, ...]
    lost: int
    bounds: Bounds
    idle: Idle | None

    @property
    def inferences(self) -> int:
        return sum(self.counts)

    @property
    def seconds(self) -> float:
        """Length of the windows by the inferences in them."""
        return float(self.lengths.sum()) / self.inferences

    @property
    def mean_volts(self) -> float:
        return float(self.volts.mean())

    @property
    def found_by(self) -> FoundBy:
        return self.windows[0].found_by


def stretches_of(trace: Trace, windows: Sequence[Window], counts: tuple[int, ...]) -> Stretches:
    """What a trace has of windows with so many inferences each.

    Raises:
        CannotTell: a window has too few samples, or too much of it is lost.
    """
    for number, window in enumerate(windows, 1):
        _refuse_sparse(trace, window, number)
    parts = [trace.between(window.start_s, window.end_s) for window in windows]
    watts = trace.watts
    volts = np.broadcast_to(trace.volts, watts.shape)
    lengths = np.array([window.length_s for window in windows])
    return Stretches(
        windows=tuple(windows),
        samples=tuple(watts[part] for part in parts),
        amps=np.array([trace.amps[part].mean() for part in parts]),
        volts=np.array([volts[part].mean() for part in parts]),
        watts=np.array([watts[part].mean() for part in parts]),
        lengths=lengths,
        counts=counts,
        lost=sum(trace.lost_between(window.start_s, window.end_s) for window in windows),
        bounds=_bounds(trace, watts, parts, lengths),
        idle=_idle(trace, watts, windows, lengths),
    )


def _refuse_sparse(trace: Trace, window: Window, number: int) -> None:
    part = trace.between(window.start_s, window.end_s)
    if part.stop - part.start < LEAST_SAMPLES:
        raise CannotTell(
            f"window {number} of {window.length_s:.3g} s has {part.stop - part.start} samples, "
            f"fewer than {LEAST_SAMPLES}",
            hint="Longer windows, or a meter with a higher rate.",
        )
    missing = trace.gap_s(window.start_s, window.end_s) / window.length_s
    if missing > MOST_LOST:
        raise CannotTell(
            f"{missing:.0%} of window {number} are lost, above {MOST_LOST:.0%}",
            hint="Does this machine keep up with the meter? Try another USB port, or a lower rate.",
        )


def _bounds(
    trace: Trace, watts: Floats, parts: Sequence[slice], lengths: NDArray[np.float64]
) -> Bounds:
    """By the mean over parts of a trace: what is stated is off alike in all of it.

    The errors of different ranges are added up, as if they were off the same way. Two readings of
    the samples right after changes of range differ up and down, and what is left of it counts.
    """
    shares = lengths / lengths.sum()
    each = [_bounds_of(trace, watts, part) for part in parts]
    resolution, ranges, gain, offset, volts = (float(mean) for mean in shares @ np.array(each))
    return Bounds(resolution=resolution, ranges=abs(ranges), gain=gain, offset=offset, volts=volts)


def _bounds_of(trace: Trace, watts: Floats, part: slice) -> tuple[float, ...]:
    volts = trace.volts[part] if isinstance(trace.volts, np.ndarray) else trace.volts
    mean_volts = float(np.mean(volts))
    resolution, gain, offset = (_within(value, part) for value in trace.stated)
    return (
        resolution_uncertainty(trace.amps[part], float(np.mean(resolution))) * mean_volts,
        float(np.mean(_within(trace.unsure_amps, part))) * mean_volts / sqrt(3),
        float(np.mean(gain * np.abs(watts[part]))) / sqrt(3),
        float(np.mean(offset)) * mean_volts / sqrt(3),
        trace.volts_error * abs(float(watts[part].mean())) / sqrt(3),
    )


def _within(stated: PerRange, part: slice) -> PerRange:
    return stated[part] if isinstance(stated, np.ndarray) else stated


def _idle(trace: Trace, watts: Floats, windows: Sequence[Window], lengths: Floats) -> Idle | None:
    """None without a stretch before the first window and one after the last."""
    stretches = np.array(
        [
            (begin, end)
            for begin, end in _between(trace, windows)
            if (part := trace.between(begin, end)).stop - part.start >= _LEAST_IDLE
        ]
    ).reshape(-1, 2)
    begins, ends = stretches.T
    if not len(begins) or begins[0] >= windows[0].start_s or ends[-1] <= windows[-1].end_s:
        return None
    parts = [trace.between(begin, end) for begin, end in stretches]
    levels, scatters = np.array([level(watts[part]) for part in parts]).T
    middles, spans = (begins + ends) / 2, ends - begins
    weights = _weights(windows, middles) * (lengths / lengths.sum())[:, np.newaxis]
    under = weights.sum(axis=0)
    return Idle(
        watts=float(np.average(levels, weights=spans)),
        watts_under=float(levels @ under),
        scatter=float(np.linalg.norm(under * scatters)),
        unseen=sqrt(2) * float(scatters.max()),
        drift=_drift(windows, middles, levels, scatters),
        drift_of_all=_drift_of_all(levels, scatters),
        bounds=_bounds(trace, watts, parts, spans),
    )


def _between(trace: Trace, windows: Sequence[Window]) -> list[tuple[float, float]]:
    """Stretches outside the windows, without their ends."""
    begins = [float(trace.seconds[0]), *(window.end_s for window in windows)]
    ends = [*(window.start_s for window in windows), float(trace.seconds[-1])]
    edge = [0.0, *(4 * window.end_u_s for window in windows)]
    other = [*(4 * window.start_u_s for window in windows), 0.0]
    guards = [_GUARD * (end - begin) for begin, end in zip(begins, ends, strict=True)]
    return [
        (begin + max(guard, left), end - max(guard, right))
        for begin, end, guard, left, right in zip(begins, ends, guards, edge, other, strict=True)
    ]


def _weights(windows: Sequence[Window], middles: Floats) -> Floats:
    """How much each idle stretch counts under each window; shape (windows, stretches)."""
    at = [(window.start_s + window.end_s) / 2 for window in windows]
    return np.column_stack([np.interp(at, middles, row) for row in np.eye(len(middles))])


def _drift(windows: Sequence[Window], middles: Floats, levels: Floats, scatters: Floats) -> float:
    """By the step from the stretch before each window to that after.

    When within the window the power has changed is not known: rectangular (JCGM 100:2008, 4.3.7).
    """
    steps = []
    for window in windows:
        after = int(np.searchsorted(middles, (window.start_s + window.end_s) / 2))
        own = float(np.hypot(scatters[after], scatters[after - 1]))
        steps.append(_seen(float(levels[after] - levels[after - 1]), own))
    return float(np.linalg.norm(steps)) / sqrt(12 * len(steps))


def _drift_of_all(levels: Floats, scatters: Floats) -> float:
    """The meter may have been right at any of these times: rectangular by all that they differ."""
    return _seen(float(np.ptp(levels)), sqrt(2) * float(scatters.max())) / sqrt(3)


def _seen(step: float, scatter: float) -> float:
    """A step that is more than scatter; else 0, since then longer stretches would make it less."""
    return step if abs(step) > 3 * scatter else 0.0
