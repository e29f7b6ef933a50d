"""Operators: what each costs, and how well it uses the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.measure.runs import Run
from harness.report.data import COUNT, TIME
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import BLUE, GREEN, MOST_LETTERS, _short, axes, style, svg
from harness.report.operators import sentence_of_rows
from harness.text import figure_text

MOST_LAYERS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBar:
    """One operator: its cost, and MACs per cycle or instruction if known."""

    label: str
    cost: float
    macs_rate: float | None


def layer_pictures(
    bars: Sequence[LayerBar], *, unit: str, per: str, name: str
) -> tuple[Picture, ...]:
    """Cost of every operator, and how many MACs each does, where known.

    Args:
        unit: of the costs, "instructions" or "µs"; `per` is what MACs are counted for.
    """
    total = sum(bar.cost for bar in bars)
    kept = sorted(sorted(bars, key=lambda bar: -bar.cost)[:MOST_LAYERS], key=bars.index)
    left = len(bars) - len(kept)
    rest = total - sum(bar.cost for bar in kept)
    note = (
        f" The {left} cheapest operators, {rest / total:.1%} in all, are left out." if left else ""
    )
    dearest = max(bars, key=lambda bar: bar.cost)
    share = dearest.cost / total if total else 0.0
    figures = f"{dearest.label} takes the most: {share:.0%} of {figure_text(total)} {unit}.{note}"
    pictures = [
        _bars(
            [(bar.label, bar.cost, f"{bar.cost / total:.1%}" if total else "") for bar in kept],
            axis=f"{unit} of one invoke",
            colour=BLUE,
            name=f"{name}-layers",
            title="Cost of each operator",
            caption=figures,
        )
    ]
    known = [bar for bar in kept if bar.macs_rate]
    if known:
        best = max(known, key=lambda bar: bar.macs_rate or 0)
        pictures.append(
            _bars(
                [(bar.label, bar.macs_rate or 0, f"{bar.macs_rate or 0:.3g}") for bar in kept],
                axis=f"MACs per {per}",
                colour=GREEN,
                name=f"{name}-macs",
                title=f"MACs per {per}",
                caption=f"How well each operator uses the core: at best "
                f"{best.macs_rate:.3g} multiply-accumulates per {per} ({best.label}).",
            )
        )
    return tuple(pictures)


def _bars(
    bars: Sequence[tuple[str, float, str]],
    *,
    axis: str,
    colour: str,
    name: str,
    title: str,
    caption: str,
) -> Picture:
    with style():
        drawn = axes(0.9 + 0.24 * len(bars))
        places = np.arange(len(bars))
        drawn.barh(places, [value for _, value, _ in bars], height=0.68, color=colour)
        for place, (_, value, text) in zip(places, bars, strict=True):
            drawn.annotate(
                text,
                (value, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        drawn.set_yticks(places, [_short(label, MOST_LETTERS) for label, _, _ in bars])
        drawn.set_ylim(len(bars) - 0.4, -0.6)
        drawn.grid(False, axis="y")
        drawn.margins(x=0.22)
        drawn.tick_params(axis="y", length=0)
        drawn.set_xlabel(axis)
        picture = svg(drawn, name=name, label=f"Bar chart. {caption}")
    return Picture(title=title, caption=caption, svg=picture)


def operator_figures(item: Run, *, name: str) -> FigureGroup | None:
    """Cost of every operator, as the profiling build of the firmware found it; None if unknown."""
    if not item.layers:
        return None
    exact = all(row.instructions_p50 is not None for row in item.layers)
    bars = [
        LayerBar(
            label=f"{row.index} {row.operator}",
            cost=float(row.instructions_p50 or 0) if exact else row.p50_us,
            macs_rate=row.macs_per_instruction if exact else row.macs_per_cycle,
        )
        for row in item.layers
    ]
    unit, per = (COUNT, "instruction") if exact else (TIME, "cycle")
    profiled = item.layers[0]
    other = "" if profiled.run == item.row.run else f" of another run, {profiled.time_utc}"
    says: tuple[str, ...] = (
        f"From the profiling build {profiled.firmware_build[:12]}{other}; the firmware that is "
        "measured carries no stamps.",
    )
    if item.operators:
        says += (sentence_of_rows(item.operators),)
    pictures = layer_pictures(bars, unit=unit, per=per, name=name)
    return FigureGroup(title="Operators", pictures=pictures, says=says)
