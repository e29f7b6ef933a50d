"""The pictures of a report. Each takes finished numbers; nothing here reads a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.canvas import (
    BLUE,
    COLOURS,
    DASHES,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Axes,
    axes,
    style,
    svg,
)
from harness.measure.tables import OWNERS
from harness.text import counted, figure_text, size_text

BODY_PERCENT = 95
SQUEEZED = 4.0
"""Latencies this many times as far from the least as the percentile above is are counted, not
drawn: they would squeeze all others into one line."""
MOST_BINS = 60
WIDEST_ZONE = 0.2
"""A wider zone around the baseline is said instead of drawn: it would flatten the line."""
MOST_LAYERS = 30
MOST_LETTERS = 30
"""Of a name beside a bar: a longer one would leave the bar no room."""
_OWNER_COLOURS = dict(zip(OWNERS, (BLUE, ORANGE, GREEN, PURPLE, FAINT), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawn picture: `svg` is an element for an HTML page, `caption` says what it shows."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Limits of a latency axis, and how many samples lie beyond."""

    low: float
    high: float
    beyond: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Outputs of a model with one input and one output, sorted by `x`; all (k,), model's unit."""

    x: NDArray[np.float64]
    board: NDArray[np.float64]
    golden: NDArray[np.float64]
    float_model: NDArray[np.float64] | None
    truth: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBar:
    """One operator: its cost, and MACs per cycle or instruction if known."""

    label: str
    cost: float
    macs_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBar:
    """One firmware: bytes by owner (empty if only the total is known), what the board has."""

    label: str
    total: int
    owners: Mapping[str, int]
    capacity: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One run: its median, and the baseline it was judged by with the ratio's interval."""

    when: datetime
    median: float
    verdict: str | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None


def shown_range(samples: NDArray[np.float64]) -> Shown:
    """Axis limits that keep a few stragglers from squeezing everything else."""
    low, body, high = (float(value) for value in np.percentile(samples, [0, BODY_PERCENT, 100]))
    limit = low + SQUEEZED * (body - low)
    if high > limit > low:
        return Shown(low=low, high=limit, beyond=int(np.count_nonzero(samples > limit)))
    return Shown(low=low, high=high, beyond=0)


def bin_edges(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges that never split a step of the board's timer; at most `MOST_BINS` bins."""
    values = np.unique(samples)
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
    sessions: Mapping[int, NDArray[np.float64]], *, unit: str, name: str
) -> tuple[Picture, ...]:
    """Histogram and empirical distribution, sessions told apart.

    Args:
        sessions: samples (n,) of each session by its number, in `unit`.
    """
    everything = np.concatenate(list(sessions.values()))
    limits = shown_range(everything)
    tail = (
        f" {limits.beyond} of {everything.size} invokes took longer than the axis shows, "
        f"up to {everything.max():.4g} {unit}."
        if limits.beyond
        else ""
    )
    return (
        _histogram(sessions, limits, unit=unit, name=f"{name}-histogram", tail=tail),
        _distribution(sessions, limits, unit=unit, name=f"{name}-ecdf", tail=tail),
    )


def _line(order: int) -> dict[str, Any]:
    """Colour and dashes of the line of this order, from 0."""
    return {
        "color": COLOURS[order % len(COLOURS)],
        "linestyle": DASHES[order // len(COLOURS) % len(DASHES)],
    }


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _histogram(
    sessions: Mapping[int, NDArray[np.float64]], limits: Shown, *, unit: str, name: str, tail: str
) -> Picture:
    everything = np.concatenate(list(sessions.values()))
    edges = bin_edges(everything[everything <= limits.high])
    with style():
        drawn = axes()
        for order, (number, samples) in enumerate(sessions.items()):
            counts, _ = np.histogram(samples, edges)
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
            f"{counted(len(sessions), 'session')}, from {everything.min():.4g} to "
            f"{everything.max():.4g} {unit}, median {np.median(everything):.4g} {unit}.",
        )
    each = f"each of {len(sessions)} sessions" if len(sessions) > 1 else "the one session"
    caption = f"How often each latency occurred in {each}.{tail}"
    return Picture(title="Histogram", caption=caption, svg=picture)


def _distribution(
    sessions: Mapping[int, NDArray[np.float64]], limits: Shown, *, unit: str, name: str, tail: str
) -> Picture:
    everything = np.concatenate(list(sessions.values()))
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
            f"{np.median(everything):.4g} {unit}, 95 of 100 at most "
            f"{np.percentile(everything, 95):.4g} {unit}.",
        )
    caption = f"Share of invokes that took at most so long.{tail}"
    return Picture(title="Empirical distribution", caption=caption, svg=picture)


def _legend(drawn: Axes, entries: int, loc: str = "best") -> None:
    if entries > 1:
        drawn.legend(loc=loc, ncols=2 if entries > COLOURS_IN_A_COLUMN else 1)


COLOURS_IN_A_COLUMN = 5


def empirical(
    samples: NDArray[np.float64], points: int = 240
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and the share of samples at most so large, at no more than `points` of them."""
    values, counts = np.unique(samples, return_counts=True)
    share = np.cumsum(counts) / samples.size
    if len(values) > points:
        # Evenly in share, so that steep and flat parts are drawn alike; the ends always.
        kept = np.unique(np.searchsorted(share, np.linspace(share[0], 1, points)))
        values, share = values[kept], share[kept]
    return np.insert(values, 0, values[0]), np.insert(share, 0, 0.0)


def curve_pictures(curves: Curves, *, name: str) -> tuple[Picture, ...]:
    """Outputs over the input, and how far each is from the true function (or float model)."""
    return _curves(curves, name=f"{name}-curves"), _curve_errors(curves, name=f"{name}-error")


def _differing(curves: Curves) -> NDArray[np.bool_]:
    differing: NDArray[np.bool_] = curves.board != curves.golden
    return differing


def _agreement(curves: Curves) -> str:
    count = int(np.count_nonzero(_differing(curves)))
    total = curves.x.size
    if count:
        return f"The board differs from the golden in {count} of {total} inputs (circled)."
    return f"Board and golden are equal for all {total} inputs, so their marks coincide."


def _circle(drawn: Axes, curves: Curves, values: NDArray[np.float64]) -> None:
    wrong = _differing(curves)
    if wrong.any():
        drawn.plot(
            curves.x[wrong],
            values[wrong],
            "o",
            markersize=9,
            markerfacecolor="none",
            color=VERMILION,
            label="board ≠ golden",
        )


def _curves(curves: Curves, *, name: str) -> Picture:
    with style():
        drawn = axes(3.1)
        if curves.truth is not None:
            drawn.plot(curves.x, curves.truth, color="#c9d0d6", linewidth=6, label="truth")
        if curves.float_model is not None:
            drawn.plot(curves.x, curves.float_model, color=GREEN, linewidth=2, label="float model")
        drawn.plot(curves.x, curves.board, ".", color=BLUE, markersize=5, label="board")
        drawn.plot(curves.x, curves.golden, color=ORANGE, linewidth=1, label="golden")
        _circle(drawn, curves, curves.board)
        drawn.set_xlabel("input (model's unit)")
        drawn.set_ylabel("output (model's unit)")
        _legend(drawn, 4)
        picture = svg(
            drawn,
            name=name,
            label=f"Outputs over {curves.x.size} inputs from {curves.x.min():.3g} to "
            f"{curves.x.max():.3g}: board, golden, and where known the float model and the true "
            f"function. {_agreement(curves)}",
        )
    return Picture(title="Output over input", caption=_agreement(curves), svg=picture)


def _curve_errors(curves: Curves, *, name: str) -> Picture:
    base, of_what = (
        (curves.truth, "the true function")
        if curves.truth is not None
        else (curves.float_model, "the float model")
        if curves.float_model is not None
        else (curves.golden, "the golden")
    )
    error = curves.board - base
    with style():
        drawn = axes(3.1)
        drawn.axhline(0, color=FAINT, linewidth=1)
        if curves.float_model is not None and curves.truth is not None:
            drawn.plot(
                curves.x, curves.float_model - base, color=GREEN, linewidth=2, label="float model"
            )
        if base is not curves.golden:
            drawn.plot(curves.x, curves.golden - base, color=ORANGE, linewidth=1, label="golden")
        drawn.plot(curves.x, error, ".", color=BLUE, markersize=3.5, label="board")
        _circle(drawn, curves, error)
        drawn.set_xlabel("input (model's unit)")
        drawn.set_ylabel(f"output less {of_what}")
        _legend(drawn, 3)
        worst = int(np.abs(error).argmax())
        figures = (
            f"The board is off {of_what} by {np.abs(error).mean():.3g} on average and by "
            f"{abs(error[worst]):.3g} at most, at input {curves.x[worst]:.3g}."
        )
        picture = svg(
            drawn,
            name=name,
            label=f"Error over the input. {figures}",
        )
    return Picture(title=f"Error against {of_what}", caption=figures, svg=picture)


def agreement_picture(
    board: NDArray[np.float64], golden: NDArray[np.float64], *, name: str
) -> Picture:
    """Every element of every output: what the board sent against what the golden says.

    Args:
        board, golden: (n,), as sent, not dequantized.
    """
    pairs, counts = np.unique(np.stack([golden, board], axis=1), axis=0, return_counts=True)
    wrong = pairs[:, 0] != pairs[:, 1]
    bad = int(counts[wrong].sum())
    figures = (
        f"{bad} of {board.size} output elements differ, by up to "
        f"{np.abs(board - golden).max():.4g}."
        if bad
        else f"All {board.size} output elements lie on the line: board and golden are equal."
    )
    with style():
        drawn = axes(3.1)
        ends = [float(pairs.min()), float(pairs.max())]
        drawn.plot(ends, ends, color=FAINT, linewidth=1)
        drawn.plot(*pairs[~wrong].T, ".", color=BLUE, markersize=4, label="equal")
        if bad:
            drawn.plot(*pairs[wrong].T, "x", color=VERMILION, markersize=6, label="differs")
        drawn.set_xlabel("golden (as stored in the tensor)")
        drawn.set_ylabel("board (as sent)")
        _legend(drawn, 2 if bad else 1)
        picture = svg(
            drawn,
            name=name,
            label=f"Board's outputs against the golden's. {figures}",
        )
    return Picture(title="Board against golden", caption=figures, svg=picture)


def confusion_picture(
    labels: NDArray[np.intp], predicted: NDArray[np.intp], names: Sequence[str], *, name: str
) -> Picture:
    """How many samples of each true class the board put into each class.

    Args:
        labels, predicted: (k,), indices into `names`.
    """
    count = len(names)
    matrix = np.zeros((count, count), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    right = int(matrix.trace())
    figures = f"{right} of {labels.size} samples are classified rightly by the board"
    apart = matrix - np.diag(np.diag(matrix))
    if apart.any():
        true, taken = divmod(int(apart.argmax()), count)
        figures += (
            f"; most often mistaken: {names[true]} for {names[taken]}, {apart[true, taken]} times"
        )
    with style():
        drawn = axes(4.2 if count > 4 else 2.8)
        drawn.grid(False)
        drawn.pcolormesh(matrix, cmap="Blues", vmin=0, vmax=max(1, matrix.max()) * 1.15)
        for (row, column), cell in np.ndenumerate(matrix):
            if cell:
                pale = cell > matrix.max() * 0.6
                drawn.text(
                    column + 0.5,
                    row + 0.5,
                    str(cell),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if pale else INK,
                )
        centres = np.arange(count) + 0.5
        shorter = [_short(name, MOST_LETTERS // 2) for name in names]
        drawn.set_xticks(centres, shorter, rotation=40, ha="right", rotation_mode="anchor")
        drawn.set_yticks(centres, shorter)
        drawn.invert_yaxis()
        drawn.tick_params(length=0)
        drawn.set_xlabel("class by the board")
        drawn.set_ylabel("true class")
        picture = svg(
            drawn,
            name=name,
            label=f"Confusion matrix of {count} classes. {figures}.",
        )
    return Picture(title="Confusion matrix", caption=f"{figures}.", svg=picture)


def training_pictures(
    series: Mapping[str, Sequence[float]], *, per: str, name: str
) -> tuple[Picture, ...]:
    """One picture for each metric, of training data and of data kept apart (`val_`).

    Args:
        series: values by metric; `per` is what there is one value for, "epoch" or "step".
    """
    metrics = [metric for metric in series if not metric.startswith("val_")]
    return tuple(
        _training(metric, series, per=per, name=f"{name}-training-{order}")
        for order, metric in enumerate(sorted(metrics, key=lambda metric: metric != "loss"))
    )


def _training(
    metric: str, series: Mapping[str, Sequence[float]], *, per: str, name: str
) -> Picture:
    trained, apart = series[metric], series.get(f"val_{metric}", ())
    with style():
        drawn = axes()
        for values, label, colour, dashes in (
            (trained, "training data", BLUE, "solid"),
            (apart, "data kept apart", VERMILION, "dashed"),
        ):
            if values:
                mark = "." if len(values) <= 50 else ""
                drawn.plot(
                    range(1, len(values) + 1),
                    values,
                    marker=mark,
                    color=colour,
                    linestyle=dashes,
                    label=label,
                )
        everything = [*trained, *apart]
        if min(everything) > 0 and max(everything) > 20 * min(everything):
            drawn.set_yscale("log")
        drawn.set_xlabel(per)
        drawn.set_ylabel(metric)
        drawn.xaxis.get_major_locator().set_params(integer=True)
        _legend(drawn, 2 if apart else 1)
        last = f"{trained[-1]:.4g} after {counted(len(trained), per)}"
        if apart:
            last += f", {apart[-1]:.4g} on data kept apart"
        picture = svg(
            drawn,
            name=name,
            label=f"Training curve: {metric} by {per}; {last}.",
        )
    return Picture(title=metric, caption=f"{last[0].upper()}{last[1:]}.", svg=picture)


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
        drawn.margins(x=0.14)
        drawn.tick_params(axis="y", length=0)
        drawn.set_xlabel(axis)
        picture = svg(drawn, name=name, label=f"Bar chart. {caption}")
    return Picture(title=title, caption=caption, svg=picture)


def memory_picture(bars: Sequence[MemoryBar], *, memory: str, name: str) -> Picture:
    """Bytes by owner, one bar for each firmware; `memory` is "flash" or "RAM"."""
    owned = [owner for owner in OWNERS if any(bar.owners.get(owner) for bar in bars)]
    with style():
        drawn = axes(1.05 + 0.46 * len(bars))
        for place, bar in enumerate(bars):
            left = 0
            for owner in owned:
                width = bar.owners.get(owner, 0)
                drawn.barh(place, width, 0.42, left=left, color=_OWNER_COLOURS[owner])
                left += width
            if not bar.owners:
                drawn.barh(place, bar.total, 0.42, color=SKY)
            said = drawn.annotate(
                _memory_label(bar),
                (0, place - 0.24),
                xytext=(0, 2),
                textcoords="offset points",
                va="bottom",
                fontsize=8.5,
            )
            # It may reach over the axes' end; they need not make room.
            said.set_in_layout(False)
        _memory_axes(drawn, len(bars), memory)
        _memory_legend(drawn, owned, whole=any(not bar.owners for bar in bars))
        largest = max(bars, key=lambda bar: bar.total)
        caption = f"The most, {size_text(largest.total)}, is taken by {largest.label}."
        picture = svg(
            drawn,
            name=name,
            label=f"Stacked bars of {memory} by owner: {'; '.join(map(_memory_label, bars))}.",
        )
    return Picture(title=f"{memory[0].upper()}{memory[1:]} by owner", caption=caption, svg=picture)


def _memory_label(bar: MemoryBar) -> str:
    of_board = (
        f", {bar.total / bar.capacity:.1%} of {size_text(bar.capacity)}" if bar.capacity else ""
    )
    figures = f"{size_text(bar.total)}{of_board}"
    return f"{_short(bar.label, 2 * MOST_LETTERS - len(figures))}: {figures}"


def _memory_axes(drawn: Axes, bars: int, memory: str) -> None:
    from matplotlib.ticker import FuncFormatter

    drawn.set_ylim(bars - 0.6, -0.75)
    drawn.set_yticks([])
    drawn.grid(False, axis="y")
    drawn.spines["left"].set_visible(False)
    drawn.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_text(value)))
    drawn.set_xlabel(f"{memory} taken by the firmware")


def _memory_legend(drawn: Axes, owned: Sequence[str], *, whole: bool) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=_OWNER_COLOURS[owner], label=owner) for owner in owned]
    if whole:
        handles.append(Patch(color=SKY, label="not told apart"))
    drawn.figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1
    )


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
    for point in points:
        if point.baseline and point.low and point.high:
            ends = [point.low * point.baseline, point.high * point.baseline]
            when: Any = [point.when] * 2
            drawn.plot(when, ends, color=_mark(point)[1], linewidth=1)


def _trend_axes(drawn: Axes, points: Sequence[TrendPoint], unit: str) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(minticks=3, maxticks=6)
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
