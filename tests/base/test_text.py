from datetime import datetime, timezone

from harness.measure.tables import time_text
from harness.text import WIDTH, counted, listed, shortened, table, wrapped


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
