"""matplotlib figures as SVG to embed in HTML; the same data give the same text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

# matplotlib's own types change from one release to the next.
Axes = Any

# Okabe and Ito's colours (2008), told apart with every kind of colour blindness; their yellow is
# too pale for lines on white.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, FAINT = "#37424d", "#8a949e"
DASHES = ("solid", "dashed", "dashdot", "dotted")

WIDTH_IN = 4.5
"""Of every picture: narrow enough that its text can still be read on a telephone."""

_SVG_DPI = 72
"""A unit of SVG is a point."""
_PAD = 3.00024
"""Points around everything that is drawn."""
_LINK = "{http://www.w3.org/1999/xlink}href"
_DROPPED = {"metadata", "style"}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tinyml-hil",
    # A dollar in a board's name is no formula.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "timezone": "UTC",
}


@contextmanager
def style() -> Iterator[None]:
    """One style for all figures, whatever the user's matplotlibrc and warning filters say."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # Nobody who reads a page can act on them. The browser brings the fonts, so that a glyph
        # that DejaVu lacks is no loss.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        yield


def axes(height_in: float = 2.9) -> Axes:
    """Axes of an empty figure, without pyplot and its list of open ones."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(WIDTH_IN, height_in), dpi=_SVG_DPI)
    FigureCanvasSVG(figure)
    return figure.add_axes((0.15, 0.16, 0.82, 0.82))


def svg(drawn: Axes, *, name: str, label: str) -> str:
    """The axes' figure as an `<svg>` element for an HTML page.

    `name` goes before every id in it, so that no two pictures of a page share one; `label` is what
    a screen reader says. All text is escaped, as matplotlib and ElementTree do.
    """
    _fit(drawn)
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawn.figure.savefig(text, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(text.getvalue())
    _simplify(root)
    _rename(root, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _fit(drawn: Axes) -> None:
    """Give the axes all room that their labels and a legend below them leave.

    matplotlib's constrained layout comes to the same in four times the time: it measures twice
    whatever it found, and has the figure drawn twice.
    """
    from matplotlib.backends import backend_svg

    untyped: Any = backend_svg
    width, height = drawn.figure.bbox.size
    # Of one renderer matplotlib keeps the sizes of texts; by itself it makes one for each question.
    renderer = untyped.RendererSVG(width, height, io.StringIO(), image_dpi=_SVG_DPI)
    below = sum(legend.get_tightbbox(renderer).height + 2 * _PAD for legend in drawn.figure.legends)
    for _ in range(2):
        ticks = _ticks(drawn)
        inner, outer = drawn.bbox, drawn.get_tightbbox(renderer, for_layout_only=True)
        left, bottom = inner.x0 - outer.x0 + _PAD, inner.y0 - outer.y0 + _PAD + below
        right, top = outer.x1 - inner.x1 + _PAD, outer.y1 - inner.y1 + _PAD
        corner = (left / width, bottom / height)
        drawn.set_position((*corner, 1 - (left + right) / width, 1 - (bottom + top) / height))
        # Another size may have other ticks, and those other labels.
        if _ticks(drawn) == ticks:
            break


def _ticks(drawn: Axes) -> list[list[float]]:
    return [list(axis.get_majorticklocs()) for axis in (drawn.xaxis, drawn.yaxis)]


def _simplify(element: ElementTree.Element) -> None:
    """Remove namespaces, which HTML does not use, and metadata."""
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        _simplify(child)
        if child.tag in _DROPPED:
            element.remove(child)


def _rename(root: ElementTree.Element, name: str) -> None:
    """Keep only ids that are referred to, and make them unique to this picture."""
    used = set()
    for element in root.iter():
        if _LINK in element.attrib:
            target = element.attrib.pop(_LINK).removeprefix("#")
            used.add(target)
            element.set("href", f"#{name}-{target}")
        for key, value in element.attrib.items():
            if "url(#" in value:
                used |= set(_REFERENCE.findall(value))
                element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    for element in root.iter():
        held = element.attrib.pop("id", None)
        if held in used:
            element.set("id", f"{name}-{held}")


MOST_LETTERS = 30
"""Of a name beside a bar: a longer one would leave the bar no room."""


def _line(order: int) -> dict[str, Any]:
    """Colour and dashes of the line of this order, from 0."""
    return {
        "color": COLOURS[order % len(COLOURS)],
        "linestyle": DASHES[order // len(COLOURS) % len(DASHES)],
    }


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend(drawn: Axes, entries: int, loc: str = "best") -> None:
    if entries > 1:
        drawn.legend(loc=loc, ncols=2 if entries > COLOURS_IN_A_COLUMN else 1)


COLOURS_IN_A_COLUMN = 5
