"""Energies of several sessions taken together, and a window's current in a few hundred points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from harness.measure.energy import Energy, K
from harness.measure.energy_trace import Trace, Window

LEAST_FOR_SCATTER = 3
"""Of so many sessions the scatter between them is known too."""

MOST_POINTS = 400
AROUND = 0.1
"""Of a window's length, what is shown before it and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """One energy of several sessions, in joules per inference.

    `u_j` is its expanded uncertainty, `u_of_run_j` the same without what is the same in every run
    with one meter.
    """

    energy_j: float
    u_j: float
    u_of_run_j: float


def pooled(energies: Sequence[Energy], *, net: bool) -> Pooled | None:
    """The mean of one session each, gross or net; None where a session's is not known.

    What the instrument gets wrong alike does not average out; the rest falls with the root of the
    number of sessions, but not below the standard error that their scatter shows (JCGM 100:2008,
    4.2.3).
    """
    parts = [energy.net_parts if net else energy.gross_parts for energy in energies]
    values = [energy.net_j if net else energy.gross_j for energy in energies]
    known = [part for part in parts if part is not None]
    figures = np.array([value for value in values if value is not None])
    if not energies or len(known) < len(energies) or len(figures) < len(energies):
        return None
    n = len(energies)
    of_run = sqrt(sum(part.of_run**2 for part in known)) / n
    if n >= LEAST_FOR_SCATTER:
        of_run = max(of_run, float(figures.std(ddof=1)) / sqrt(n))
    alike = float(np.mean([part.total**2 - part.of_run**2 for part in known]))
    return Pooled(
        energy_j=float(figures.mean()),
        u_j=K * sqrt(of_run**2 + max(0.0, alike)),
        u_of_run_j=K * of_run,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A few samples: least, mean and largest current; `begin_s` is relative to the window's."""

    begin_s: float
    low_a: float
    mean_a: float
    high_a: float
    inside: bool


def points(trace: Trace, window: Window) -> tuple[Point, ...]:
    """The current over a window and a little around it, in MOST_POINTS points at most."""
    around = AROUND * window.length_s
    part = trace.between(window.start_s - around, window.end_s + around)
    seconds, amps = trace.seconds[part], trace.amps[part]
    if not len(seconds):
        return ()
    starts = np.unique(np.linspace(0, len(seconds), MOST_POINTS + 1)[:-1].astype(int))
    sizes = np.diff(np.append(starts, len(seconds)))
    columns = zip(
        seconds[starts].tolist(),
        np.minimum.reduceat(amps, starts).tolist(),
        (np.add.reduceat(amps, starts) / sizes).tolist(),
        np.maximum.reduceat(amps, starts).tolist(),
        strict=True,
    )
    return tuple(
        Point(
            begin_s=begin - window.start_s,
            low_a=low,
            mean_a=mean,
            high_a=high,
            inside=window.start_s <= begin < window.end_s,
        )
        for begin, low, mean, high in columns
    )
