"""Functions: a flame graph of the instructions of one invoke, drawn without matplotlib.

After Gregg, "The Flame Graph", Communications of the ACM 59(6), 2016: a box for each path of calls,
as wide as it took instructions, upon the one that called it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from harness.measure.findings import findings, notable_functions
from harness.measure.runs import Run
from harness.measure.tables import HARNESS, KERNELS, OWNERS, REST, RUNTIME, CallRow
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import INK, VERMILION
from harness.report.figures.memory import OWNER_COLOURS
from harness.text import counted, figure_text

WIDTH = 960.0
"""Of the picture, in its own units; a letter takes LETTER of them."""
HEIGHT, GAP, LETTER, SIZE = 19.0, 1.0, 6.4, 11
LEAST = 1.0
"""Narrower boxes are left out."""
MOST_LEVELS = 40
MOST_BOXES = 2000
NOTABLE = "notable"
"""In place of an owner: a routine that a finding is about."""

_LEGEND = 24.0
_PALE = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A path of calls: where it is drawn, from 0 to 1 of the width, and what it took.

    `level` 0 is the invoke. `alone` are its own instructions, `whole` with callees.
    """

    function: str
    level: int
    left: float
    width: float
    calls: int
    alone: int
    whole: int


def boxes(calls: Sequence[CallRow]) -> Iterator[Box]:
    """The boxes of a tree of calls, each before those upon it; callees side by side as they came.

    A row whose parent is not among those before it is left out.
    """
    known = {call.index: call for call in calls}
    children: dict[int, list[CallRow]] = {}
    totals = {call.index: call.instructions for call in calls}
    for call in sorted(known.values(), key=lambda call: call.index, reverse=True):
        if call.parent in known and call.parent < call.index:
            children.setdefault(call.parent, []).insert(0, call)
            totals[call.parent] += totals[call.index]
    roots = [call for call in calls if call.parent is None][:1]
    waiting = [(call, 0, 0.0) for call in roots]
    scale = 1 / max(1, totals[roots[0].index]) if roots else 0.0
    while waiting:
        call, level, left = waiting.pop()
        width = totals[call.index] * scale
        yield Box(
            function=call.function,
            level=level,
            left=left,
            width=width,
            calls=call.calls,
            alone=call.instructions,
            whole=totals[call.index],
        )
        for child in children.get(call.index, ()):
            waiting.append((child, level + 1, left))
            left += totals[child.index] * scale


def flame_figures(item: Run) -> FigureGroup | None:
    """What each function took of one invoke; None where no emulator counted it."""
    if not item.functions or not item.calls:
        return None
    whole = item.functions[0].whole_instructions
    says = tuple(findings(item.functions, item.calls))
    owners = {row.function: row.owner for row in item.functions}
    owners |= dict.fromkeys(notable_functions(item.functions), NOTABLE)
    picture = flame_picture(item.calls, owners, whole=whole)
    return FigureGroup(title="Functions", pictures=(picture,), says=says)


def flame_picture(calls: Sequence[CallRow], owners: Mapping[str, str], *, whole: int) -> Picture:
    """A flame graph; its boxes say their figures where a pointer rests on them.

    Args:
        owners: of functions by name, or NOTABLE.
        whole: instructions of the invoke.
    """
    found = sorted(boxes(calls), key=lambda box: -box.whole)
    shown = [box for box in found if box.level < MOST_LEVELS and box.width * WIDTH >= LEAST]
    shown = shown[:MOST_BOXES]
    caption = _caption(found, len(found) - len(shown), whole)
    return Picture(
        title="Instructions by function and its callers",
        caption=caption,
        svg=ElementTree.tostring(_drawn(shown, owners, whole, caption), encoding="unicode"),
        wide=True,
    )


def _caption(found: Sequence[Box], left: int, whole: int) -> str:
    alone: dict[str, int] = {}
    for box in found:
        alone[box.function] = alone.get(box.function, 0) + box.alone
    most = max(alone, key=lambda name: alone[name], default="")
    share = alone.get(most, 0) / max(1, whole)
    return (
        "The width of a box is what a function took with all that it called; below it is its "
        f"caller. {most} takes the most itself: {share:.0%} of {figure_text(whole)} instructions."
        + (f" {left} more boxes are too narrow or too high to be drawn." if left else "")
    )


def _drawn(
    shown: Sequence[Box], owners: Mapping[str, str], whole: int, label: str
) -> ElementTree.Element:
    levels = 1 + max((box.level for box in shown), default=0)
    height = levels * HEIGHT + _LEGEND
    root = ElementTree.Element(
        "svg", {"viewBox": f"0 0 {WIDTH:g} {height:g}", "role": "img", "aria-label": label}
    )
    root.set("font-size", str(SIZE))
    root.set("fill", INK)
    for box in sorted(shown, key=lambda box: (box.level, box.left)):
        _draw(root, box, (levels - 1 - box.level) * HEIGHT, owners, whole)
    _legend(root, {owners.get(box.function, REST) for box in shown}, height)
    return root


def _draw(
    root: ElementTree.Element, box: Box, top: float, owners: Mapping[str, str], whole: int
) -> None:
    left, width = box.left * WIDTH, box.width * WIDTH
    group = ElementTree.SubElement(root, "g")
    ElementTree.SubElement(group, "title").text = (
        f"{box.function}: {figure_text(box.whole)} instructions with callees "
        f"({box.whole / max(1, whole):.1%}), {figure_text(box.alone)} its own, "
        f"{counted(box.calls, 'call')}"
    )
    ElementTree.SubElement(
        group,
        "rect",
        {
            "x": f"{left:.2f}",
            "y": f"{top:.2f}",
            "width": f"{max(0.5, width - GAP):.2f}",
            "height": f"{HEIGHT - GAP:g}",
            "rx": "1.5",
            "fill": _colour(owners.get(box.function, REST)),
        },
    )
    if text := _fitting(box.function, width - 6):
        place = {"x": f"{left + 3:.2f}", "y": f"{top + HEIGHT - 6:.2f}"}
        ElementTree.SubElement(group, "text", place).text = text


def _fitting(name: str, width: float) -> str:
    """As much of a name as there is room for, its outer scopes left out first."""
    most = int(width / LETTER)
    while len(name) > most and "::" in name:
        name = name.partition("::")[2]
    if len(name) <= most:
        return name
    return f"{name[: most - 1]}…" if most >= 4 else ""


def _colour(owner: str) -> str:
    """That of the owner in pictures of memory, pale enough for writing on it."""
    full = VERMILION if owner == NOTABLE else OWNER_COLOURS.get(owner, OWNER_COLOURS[REST])
    parts = (int(full[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - _PALE * (255 - part)):02x}" for part in parts)


def _legend(root: ElementTree.Element, present: set[str], height: float) -> None:
    left = 0.0
    for owner in (owner for owner in (NOTABLE, *OWNERS) if owner in present):
        square = {"x": f"{left:g}", "y": f"{height - 14:g}", "width": "11", "height": "11"}
        ElementTree.SubElement(root, "rect", {**square, "fill": _colour(owner)})
        place = {"x": f"{left + 16:g}", "y": f"{height - 4:g}"}
        ElementTree.SubElement(root, "text", place).text = _LEGENDS.get(owner, owner)
        left += 34 + LETTER * len(_LEGENDS.get(owner, owner))


_LEGENDS = {
    NOTABLE: "a routine of the C library or the compiler that is named above",
    KERNELS: "kernels",
    RUNTIME: "runtime",
    HARNESS: "harness",
    REST: "C library and all else",
}
