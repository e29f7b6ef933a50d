"""Figures of many models on several boards, as a table no wider than a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.report import WIDTH, table, wrapped

_NAMES = "board, runtime\n  model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the table: figures of `name`, which stands under a line for its `group`."""

    group: str
    name: str
    figures: tuple[str, ...]


def grouped_table(headings: tuple[str, ...], entries: Sequence[Entry]) -> list[str]:
    """Lines of a table of entries, those of one group in a row under a line that names it.

    No line is wider than WIDTH and no name is cut: one that leaves no room for the figures stands
    on a line of its own above them, and figures too wide for a table are listed.

    Args:
        headings: of the figures; a line end in one makes a heading of several lines.
    """
    for lines in (_beside(headings, entries), _beneath(headings, entries)):
        if all(len(line) <= WIDTH for line in lines):
            return lines
    return list(_listed(headings, entries))


def _beside(headings: tuple[str, ...], entries: Sequence[Entry]) -> list[str]:
    """Figures on the line of their name."""
    cells = [(f"  {entry.name}", *entry.figures) for entry in entries]
    heading, body = _drawn((_NAMES, *headings), cells)
    return [*heading, *_grouped(entries, ([line] for line in body))]


def _beneath(headings: tuple[str, ...], entries: Sequence[Entry]) -> list[str]:
    """Figures on the line after their name's."""
    heading, body = _drawn(("", *headings), [("", *entry.figures) for entry in entries])
    below = ([*_indented(entry.name), line] for entry, line in zip(entries, body, strict=True))
    return [*heading, *_grouped(entries, below)]


def _listed(headings: tuple[str, ...], entries: Sequence[Entry]) -> Iterator[str]:
    """No table: every figure after its name."""
    names = [heading.replace("\n", " ") for heading in headings]

    def lines() -> Iterator[list[str]]:
        for entry in entries:
            named = [f"{name} {text}" for name, text in zip(names, entry.figures, strict=True)]
            yield [*_indented(entry.name), *_indented(", ".join(named), by=4)]

    return _grouped(entries, lines())


def _drawn(
    headings: tuple[str, ...], cells: Sequence[tuple[str, ...]]
) -> tuple[list[str], list[str]]:
    """Heading and body of the table."""
    lines = table(headings, cells).split("\n")
    return lines[: -len(cells)], lines[-len(cells) :]


def _grouped(entries: Sequence[Entry], drawn: Iterable[list[str]]) -> Iterator[str]:
    pairs = zip(entries, drawn, strict=True)
    for group, members in groupby(pairs, key=lambda pair: pair[0].group):
        yield from wrapped(group)
        for _, lines in members:
            yield from lines


def _indented(text: str, by: int = 2) -> list[str]:
    return [" " * by + piece for piece in wrapped(text, WIDTH - by)]
