from harness.report import WIDTH, table, wrapped


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
