"""Tables of a flatbuffer: each field is as written, and nothing outside of the file is read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import flatbuffers
import pytest

from harness.model.flatbuffer import MOST_TEXT, Malformed, Table


def written() -> bytes:
    """A table with a number, an absent number, a text, 3 numbers, 2 tables and 5 bytes."""
    builder = flatbuffers.Builder(0)
    inner = []
    for number in (7, -8):
        builder.StartObject(1)
        builder.PrependInt32Slot(0, number, 0)
        inner.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for table in reversed(inner):
        builder.PrependUOffsetTRelative(table)
    tables = builder.EndVector()
    builder.StartVector(8, 3, 8)
    for number in (3, -2, 1):
        builder.PrependInt64(number)
    numbers = builder.EndVector()
    text = builder.CreateString("a\nb" + "c" * 300)
    raw = builder.CreateByteVector(bytes(range(5)))
    builder.StartObject(7)
    builder.PrependUint8Slot(0, 200, 0)
    builder.PrependUOffsetTRelativeSlot(2, text, 0)
    builder.PrependUOffsetTRelativeSlot(3, numbers, 0)
    builder.PrependUOffsetTRelativeSlot(4, tables, 0)
    builder.PrependUOffsetTRelativeSlot(5, raw, 0)
    builder.PrependUOffsetTRelativeSlot(6, inner[0], 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


CONTENT = written()


def read(content: bytes) -> tuple[Any, ...]:
    root = Table.root(content)
    one = root.table(6)
    return (
        *(root.number(0, "B"), root.number(1, default=-1), root.text(2)),
        root.numbers(3, "q", 10, "numbers"),
        tuple(item.number(0) for item in root.tables(4, 10, "tables")),
        bytes(root.raw(5)),
        one and one.number(0),
    )


def test_fields_are_as_written_and_absent_ones_are_empty() -> None:
    text = "a?b" + "c" * (MOST_TEXT - 3)
    assert read(CONTENT) == (200, -1, text, (1, -2, 3), (7, -8), bytes(range(5)), 7)
    root = Table.root(CONTENT)
    absent = (root.text(9), root.numbers(9, "q", 1, ""), root.tables(9, 1, ""), root.table(9))
    assert (*absent, bytes(root.raw(1)), root.count(3)) == ("", (), (), None, b"", 3)


@pytest.mark.parametrize("size", range(0, len(CONTENT), 3))
def test_of_a_file_that_is_cut_off_nothing_beyond_its_end_is_read(size: int) -> None:
    with pytest.raises(Malformed, match="points out of the file"):
        read(CONTENT[:size])


@pytest.mark.parametrize("number", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("at", range(0, len(CONTENT), 4))
def test_a_wrong_number_anywhere_is_a_value_or_one_error(at: int, number: int) -> None:
    """Offsets, sizes and counts among them: an offset before the file wraps in Python."""
    damaged = bytearray(CONTENT)
    struct.pack_into("<I", damaged, at, number)
    try:
        read(bytes(damaged))
    except Malformed as error:
        assert str(error).startswith(("is cut off or damaged", "has "))


@pytest.mark.parametrize(
    "ask",
    [lambda root: root.numbers(3, "q", 2, "links"), lambda root: root.tables(4, 1, "links")],
)
def test_more_entries_than_the_most_are_refused_by_what_they_are(
    ask: Callable[[Table], Any],
) -> None:
    with pytest.raises(Malformed, match=r"has [23] links; at most [12] are read"):
        ask(Table.root(CONTENT))
