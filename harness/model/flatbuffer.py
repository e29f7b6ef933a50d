"""Reads the tables of a flatbuffer that nobody has checked: nothing outside of it is followed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

MOST_TEXT = 200
"""Characters of a string that are read."""


MOST_FIELDS = 200
"""Fields of a table: the schema's largest has some 20."""


class Malformed(Exception):
    """The bytes are no `.tflite` file, or one that contradicts itself; `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def limited(count: int, most: int, what: str) -> int:
    """The count, if it is not above the most of `what` that are read.

    Raises:
        Malformed: it is.
    """
    if not 0 <= count <= most:
        raise Malformed(f"has {count} {what}; at most {most} are read")
    return count


def _check(content: bytes, position: int, size: int) -> None:
    """Every byte that is read is within the file."""
    if not 0 <= position <= len(content) - size:
        raise Malformed("is cut off or damaged: a part of it points out of the file")


def _number(content: bytes, position: int, code: str) -> Any:
    _check(content, position, struct.calcsize(code))
    return struct.unpack_from(f"<{code}", content, position)[0]


def _follow(content: bytes, position: int) -> int:
    """Where the offset at a position leads; the only place that follows one."""
    target: int = position + _number(content, position, "I")
    _check(content, target, 4)
    return target


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table at a position of a file. `field` is a field's number in the schema, from 0.

    Codes of numbers are those of `struct`. A field that is absent has its default, no entries, or
    is None. Tables may be shared, so that a short file can name many: callers bound how many they
    read. All methods raise Malformed for what is not within the file, or above the given most.
    """

    content: bytes
    position: int

    @classmethod
    def root(cls, content: bytes) -> Table:
        """The first table of a file."""
        return cls(content, _follow(content, 0)).checked()

    def checked(self) -> Table:
        """The same, after the places of all its fields, known or not, were checked."""
        fields = self.position - _number(self.content, self.position, "i")
        known, size = (_number(self.content, fields + at, "H") for at in (0, 2))
        _check(self.content, self.position, max(4, size))
        count = (limited(known, 2 * MOST_FIELDS + 4, "bytes of a table of fields") - 4) // 2
        if count < 0:
            raise Malformed("is cut off or damaged: a table of fields is too short")
        _check(self.content, fields, known)
        if max(struct.unpack_from(f"<{count}H", self.content, fields + 4), default=0) >= size > 0:
            raise Malformed("is cut off or damaged: a field lies outside of its table")
        return self

    def _place(self, field: int) -> int:
        """Where a field's value is; 0 if it is absent."""
        fields = self.position - _number(self.content, self.position, "i")
        if 6 + 2 * field > _number(self.content, fields, "H"):
            return 0
        offset: int = _number(self.content, fields + 4 + 2 * field, "H")
        return self.position + offset if offset else 0

    def number(self, field: int, code: str = "i", default: int = 0) -> Any:
        """A field that is one number."""
        place = self._place(field)
        return _number(self.content, place, code) if place else default

    def table(self, field: int) -> Table | None:
        """A field that is a table, or a union's."""
        place = self._place(field)
        return Table(self.content, _follow(self.content, place)).checked() if place else None

    def count(self, field: int) -> int:
        """Number of entries of a field that is a vector."""
        return self._vector(field)[1]

    def _vector(self, field: int) -> tuple[int, int]:
        """Where the entries of a vector begin, and how many there are."""
        place = self._place(field)
        if place == 0:
            return 0, 0
        start = _follow(self.content, place)
        return start + 4, _number(self.content, start, "I")

    def numbers(self, field: int, code: str, most: int, what: str) -> tuple[Any, ...]:
        """A field that is a vector of numbers; `what` they are, for errors."""
        start, count = self._vector(field)
        limited(count, most, what)
        _check(self.content, start, count * struct.calcsize(code))
        return struct.unpack_from(f"<{count}{code}", self.content, start)

    def tables(self, field: int, most: int, what: str) -> tuple[Table, ...]:
        """A field that is a vector of tables; `what` they are, for errors."""
        start, count = self._vector(field)
        limited(count, most, what)
        places = range(start, start + 4 * count, 4)
        return tuple(
            Table(self.content, _follow(self.content, place)).checked() for place in places
        )

    def raw(self, field: int) -> memoryview:
        """A field that is a vector of bytes: no copy of them."""
        start, count = self._vector(field)
        _check(self.content, start, count)
        return memoryview(self.content)[start : start + count]

    def text(self, field: int) -> str:
        """The start of a string, fit to be printed, whatever bytes the file has for it."""
        text = bytes(self.raw(field)[:MOST_TEXT]).decode(errors="replace")
        return "".join(char if char.isprintable() else "?" for char in text)
