from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.textplot import text_plot


def plot(values, *, width=40, unicode=True, marks=None, height=4) -> list[str]:
    return text_plot(
        values,
        width=width,
        label=lambda value: f"{value:g}",
        marks=marks or {},
        ends=("2026-11-01", "2026-11-30"),
        unicode=unicode,
        height=height,
    )


def test_a_step_with_its_mark() -> None:
    assert plot([1, 1, 1, 2, 2, 2], marks={3: "1"}, width=30) == [
        "2 │            ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉",
        "  │",
        "  │",
        "1 │⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀",
        "  └────────────────────────",
        "               1",
        "   2026-11-01    2026-11-30",
    ]


def test_the_same_in_ascii() -> None:
    assert plot([1, 2, 1.5], width=32, unicode=False, marks={1: "1", 2: "B"}) == [
        "2 |         '''''''''",
        "  |                  _________",
        "  |",
        "1 |_________",
        "  +---------------------------",
        "            1        B",
        "   2026-11-01       2026-11-30",
    ]


def test_more_figures_than_columns_share_one_as_a_range_and_their_marks_too() -> None:
    values = [float(at % 2) for at in range(1000)]
    lines = plot(values, unicode=False, marks={500: "1", 501: "2", 999: "3"})
    assert lines[1] == "  |" + "|" * 37
    assert lines[5].split() == ["+", "3"] and lines[5].index("+") == 3 + 18


def test_equal_figures_stand_in_the_middle_with_one_label() -> None:
    lines = plot([5.0, 5.0])
    assert [line[:3] for line in lines[:4]] == ["  │", "  │", "5 │", "  │"]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=90),
    st.integers(30, 100),
    st.booleans(),
)
def test_no_line_is_wider_than_asked_and_every_figure_has_its_place(values, width, unicode) -> None:
    lines = plot(values, width=width, unicode=unicode, marks={0: "1", len(values) - 1: "2"})
    assert all(len(line) <= width for line in lines)
    assert unicode or all(line.isascii() for line in lines)
    side = "│" if unicode else "|"
    cells = [line.partition(side)[2] for line in lines[:4]]
    widest = max(map(len, cells))
    filled = {at for row in cells for at, cell in enumerate(row) if cell != " "}
    assert filled == set(range(widest)) and widest >= min(len(values), 1)


@pytest.mark.parametrize("values", [[0.0, 1e308], [-1e308, 1e308], [0.0, 1e-300]])
def test_figures_at_the_ends_of_what_a_float_holds(values) -> None:
    lines = plot(values)
    assert "⣀" in lines[3] and "⠉" in lines[0]
