"""Memory: flash and RAM of every firmware, by owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.board.registry import Registry
from harness.errors import UnknownName
from harness.measure.runs import Run
from harness.measure.tables import OWNERS
from harness.report.data import label_of
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import (
    BLUE,
    FAINT,
    GREEN,
    MOST_LETTERS,
    ORANGE,
    PURPLE,
    SKY,
    Axes,
    _short,
    axes,
    style,
    svg,
)
from harness.text import size_text

OWNER_COLOURS = dict(zip(OWNERS, (BLUE, ORANGE, GREEN, PURPLE, FAINT), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBar:
    """One firmware: bytes by owner (empty if only the total is known), what the board has."""

    label: str
    total: int
    owners: Mapping[str, int]
    capacity: int | None


def memory_picture(bars: Sequence[MemoryBar], *, memory: str, name: str) -> Picture:
    """Bytes by owner, one bar for each firmware; `memory` is "flash" or "RAM"."""
    owned = [owner for owner in OWNERS if any(bar.owners.get(owner) for bar in bars)]
    with style():
        drawn = axes(1.05 + 0.46 * len(bars))
        for place, bar in enumerate(bars):
            left = 0
            for owner in owned:
                width = bar.owners.get(owner, 0)
                drawn.barh(place, width, 0.42, left=left, color=OWNER_COLOURS[owner])
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

    handles = [Patch(color=OWNER_COLOURS[owner], label=owner) for owner in owned]
    if whole:
        handles.append(Patch(color=SKY, label="not told apart"))
    drawn.figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1
    )


def memory_figures(items: Sequence[Run], registry: Registry) -> FigureGroup:
    """Flash and RAM of every firmware, by owner."""
    pictures, says = [], []
    for memory, prefix in (("flash", "flash"), ("RAM", "ram")):
        bars = [bar for item in items if (bar := _memory_bar(item, prefix, registry)) is not None]
        if bars:
            pictures.append(memory_picture(bars, memory=memory, name=f"memory-{prefix}"))
    none = [label_of(item.subject) for item in items if item.row.flash_bytes is None]
    if none:
        says.append(f"Without firmware, so without sizes: {'; '.join(none)}.")
    return FigureGroup(title="Memory", pictures=tuple(pictures), says=tuple(says))


def _memory_bar(item: Run, prefix: str, registry: Registry) -> MemoryBar | None:
    row = item.row
    total: int | None = getattr(row, f"{prefix}_bytes")
    if total is None:
        return None
    held = {owner: getattr(row, f"{prefix}_{owner}_bytes") for owner in OWNERS}
    try:
        capacity: int | None = getattr(registry[row.board], f"{prefix}_bytes")
    except UnknownName:
        capacity = None
    return MemoryBar(
        label=label_of(item.subject),
        total=total,
        owners={owner: size for owner, size in held.items() if size is not None},
        capacity=capacity,
    )
