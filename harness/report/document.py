"""A comparison as headings, tables and notes of plain text, before it is Markdown.

Under a pull request a workflow with a token renders what another one measured, which ran the pull
request's code. So what passes between them is this record as JSON: every text of it is plain, and
`harness.report.markdown` makes none of it a link, a mention, HTML or a picture. Nothing but the
standard library is imported, since that workflow installs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ReportError
from harness.text import printable

MOST_SECTIONS = 12
MOST_COLUMNS = 16
MOST_ROWS = 2000
MOST_NOTES = 2000
MOST_CELL = 200
MOST_NOTE = 1000
MOST_JSON = 4_000_000
"""Bounds of a document that comes from elsewhere; the last is of its bytes."""

T = TypeVar("T")


class Kind(str, Enum):
    """What a column holds: names as they are in code, figures to the right, or words."""

    NAME = "name"
    FIGURE = "figure"
    WORD = "word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    heading: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of a table, as many cells as it has columns; the last cell of a loud one is bold."""

    cells: tuple[str, ...]
    loud: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence, and the names that it is about where it is about some."""

    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table under a heading, and notes below it, which a page folds away.

    The most important lines come first, for only the last are left out where there is no room.
    `left_out` counts those that are not in `lines` at all.
    """

    heading: str
    columns: tuple[Column, ...] = ()
    lines: tuple[Line, ...] = ()
    notes: tuple[Note, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A comparison to be read: its verdict in a sentence, whether it is a bad one, the sections."""

    title: str
    verdict: str
    bad: bool = False
    notes: tuple[Note, ...] = ()
    sections: tuple[Section, ...] = ()


def as_json(document: Document) -> str:
    """The document as text that `from_json` reads, within its bounds.

    Lines and notes beyond them are left out, and of the lines it is said how many.
    """
    return json.dumps(asdict(_bounded(document)), indent=1)


def _bounded(document: Document) -> Document:
    return Document(
        title=document.title,
        verdict=document.verdict,
        bad=document.bad,
        notes=document.notes[:MOST_NOTES],
        sections=tuple(map(_bounded_section, document.sections[:MOST_SECTIONS])),
    )


def _bounded_section(section: Section) -> Section:
    return Section(
        heading=section.heading,
        columns=section.columns,
        lines=section.lines[:MOST_ROWS],
        notes=section.notes[:MOST_NOTES],
        left_out=section.left_out + max(0, len(section.lines) - MOST_ROWS),
    )


def from_json(text: str | bytes) -> Document:
    """A document as somebody else wrote it; longer texts are cut, unprintable ones escaped.

    Raises:
        ReportError: it is no such document, or beyond the bounds of this module.
    """
    if len(text) > MOST_JSON:
        raise ReportError(f"a comparison of {len(text)} bytes: more than {MOST_JSON}")
    try:
        return document_from(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"no comparison as JSON: {printable(str(error))}") from None


def is_document(path: Path) -> bool:
    """Whether a file is a document of `as_json`, or empty."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_JSON + 1)
        return not text or bool(from_json(text))
    except (OSError, ReportError):
        return False


def document_from(value: Any) -> Document:
    """The document in parsed JSON; ValueError if it is none."""
    found = _record(value, Document)
    return Document(
        title=_text(found["title"]),
        verdict=_text(found["verdict"], MOST_NOTE),
        bad=_truth(found["bad"]),
        notes=_several(found["notes"], MOST_NOTES, _note),
        sections=_several(found["sections"], MOST_SECTIONS, _section),
    )


def _section(value: Any) -> Section:
    found = _record(value, Section)
    columns = _several(found["columns"], MOST_COLUMNS, _column)
    lines = _several(found["lines"], MOST_ROWS, _line)
    if any(len(line.cells) != len(columns) for line in lines):
        raise ValueError(f"a line of other than {len(columns)} cells")
    return Section(
        heading=_text(found["heading"]),
        columns=columns,
        lines=lines,
        notes=_several(found["notes"], MOST_NOTES, _note),
        left_out=_count(found["left_out"]),
    )


def _column(value: Any) -> Column:
    found = _record(value, Column)
    return Column(heading=_text(found["heading"]), kind=Kind(found["kind"]))


def _line(value: Any) -> Line:
    found = _record(value, Line)
    return Line(cells=_several(found["cells"], MOST_COLUMNS, _text), loud=_truth(found["loud"]))


def _note(value: Any) -> Note:
    found = _record(value, Note)
    return Note(text=_text(found["text"], MOST_NOTE), subject=_text(found["subject"]))


def _record(value: Any, kind: type[Any]) -> dict[str, Any]:
    """A record's fields: all of them, and no others."""
    names = set(kind.__dataclass_fields__)
    if not isinstance(value, dict) or set(value) != names:
        raise ValueError(f"a {kind.__name__.lower()} has {', '.join(sorted(names))}")
    return value


def _several(value: Any, most: int, each: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"no list of at most {most}")
    return tuple(each(item) for item in value)


def _text(value: Any, most: int = MOST_CELL) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return printable(value, most)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**9:
        raise ValueError("no count")
    return value
