"""The uncertainty budget of an energy per inference: each part from the samples of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_noise import level, mean_uncertainty, resolution_uncertainty
from harness.measure.energy_trace import FoundBy, Trace, Window

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
class Parts:
    """Standard uncertainties of an energy per inference by where they come from, in joules.

    noise: scatter of the current, with its autocorrelation. edges: where the windows begin and end.
    gaps: what was drawn while samples were lost. drift: of idle power, before to after.
    resolution, gain, offset, volts: of the instrument; the last three are the same in every run
    with it.
    """

    noise: float
    edges: float
    gaps: float
    drift: float
    resolution: float
    gain: float
    offset: float
    volts: float

    def named(self) -> tuple[tuple[str, float], ...]:
        """Each part with its name."""
        return tuple((item.name, getattr(self, item.name)) for item in fields(self))

    @property
    def total(self) -> float:
        """Combined standard uncertainty."""
        return sqrt(self.of_run**2 + self.gain**2 + self.offset**2 + self.volts**2)

    @property
    def of_run(self) -> float:
        """Without what is the same in every run with the same meter, supply and range."""
        of_run = (self.noise, self.edges, self.gaps, self.drift, self.resolution)
        return sqrt(sum(part**2 for part in of_run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Idle power before, between and after the windows.

    watts: mean over the stretches by their lengths. watts_under: what the windows stand on, by
    linear interpolation between the stretches, weighted as the windows are. scatter: standard
    uncertainty of watts_under. unseen: of a difference of two stretches, below which no drift is
    seen. drift: standard uncertainty of watts_under by what the stretches before and after a window
    differ; drift_of_all: of what is drawn in the windows, by what all stretches differ.
    resolution_amps: standard uncertainty.
    """

    watts: float
    watts_under: float
    scatter: float
    unseen: float
    drift: float
    drift_of_all: float
    resolution_amps: float

    def uncertainty(self, trace: Trace, volts: float) -> float:
        """Standard uncertainty of `watts`."""
        parts = (
            self.scatter,
            self.resolution_amps * volts,
            trace.offset_amps * volts / sqrt(3),
            trace.gain_error * self.watts / sqrt(3),
            trace.volts_error * self.watts / sqrt(3),
        )
        return sqrt(sum(part**2 for part in parts))


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


def _idle(trace: Trace, watts: Floats, windows: Sequence[Window], lengths: Floats) -> Idle | None:
    """None without a stretch before the first window and one after the last."""
    found = [
        (begin, end, watts[part], trace.amps[part])
        for begin, end in _between(trace, windows)
        if (part := trace.between(begin, end)).stop - part.start >= _LEAST_IDLE
    ]
    first, last = windows[0].start_s, windows[-1].end_s
    if not found or found[0][0] >= first or found[-1][1] <= last:
        return None
    levels, scatters = np.array([level(values) for _, _, values, _ in found]).T
    middles = np.array([(begin + end) / 2 for begin, end, _, _ in found])
    spans = np.array([end - begin for begin, end, _, _ in found])
    weights = _weights(windows, middles) * (lengths / lengths.sum())[:, np.newaxis]
    under = weights.sum(axis=0)
    return Idle(
        watts=float(np.average(levels, weights=spans)),
        watts_under=float(levels @ under),
        scatter=float(np.linalg.norm(under * scatters)),
        unseen=sqrt(2) * float(scatters.max()),
        drift=_drift(windows, middles, levels, scatters),
        drift_of_all=_drift_of_all(levels, scatters),
        resolution_amps=max(
            resolution_uncertainty(amps, trace.resolution_amps) for _, _, _, amps in found
        ),
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


def gross_parts(trace: Trace, found: Stretches) -> Parts:
    """Standard uncertainties of the energy per inference with idle, in joules."""
    energy = float(found.watts @ found.lengths) / found.inferences
    unseen, drift = (found.idle.unseen, found.idle.drift_of_all) if found.idle else (0.0, 0.0)
    return Parts(
        noise=sqrt(_noise(found) ** 2 + (unseen * found.seconds) ** 2),
        edges=_edges(trace, found, found.watts),
        gaps=_gaps(trace, found),
        drift=drift * found.seconds,
        resolution=_resolution(trace, found) * found.mean_volts * found.seconds,
        gain=trace.gain_error / sqrt(3) * energy,
        offset=trace.offset_amps / sqrt(3) * found.mean_volts * found.seconds,
        volts=trace.volts_error / sqrt(3) * energy,
    )


def net_parts(trace: Trace, found: Stretches) -> Parts:
    """Standard uncertainties of the energy per inference without idle, in joules."""
    assert found.idle is not None
    idle = found.idle
    under = idle.watts_under
    gross = float(found.watts @ found.lengths) / found.inferences
    below = under * found.seconds
    one = trace.one_range
    resolution = sqrt(_resolution(trace, found) ** 2 + idle.resolution_amps**2)
    offset = 0.0 if one else sqrt(2) * trace.offset_amps / sqrt(3)
    return Parts(
        noise=sqrt(_noise(found) ** 2 + (idle.scatter * found.seconds) ** 2),
        edges=_edges(trace, found, found.watts - under),
        gaps=_gaps(trace, found),
        drift=idle.drift * found.seconds,
        resolution=resolution * found.mean_volts * found.seconds,
        gain=trace.gain_error / sqrt(3) * (gross - below if one else sqrt(gross**2 + below**2)),
        offset=offset * found.mean_volts * found.seconds,
        volts=trace.volts_error / sqrt(3) * (gross - below),
    )


def _noise(found: Stretches) -> float:
    return mean_uncertainty(found.samples, found.counts) * found.seconds


def _edges(trace: Trace, found: Stretches, steps: Floats) -> float:
    """By where each edge may be, and by half a sample that current and edges may be apart.

    Args:
        steps: of power at the edges of each window, in watts.
    """
    spread = np.array([window.start_u_s**2 + window.end_u_s**2 for window in found.windows])
    apart = trace.step_s / sqrt(12) * float(np.abs(_steps_above_idle(found)).sum())
    return sqrt(float(steps**2 @ spread) + apart**2) / found.inferences


def _steps_above_idle(found: Stretches) -> Floats:
    return found.watts - (found.idle.watts_under if found.idle else 0.0)


def _gaps(trace: Trace, found: Stretches) -> float:
    """What was drawn in a gap is taken to be the window's mean: it may be off by the scatter.

    Over a gap of several inferences it is their mean that may be off.
    """
    variance = 0.0
    for window, samples, count in zip(found.windows, found.samples, found.counts, strict=True):
        for begin, end in trace.gaps:
            length = max(0.0, min(end, window.end_s) - max(begin, window.start_s))
            if length:
                alike = min(1.0, window.length_s / count / length)
                variance += float(samples.var()) * length**2 * alike
    return sqrt(variance) / found.inferences


def _resolution(trace: Trace, found: Stretches) -> float:
    """In amperes."""
    volts = found.mean_volts
    return max(
        resolution_uncertainty(samples / volts, trace.resolution_amps) for samples in found.samples
    )
