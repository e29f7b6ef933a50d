"""The uncertainty budget of an energy per inference: each part from the samples of a trace."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import hypot, sqrt

import numpy as np

from harness.measure.energy_noise import mean_uncertainty
from harness.measure.energy_stretches import Floats, Idle, Stretches
from harness.measure.energy_trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Standard uncertainties of an energy per inference by where they come from, in joules.

    noise: scatter of the current, with its autocorrelation. edges: where the windows begin and end.
    gaps: what was drawn while samples were lost. drift: of idle power, before to after.
    resolution, ranges (samples right after it has changed its range), gain, offset, volts: of the
    instrument; the last three are the same in every run with it.
    """

    noise: float
    edges: float
    gaps: float
    drift: float
    resolution: float
    ranges: float
    gain: float
    offset: float
    volts: float

    def named(self) -> tuple[tuple[str, float], ...]:
        """Each part with its name."""
        return tuple((item.name, getattr(self, item.name)) for item in fields(self))

    def named_of_run(self) -> tuple[tuple[str, float], ...]:
        """Those that are not the same in every run with the same meter."""
        return tuple(item for item in self.named() if item[0] not in _ALIKE)

    @property
    def total(self) -> float:
        """Combined standard uncertainty."""
        return hypot(self.of_run, self.gain, self.offset, self.volts)

    @property
    def of_run(self) -> float:
        """Without what is the same in every run with the same meter, supply and range."""
        of_samples = (self.noise, self.gaps, self.drift, self.resolution, self.ranges)
        return hypot(self.edges, *of_samples)


_ALIKE = ("gain", "offset", "volts")


def gross_parts(trace: Trace, found: Stretches) -> Parts:
    """Standard uncertainties of the energy per inference with idle, in joules."""
    seconds, bounds = found.seconds, found.bounds
    unseen, drift = (found.idle.unseen, found.idle.drift_of_all) if found.idle else (0.0, 0.0)
    return Parts(
        noise=hypot(_noise(found), unseen * seconds),
        edges=_edges(trace, found, found.watts),
        gaps=_gaps(trace, found),
        drift=drift * seconds,
        resolution=bounds.resolution * seconds,
        ranges=bounds.ranges * seconds,
        gain=bounds.gain * seconds,
        offset=bounds.offset * seconds,
        volts=bounds.volts * seconds,
    )


def net_parts(trace: Trace, found: Stretches, idle: Idle) -> Parts:
    """Standard uncertainties of the energy per inference without idle, in joules.

    What an instrument of one range has wrong by gain and voltage is in window and idle alike, and
    its offset is not in their difference.
    """
    seconds, bounds, below = found.seconds, found.bounds, idle.bounds
    one = trace.one_range
    return Parts(
        noise=hypot(_noise(found), idle.scatter * seconds),
        edges=_edges(trace, found, found.watts - idle.watts_under),
        gaps=_gaps(trace, found),
        drift=idle.drift * seconds,
        resolution=hypot(bounds.resolution, below.resolution) * seconds,
        ranges=hypot(bounds.ranges, below.ranges) * seconds,
        gain=(abs(bounds.gain - below.gain) if one else hypot(bounds.gain, below.gain)) * seconds,
        offset=0.0 if one else hypot(bounds.offset, below.offset) * seconds,
        volts=abs(bounds.volts - below.volts) * seconds,
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
