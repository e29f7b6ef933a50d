"""A series of figures as a few lines of text, for a terminal of any width.

No library: those there are draw with colours and state of their own, or need Unicode, and none
marks runs under the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

HEIGHT = 6
"""Lines of the plot without its axis."""

# What a cell shows of a figure at each height in it, from the top. In braille two dots beside each
# other, which can be joined; in ASCII one character, and `|` where a cell shows several.
_DOTS = (0x09, 0x12, 0x24, 0xC0)
_BRAILLE = 0x2800
_ASCII = "'-_"
_SEVERAL_ASCII = "|"
_MANY_MARKS = "+"


def text_plot(
    values: Sequence[float],
    *,
    width: int,
    label: Callable[[float], str],
    marks: Mapping[int, str],
    ends: tuple[str, str],
    unicode: bool,
    height: int = HEIGHT,
) -> list[str]:
    """Lines of a plot, none wider than `width`.

    Where there are more figures than columns, a column shows the range of several.

    Args:
        values: at least one, all finite.
        width: columns, at least 30.
        label: text of the largest and the smallest figure, beside their lines.
        marks: by place among the values, one character to stand below it.
        ends: what the first and the last figure are called, below.
    """
    low, high = min(values), max(values)
    labels = (label(high), label(low))
    margin = min(max(map(len, labels)), width // 2)
    columns = min(width - margin - 2, len(values) * max(1, (width - margin - 2) // len(values)))
    place = _places(len(values), columns)
    rows = _grid(values, place, columns, height, low, high, unicode=unicode)
    side, corner, floor = ("│", "└", "─") if unicode else ("|", "+", "-")
    beside = {0: labels[0], height - 1: labels[1]} if high > low else {height // 2: labels[0]}
    lines = [
        f"{beside.get(at, '')[:margin]:>{margin}} {side}{row}".rstrip()
        for at, row in enumerate(rows)
    ]
    indent = " " * (margin + 1)
    lines.append(f"{indent}{corner}{floor * columns}")
    if below := _marked(marks, place, columns):
        lines.append(f"{indent} {below}".rstrip())
    lines.append(f"{indent} {_between(ends, columns, width - margin - 2)}")
    return lines


def _places(count: int, columns: int) -> list[range]:
    """The columns of each figure: several side by side, or one that it shares."""
    if count >= columns:
        return [range(at * columns // count, at * columns // count + 1) for at in range(count)]
    each = columns // count
    return [range(at * each, (at + 1) * each) for at in range(count)]


def _grid(
    values: Sequence[float],
    place: Sequence[range],
    columns: int,
    height: int,
    low: float,
    high: float,
    *,
    unicode: bool,
) -> list[str]:
    """The plot's lines from the top: of each column the range from its least to its most."""
    depth = len(_DOTS if unicode else _ASCII)
    steps = height * depth - 1
    levels: list[set[int]] = [set() for _ in range(columns)]
    # Halved, since the difference of two large figures may be more than a float holds.
    span = high / 2 - low / 2
    for value, where in zip(values, place, strict=True):
        share = (value / 2 - low / 2) / span if span else 0.5
        for column in where:
            levels[column].add(steps - round(share * steps))
    spans = [range(min(held), max(held) + 1) if held else range(0) for held in levels]
    return [
        "".join(
            _cell([at - row * depth for at in span if at // depth == row], unicode=unicode)
            for span in spans
        )
        for row in range(height)
    ]


def _cell(levels: Sequence[int], *, unicode: bool) -> str:
    if not levels:
        return " "
    if not unicode:
        return _ASCII[levels[0]] if len(levels) == 1 else _SEVERAL_ASCII
    dots = 0
    for level in levels:
        dots |= _DOTS[level]
    return chr(_BRAILLE + dots)


def _marked(marks: Mapping[int, str], place: Sequence[range], columns: int) -> str:
    line = [" "] * columns
    for at, mark in marks.items():
        column = place[at].start
        line[column] = mark if line[column] == " " else _MANY_MARKS
    return "".join(line).rstrip()


def _between(ends: tuple[str, str], columns: int, most: int) -> str:
    """The two ends of the axis as far apart as the plot is wide, or as they need."""
    room = max(columns - len(ends[0]), 1 + len(ends[1]))
    return f"{ends[0]}{ends[1]:>{room}}"[:most]
