"""Trend: medians of runs over time, and the baseline they were judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from harness.measure.runs import Run, least_delta_of
from harness.measure.tables import LatencyRow
from harness.report.data import COUNT, label_of, latency_unit, median_of
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import (
    BLUE,
    FAINT,
    GREEN,
    PURPLE,
    SKY,
    VERMILION,
    Axes,
    axes,
    style,
    svg,
)
from harness.text import counted, figure_text

WIDEST_ZONE = 0.2
"""A wider zone around the baseline is said instead of drawn: it would flatten the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One run: its median, and the baseline it was judged by with the ratio's interval."""

    when: datetime
    median: float
    verdict: str | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None


_MARKS = {
    "slower": ("^", VERMILION, "slower"),
    "faster": ("v", GREEN, "faster"),
    "same": ("o", BLUE, "same"),
    "cannot tell": ("s", PURPLE, "cannot tell"),
}


_UNJUDGED = ("o", FAINT, "not judged")


def trend_picture(
    points: Sequence[TrendPoint], *, unit: str, title: str, tolerance: float, name: str
) -> Picture:
    """Medians of runs over time, with the zone around the baseline in which nothing is decided.

    Args:
        points: at least two, in the order of time.
        tolerance: half the zone's height as a share of the baseline; 0 where counts are exact.
    """
    with style():
        drawn = trend_axes(points, unit=unit, tolerance=tolerance)
        first, last = points[0].median, points[-1].median
        change = f"{last / first - 1:+.2%} against" if first and first != last else "as much as"
        said = (
            f"{counted(len(points), 'run')}; the last one's median is {figure_text(last)} {unit}, "
            f"{change} the first."
        )
        if not any(point.baseline for point in points):
            said += " None was compared with a baseline."
        elif tolerance > WIDEST_ZONE:
            said += f" Only changes by more than {tolerance:.0%} count: the clock is a busy host's."
        picture = svg(
            drawn,
            name=name,
            label=f"Trend of {title}. {said}",
        )
    return Picture(title=title, caption=said, svg=picture)


def trend_axes(points: Sequence[TrendPoint], *, unit: str, tolerance: float) -> Axes:
    """What `trend_picture` shows, before it is laid out."""
    drawn = axes(3.0)
    whens: Any = [point.when for point in points]
    _draw_baseline(drawn, points, tolerance)
    drawn.plot(whens, [point.median for point in points], color=FAINT, linewidth=1)
    for mark, colour, label in dict.fromkeys(_mark(point) for point in points):
        held = [point for point in points if _mark(point) == (mark, colour, label)]
        drawn.plot(
            [point.when for point in held],
            [point.median for point in held],
            mark,
            color=colour,
            markersize=6,
            label=label,
        )
    _draw_intervals(drawn, points)
    _trend_axes(drawn, points, unit)
    return drawn


def _mark(point: TrendPoint) -> tuple[str, str, str]:
    return _MARKS.get(point.verdict or "", _UNJUDGED)


def _draw_baseline(drawn: Axes, points: Sequence[TrendPoint], tolerance: float) -> None:
    held = [point for point in points if point.baseline]
    if not held:
        return
    whens: Any = [point.when for point in held]
    base = np.array([point.baseline for point in held], dtype=float)
    if len(held) == 1:
        whens, base = [points[0].when, points[-1].when], np.repeat(base, 2)
    if 0 < tolerance <= WIDEST_ZONE:
        drawn.fill_between(
            whens,
            base * (1 - tolerance),
            base * (1 + tolerance),
            color=SKY,
            alpha=0.25,
            linewidth=0,
            label=f"baseline ±{tolerance:.0%}",
        )
    drawn.plot(whens, base, color=BLUE, linestyle="dashed", linewidth=1, label="baseline")


def _draw_intervals(drawn: Axes, points: Sequence[TrendPoint]) -> None:
    """One line of many pieces for each colour: a line for each point would take longer to draw."""
    known = [point for point in points if point.baseline and point.low and point.high]
    for colour in dict.fromkeys(_mark(point)[1] for point in known):
        held = [point for point in known if _mark(point)[1] == colour]
        whens: Any = [point.when for point in held for _ in range(3)]
        base = np.array([point.baseline for point in held], dtype=float)
        ratios = np.array([(point.low, point.high, np.nan) for point in held], dtype=float)
        drawn.plot(whens, (base[:, None] * ratios).ravel(), color=colour, linewidth=1)


def date_locator() -> Any:
    """matplotlib's locator of dates, which picks 3 to 6 ticks for whatever span."""
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(minticks=3, maxticks=6)
    # Without these it finds no interval, and warns, for 151 to 179 s, minutes and so on: too long
    # for six ticks of its largest interval, too short for three of the next unit.
    for unit_name, whole in (("MONTHLY", 12), ("HOURLY", 24), ("MINUTELY", 60), ("SECONDLY", 60)):
        locator.intervald[getattr(untyped, unit_name)].append(whole)
    return locator


def _trend_axes(drawn: Axes, points: Sequence[TrendPoint], unit: str) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = date_locator()
    drawn.xaxis.set_major_locator(locator)
    drawn.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    # On the right stands the date that all tick labels share.
    drawn.set_xlabel("time of the run (UTC)", loc="left")
    drawn.set_ylabel(f"median ({unit})")
    low, high = drawn.get_ylim()
    # A range of a thousandth filling the whole height would make noise look like news.
    middle = (low + high) / 2
    if high - low < 0.02 * middle:
        drawn.set_ylim(middle * 0.99, middle * 1.01)
    # Below, or it would lie on the line it explains.
    drawn.figure.legend(loc="outside lower center", ncols=3, handlelength=1.5)


def trend_figures(histories: Sequence[Sequence[Run]], *, title: str, name: str) -> FigureGroup:
    """Medians over time, one picture for each subject with two runs or more.

    Args:
        histories: of each subject, its measurements in the order of time.
    """
    pictures, single = [], []
    for order, items in enumerate(histories):
        last = items[-1].row
        unit = latency_unit(last)
        points = [
            point
            for item in items
            if latency_unit(item.row) == unit and (point := _trend_point(item)) is not None
        ]
        if len(points) < 2:
            single.append(label_of(items[-1].subject))
            continue
        pictures.append(
            trend_picture(
                points,
                unit=unit,
                title=label_of(items[-1].subject),
                tolerance=_tolerance(last),
                name=f"{name}-{order}",
            )
        )
    says = (f"Measured once, so no trend yet: {'; '.join(single)}.",) if single else ()
    return FigureGroup(title=title, pictures=tuple(pictures), says=says)


def _tolerance(row: LatencyRow) -> float:
    """Share of the baseline by which a median may be off without any consequence."""
    if latency_unit(row) == COUNT:
        return 0.0
    return least_delta_of(row)


def _trend_point(item: Run) -> TrendPoint | None:
    row = item.row
    median, when = median_of(row), item.when
    if median is None or when is None:
        return None
    ratio = row.baseline_ratio
    return TrendPoint(
        # matplotlib cannot tell ticks apart that are closer than a second.
        when=when.replace(microsecond=0),
        median=median,
        verdict=row.baseline_verdict,
        baseline=median / ratio if ratio else None,
        low=row.baseline_low,
        high=row.baseline_high,
    )
