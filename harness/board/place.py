"""A place of a pool of shared boards, as a rig file or an option names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import RigError
from harness.names import NAME_RULE, is_name
from harness.text import printable

SCHEME = "labgrid:"
"""Begins a port that is a place: labgrid:NAME, or labgrid:TAG=VALUE+TAG=VALUE."""

PLACE_RULE = f"a place's name, or TAG=VALUE, several joined by '+'; of a name or value: {NAME_RULE}"
_TAG = re.compile(r"[a-z][a-z0-9_]{1,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSpec:
    """The place of this `name`, or any place that has all of these `tags`; one of the two is empty.

    Whatever they hold may be an argument of another program.
    """

    name: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name or "+".join(f"{tag}={value}" for tag, value in self.tags)

    @property
    def filters(self) -> tuple[str, ...]:
        """Of a reservation, as labgrid takes them."""
        return tuple(f"{tag}={value}" for tag, value in self.tags or (("name", self.name),))


def parse_place(text: str) -> PlaceSpec:
    """The place that a text names: `nano-1`, or by tags `board=nano33ble+site=lab`.

    Raises:
        RigError: it is none.
    """
    if "=" not in text:
        if not is_name(text):
            raise _unfit(text)
        return PlaceSpec(name=text)
    pairs = tuple(part.partition("=") for part in text.split("+"))
    if not all(_TAG.fullmatch(tag) and is_name(value) for tag, _, value in pairs):
        raise _unfit(text)
    return PlaceSpec(tags=tuple((tag, value) for tag, _, value in pairs))


def _unfit(text: str) -> RigError:
    return RigError(f"place {printable(text, 40)!r} must be {PLACE_RULE}")
