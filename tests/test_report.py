from harness.report import table


def test_table_aligns_the_first_column_left_and_the_others_right() -> None:
    text = table(("board", "us"), [("virtual", "5.1"), ("q", "120.0")])
    assert text.splitlines() == ["board       us", "virtual    5.1", "q        120.0"]
    assert table(("board",), []) == "board"
