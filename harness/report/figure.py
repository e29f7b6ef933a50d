"""What a report shows under one heading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawn picture: `svg` is an element for an HTML page, `caption` says what it shows.

    A `wide` one takes the page's width, and is scrolled where that is narrow.
    """

    title: str
    caption: str
    svg: str
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureGroup:
    """Pictures under a heading, and sentences about what no picture shows."""

    title: str
    pictures: tuple[Picture, ...] = ()
    says: tuple[str, ...] = ()
