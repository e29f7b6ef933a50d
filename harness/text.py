"""Tables and figures as text for people, no wider than a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH = 80
"""Columns of what is printed for people."""


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Aligned plain-text table: first column left, the others right.

    A heading of several lines ends on the line above the rows.
    """
    grid = [*_stacked(headings), *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headings))]
    lines = []
    for row in grid:
        cells = [row[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _stacked(headings: tuple[str, ...]) -> list[tuple[str, ...]]:
    split = [heading.split("\n") for heading in headings]
    height = max(len(parts) for parts in split)
    return list(zip(*([""] * (height - len(parts)) + parts for parts in split), strict=True))


def counted(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int | None = None) -> str:
    """`a, b and 3 more`: at most `most` names, all if None; `none` where there are none."""
    shown = names[:most]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return (", ".join(shown) or "none") + more


def shortened(text: str, most: int) -> str:
    """Text of at most `most` characters; two dots stand for what was cut."""
    return text if len(text) <= most else f"{text[: max(0, most - 2)]}.."


MOST_PRINTED = 120
"""Characters of a text from outside that are shown where the caller does not say."""

_CI_COMMAND = re.compile(
    r"(?<!\w):(?=:[a-z])"
    r"|:(?=:(?:error|warning|notice|debug|group|endgroup|echo|stop-commands|save-state|set-|add-"
    r"|remove-|internal-))"
    r"|#(?=#\w*\[)",
    re.IGNORECASE,
)
"""The first character of what a CI runner takes as a command: `::error::` where a line begins,
after spaces too, so that wrapping must not bring one there; `##[error]` and `##vso[` anywhere."""


def printable(text: str, limit: int = MOST_PRINTED) -> str:
    r"""Text from a board, a file or another program, as it may be printed on one line.

    Control characters, line ends, direction marks, lone surrogates and all else that has no
    picture of its own become escapes as Python writes them (`\x1b`, `\n`, `\u202e`), and so does
    the first character of a command to a CI runner (`\u003a:error::`). Printing what is printable
    already changes nothing.

    Args:
        limit: most characters of the answer; two dots stand for what was cut.
    """
    begin = text[: limit + 1] if limit > 0 else ""
    escaped = "".join(char if char.isprintable() else _escaped(char) for char in begin)
    escaped = _CI_COMMAND.sub(lambda found: _escaped(found[0]), escaped)
    return shortened(escaped, limit)[: max(0, limit)]


def printable_lines(text: str) -> str:
    """As `printable`, uncut and for text of several lines: the ends of lines stay."""
    return "\n".join(printable(line, len(line) * _MOST_ESCAPED) for line in text.split("\n"))


_MOST_ESCAPED = len(r"\U0010ffff")


def reason_of(error: BaseException, limit: int = MOST_PRINTED) -> str:
    """What an exception of somebody else's code says, on one line; its type where it says nothing.

    Its text is such code as well: where that raises, the type is all there is.
    """
    try:
        said = str(error)
    except Exception:
        said = ""
    return printable(said or type(error).__name__, limit)


def _escaped(char: str) -> str:
    if char.isprintable():
        return f"\\u{ord(char):04x}"  # As JSON has it too, which may hold such a command.
    return char.encode("unicode_escape").decode("ascii")


def wrapped(line: str, width: int = WIDTH) -> list[str]:
    """A line of text as lines that fit a terminal; what follows the first is indented."""
    return textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)


_MS_FROM_US = 10_000


def duration(us: float | None) -> str:
    """Microseconds to a tenth; milliseconds from 10 ms up; a dash where there was none."""
    if us is None:
        return "-"
    return f"{us:.1f} us" if us < _MS_FROM_US else f"{us / 1000:.2f} ms"


def energy_text(uj: float | None, digits: int = 4) -> str:
    """Energy in nJ, uJ, mJ or J by its size, given in microjoules; a dash where there is none."""
    if uj is None:
        return "-"
    for unit, size in (("J", 1e6), ("mJ", 1e3), ("uJ", 1.0)):
        if abs(uj) >= size:
            return f"{uj / size:.{digits}g} {unit}"
    return f"{uj * 1e3:.{digits}g} nJ"


def power_text(uw: float | None) -> str:
    """Power in uW, mW or W by its size, given in microwatts; a dash where there is none."""
    if uw is None:
        return "-"
    for unit, size in (("W", 1e6), ("mW", 1e3)):
        if abs(uw) >= size:
            return f"{uw / size:.3g} {unit}"
    return f"{uw:.3g} uW"


def figure_text(value: float) -> str:
    """A number with four significant digits; all digits before the decimal point are kept."""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def size_text(count: float) -> str:
    """Bytes for people: 812 B, 26.2 KB, 4.2 MB (powers of ten)."""
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


_NAMES = "board, runtime\n  model"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """A line of the table: figures of `name`, which stands under a line for its `group`."""

    group: str
    name: str
    figures: tuple[str, ...]


def grouped_table(
    headings: tuple[str, ...], entries: Sequence[TableEntry], names: str = _NAMES
) -> list[str]:
    """Lines of a table of entries; entries of one group follow a line that names it.

    No line is wider than WIDTH and no name is cut: one that leaves no room for the figures stands
    on a line of its own above them, and figures too wide for a table are listed.

    Args:
        headings: of the figures; a line end in one makes a heading of several lines.
        names: the heading of groups and names.
    """
    for lines in (_beside((names, *headings), entries), _beneath(headings, entries)):
        if all(len(line) <= WIDTH for line in lines):
            return lines
    return list(_as_list(headings, entries))


def _beside(headings: tuple[str, ...], entries: Sequence[TableEntry]) -> list[str]:
    """Figures on the line of their name."""
    cells = [(f"  {entry.name}", *entry.figures) for entry in entries]
    heading, body = _drawn(headings, cells)
    return [*heading, *_grouped(entries, ([line] for line in body))]


def _beneath(headings: tuple[str, ...], entries: Sequence[TableEntry]) -> list[str]:
    """Figures on the line after their name's."""
    heading, body = _drawn(("", *headings), [("", *entry.figures) for entry in entries])
    below = ([*_indented(entry.name), line] for entry, line in zip(entries, body, strict=True))
    return [*heading, *_grouped(entries, below)]


def _as_list(headings: tuple[str, ...], entries: Sequence[TableEntry]) -> Iterator[str]:
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


def _grouped(entries: Sequence[TableEntry], drawn: Iterable[list[str]]) -> Iterator[str]:
    pairs = zip(entries, drawn, strict=True)
    for group, members in groupby(pairs, key=lambda pair: pair[0].group):
        yield from wrapped(group)
        for _, lines in members:
            yield from lines


def _indented(text: str, by: int = 2) -> list[str]:
    return [" " * by + piece for piece in wrapped(text, WIDTH - by)]
