from datetime import datetime, timezone

import pytest

from harness.measure.tables import time_text
from harness.text import (
    MOST_PRINTED,
    WIDTH,
    counted,
    listed,
    printable,
    printable_lines,
    shortened,
    table,
    wrapped,
)


def test_table_aligns_the_first_column_left_and_the_others_right() -> None:
    text = table(("board", "us"), [("virtual", "5.1"), ("q", "120.0")])
    assert text.splitlines() == ["board       us", "virtual    5.1", "q        120.0"]
    assert table(("board",), []) == "board"


def test_a_heading_of_two_lines_ends_above_the_rows() -> None:
    text = table(("board", "flash\nbytes"), [("nano", "7")])
    assert text.splitlines() == ["       flash", "board  bytes", "nano       7"]


def test_a_long_line_is_wrapped_also_where_a_word_is_longer_than_the_terminal() -> None:
    lines = wrapped("read " + "x" * 200)
    assert len(lines) > 2 and all(len(line) <= WIDTH for line in lines)
    assert "".join(line.strip() for line in lines).count("x") == 200


def test_a_noun_is_in_the_plural_but_for_one() -> None:
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def test_of_many_names_some_are_listed_and_the_others_counted() -> None:
    assert listed(("a", "b", "c")) == listed(("a", "b", "c"), 3) == "a, b, c"
    assert listed(("a", "b", "c"), 1) == "a and 2 more"
    assert listed(()) == "none"


def test_a_text_is_cut_to_its_room_and_says_so() -> None:
    assert [shortened("MUL_ADD", most) for most in (7, 6, 1)] == ["MUL_ADD", "MUL_..", ".."]


def test_a_time_is_written_as_the_csv_has_it() -> None:
    assert time_text(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Nano 33 BLE, größer", "Nano 33 BLE, größer"),
        (r"C:\temp", r"C:\temp"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\0\a\b\x7f", r"\x00\x07\x08\x7f"),
        ("\x85\x9b31m", r"\x85\x9b31m"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("abc\u202edef\u2066", r"abc\u202edef\u2066"),
        ("\ufeffa\u200bb\xad\ufffe", r"\ufeffa\u200bb\xad\ufffe"),
        ("\ud800x\udfff", r"\ud800x\udfff"),
        ("\U000e0041", r"\U000e0041"),
        ("::error::x", r"\u003a:error::x"),
        (" ::add-mask::x", r" \u003a:add-mask::x"),
        ("a::Error file=b::x", r"a\u003a:Error file=b::x"),
        ("\n::group::", r"\n\u003a:group::"),
        ("tflite::MicroError", "tflite::MicroError"),
        ("a ##[error]x ##vso[b]", r"a \u0023#[error]x \u0023#vso[b]"),
        ("x" * MOST_PRINTED, "x" * MOST_PRINTED),
        ("x" * 10**6, "x" * (MOST_PRINTED - 2) + ".."),
    ],
)
def test_text_from_outside_is_shown_and_does_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.isprintable() and printable(shown) == shown


@pytest.mark.parametrize("limit", [-1, 0, 1, 2, 5, 9])
@pytest.mark.parametrize("text", ["\x1b" * 9, "::error::", "abc", ""])
def test_printable_text_is_no_longer_than_asked_for(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= max(0, limit) and shown.isprintable()


def test_only_the_ends_of_lines_stay_of_several_lines() -> None:
    assert printable_lines("a\x1bb\n::error::c\r\n") == "a\\x1bb\n\\u003a:error::c\\r\n"
    long = "\U000e0041" * 300
    assert printable_lines(long) == r"\U000e0041" * 300
