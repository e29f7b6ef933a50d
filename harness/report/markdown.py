"""A document as Markdown for GitHub and GitLab, in which no text is more than text.

A name may come from a stranger's pull request: a model's file, an operator, a function of C++. What
is not plain words is put between backticks, where neither GitHub nor GitLab looks for mentions,
issues, links, HTML, emoji or pictures. A backtick or a bar, which would end the code or the cell,
becomes an escape such as those of `printable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.report.document import MOST_CELL, MOST_NOTE, Column, Document, Kind, Note, Section
from harness.text import counted, printable

MOST_MARKDOWN = 60_000
"""Characters; GitHub refuses a comment of more than 65 536."""

_PLAIN = re.compile(r"[A-Za-z0-9 ,;:%()+=.'?-]*")
_NOT_PLAIN = re.compile(
    r"www\.|\bgh-\d|:\w+:|%\S|\b[0-9a-f]{40}\b|^\W|^\d+[.)](?: |$)", re.IGNORECASE
)
"""Of those characters alone: link, issue, emoji, milestone, commit, or what begins a list."""
_ENDING = str.maketrans({char: f"\\u{ord(char):04x}" for char in "`|"})
_SHOWN = (1000, 300, 100, 50, 25, 12, 6, 3, 1, 0)
"""Lines and notes of a section, tried one after the other until the text is short enough."""


def as_markdown(document: Document, most: int = MOST_MARKDOWN) -> str:
    """The document as Markdown of at most `most` characters, if that is more than some thousand.

    Where it would be longer, each table and list ends with how many lines were left out.
    """
    text = ""
    for shown in _SHOWN:
        text = "\n".join(_lines(document, shown))
        if len(text) <= most:
            return text
    return text[:most]


def plain(text: str, most: int = MOST_NOTE) -> str:
    """Text among other text: as it is if it is plain words, else as code."""
    text = printable(text, most)
    ordinary = _PLAIN.fullmatch(text) and not _NOT_PLAIN.search(text)
    return text if ordinary else code(text, most)


def code(text: str, most: int = MOST_CELL) -> str:
    """Text as code, whatever is in it; nothing for nothing."""
    # A page is no log: there `a<b>::c` is no command to a CI runner.
    text = printable(text, most).strip().translate(_ENDING).replace(r"\u003a:", "::")
    return f"`{text}`" if text else ""


def _lines(document: Document, shown: int) -> Iterator[str]:
    yield f"### {plain(document.title)}"
    yield ""
    verdict = plain(document.verdict)
    yield _bold(verdict) if document.bad else verdict
    yield from _notes(document.notes, shown)
    for section in document.sections:
        yield ""
        yield f"#### {plain(section.heading)}"
        yield ""
        yield from _table(section, shown)
        if section.notes and shown:
            yield from ("", "<details><summary>Why</summary>")
            yield from _notes(section.notes, shown)
            yield from ("", "</details>")


def _table(section: Section, shown: int) -> Iterator[str]:
    columns = section.columns
    if section.lines and shown:
        yield _row([plain(column.heading) for column in columns])
        yield _row(["---:" if c.kind is Kind.FIGURE else "---" for c in columns])
    for line in section.lines[:shown]:
        cells = [
            _cell(text, column) for text, column in zip(line.cells, section.columns, strict=True)
        ]
        if line.loud and cells:
            cells[-1] = _bold(cells[-1])
        yield _row(cells)
    if left := section.left_out + len(section.lines[shown:]):
        yield from ("", f"{counted(left, 'more line')} left out.")


def _bold(text: str) -> str:
    return f"**{text}**" if text else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str, column: Column) -> str:
    if column.kind is Kind.NAME:
        return code(text)
    # A cell begins no line, so that `-5` and `-` are no lists there.
    inside = f"x {text}"
    return text if plain(inside, MOST_CELL) == inside else code(text)


def _notes(notes: Sequence[Note], shown: int) -> Iterator[str]:
    if notes and shown:
        yield ""
    for note in notes[:shown]:
        yield f"- {f'{code(note.subject)}: ' if note.subject else ''}{plain(note.text)}"
    if shown and len(notes) > shown:
        yield f"- {counted(len(notes) - shown, 'more line')} left out."
