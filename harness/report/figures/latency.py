"""Latency: every timed invoke as a histogram and an empirical distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.runs import Run
from harness.measure.samples import Spread, merged
from harness.report.data import COUNT, TIME
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import FAINT, INK, _legend, _line, axes, style, svg
from harness.text import counted, figure_text

BODY_PERCENT = 95


SQUEEZED = 4.0
"""Latencies this many times as far from the least as the percentile above is are counted, not
drawn: they would squeeze all others into one line."""


MOST_BINS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Limits of a latency axis, and how many samples lie beyond."""

    low: float
    high: float
    beyond: int


def shown_range(samples: Spread) -> Shown:
    """Axis limits that keep a few stragglers from squeezing everything else."""
    low, body, high = (samples.percentile(percent) for percent in (0, BODY_PERCENT, 100))
    limit = low + SQUEEZED * (body - low)
    if high > limit > low:
        return Shown(low=low, high=limit, beyond=int(samples.counts[samples.values > limit].sum()))
    return Shown(low=low, high=high, beyond=0)


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges that never split a step of the board's timer; at most `MOST_BINS` bins.

    Args:
        values: that occurred, (k,), each once and ascending.
    """
    span = float(values[-1] - values[0])
    step = float(np.diff(values).min()) if len(values) > 1 else 1.0
    steps = round(span / step) + 1
    # Whole timer steps in each bin, or some would be fuller for no reason.
    width = step * max(1, -(-steps // MOST_BINS))
    if steps > 100 * MOST_BINS:
        return np.linspace(values[0], values[-1], MOST_BINS + 1)
    count = int(np.ceil((span + step) / width))
    edges: NDArray[np.float64] = values[0] - step / 2 + width * np.arange(count + 1)
    return edges


def latency_pictures(
    sessions: Mapping[int, Spread], *, unit: str, name: str
) -> tuple[Picture, ...]:
    """Histogram and empirical distribution, sessions told apart.

    Args:
        sessions: samples of each session by its number, in `unit`.
    """
    everything = merged(sessions.values())
    limits = shown_range(everything)
    tail = (
        f" {limits.beyond} of {everything.size} invokes took longer than the axis shows, "
        f"up to {everything.values[-1]:.4g} {unit}."
        if limits.beyond
        else ""
    )
    return (
        _histogram(sessions, limits, unit=unit, name=f"{name}-histogram", tail=tail),
        _distribution(sessions, limits, unit=unit, name=f"{name}-ecdf", tail=tail),
    )


def _histogram(
    sessions: Mapping[int, Spread], limits: Shown, *, unit: str, name: str, tail: str
) -> Picture:
    everything = merged(sessions.values())
    edges = bin_edges(everything.values[everything.values <= limits.high])
    with style():
        drawn = axes()
        for order, (number, samples) in enumerate(sessions.items()):
            counts, _ = np.histogram(samples.values, edges, weights=samples.counts)
            look = _line(order)
            drawn.stairs(counts, edges, label=f"session {number}", linewidth=1.3, **look)
            drawn.stairs(counts, edges, fill=True, color=look["color"], alpha=0.12)
        drawn.set_xlabel(f"latency of one invoke ({unit})")
        drawn.set_ylabel("invokes")
        drawn.set_ylim(bottom=0)
        _legend(drawn, len(sessions))
        picture = svg(
            drawn,
            name=name,
            label=f"Histogram of the latency of {counted(everything.size, 'invoke')} in "
            f"{counted(len(sessions), 'session')}, from {everything.values[0]:.4g} to "
            f"{everything.values[-1]:.4g} {unit}, median {everything.percentile(50):.4g} {unit}.",
        )
    each = f"each of {len(sessions)} sessions" if len(sessions) > 1 else "the one session"
    caption = f"How often each latency occurred in {each}.{tail}"
    return Picture(title="Histogram", caption=caption, svg=picture)


def _distribution(
    sessions: Mapping[int, Spread], limits: Shown, *, unit: str, name: str, tail: str
) -> Picture:
    everything = merged(sessions.values())
    with style():
        drawn = axes()
        for order, (number, samples) in enumerate(sessions.items()):
            values, share = empirical(samples)
            drawn.step(values, share, where="post", label=f"session {number}", **_line(order))
        for percent in (50, 95):
            drawn.axhline(percent / 100, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
            drawn.annotate(
                f"p{percent}",
                (1, percent / 100),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="top",
                fontsize=8,
                color=INK,
            )
        margin = (limits.high - limits.low) * 0.04
        drawn.set_xlim(limits.low - margin, limits.high + margin)
        drawn.set_ylim(0, 1.03)
        drawn.set_xlabel(f"latency of one invoke ({unit})")
        drawn.set_ylabel("share of invokes at most so long")
        _legend(drawn, len(sessions), loc="lower right")
        picture = svg(
            drawn,
            name=name,
            label=f"Empirical distribution of the same latencies: half are at most "
            f"{everything.percentile(50):.4g} {unit}, 95 of 100 at most "
            f"{everything.percentile(95):.4g} {unit}.",
        )
    caption = f"Share of invokes that took at most so long.{tail}"
    return Picture(title="Empirical distribution", caption=caption, svg=picture)


def empirical(
    samples: Spread, points: int = 240
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and the share of samples at most so large, at no more than `points` of them."""
    values, share = samples.values, np.cumsum(samples.counts) / samples.size
    if len(values) > points:
        # Evenly in share, so that steep and flat parts are drawn alike; the ends always.
        kept = np.unique(np.searchsorted(share, np.linspace(share[0], 1, points)))
        values, share = values[kept], share[kept]
    return np.insert(values, 0, values[0]), np.insert(share, 0, 0.0)


def latency_figures(item: Run, *, name: str) -> FigureGroup | None:
    """Histogram and distribution of every timed invoke; None if none is known."""
    title = "Latency"
    if not item.samples:
        return None
    exact = item.samples.instructions
    sessions, unit = (item.samples.us, TIME) if exact is None else (exact, COUNT)
    everything = merged(sessions.values())
    if len(everything.values) == 1:
        return FigureGroup(title=title, says=(_constant(everything, len(sessions), unit),))
    return FigureGroup(title=title, pictures=latency_pictures(sessions, unit=unit, name=name))


def _constant(samples: Spread, sessions: int, unit: str) -> str:
    took = f"{figure_text(float(samples.values[0]))} {unit}"
    if samples.size == 1:
        return f"One invoke was timed and took {took}: there is no distribution to draw."
    within = "one session" if sessions == 1 else f"{sessions} sessions"
    return (
        f"Every one of {samples.size:,} timed invokes in {within} took exactly {took}: there is no "
        "distribution to draw."
    )
