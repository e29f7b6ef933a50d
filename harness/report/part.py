"""One part of a comparison: a section of its document, and what it adds to the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.document import Column, Kind, Section

MOST_MOVED = 40
"""Operators, or functions, that a document shows: the whole is in the CSV files."""
SUBJECT_COLUMNS = tuple(
    Column(heading=name, kind=Kind.NAME) for name in ("board", "runtime", "model")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section, and what it adds to the verdict: in words, and whether it is bad."""

    section: Section | None
    said: str = ""
    bad: bool = False
