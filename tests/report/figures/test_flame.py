from __future__ import annotations

from xml.etree import ElementTree

import pytest
from fakes import nights

from harness.measure.runs import Run
from harness.measure.tables import CallRow
from harness.report.figures.flame import (
    LEAST,
    MOST_LEVELS,
    WIDTH,
    boxes,
    flame_figures,
    flame_picture,
)


def call(index: int, parent: int | None, function: str, instructions: int) -> CallRow:
    return CallRow(
        run="a1",
        board="qemu-m4",
        runtime="aot",
        model="sine",
        dtype="int8",
        index=index,
        parent=parent,
        function=function,
        calls=1,
        instructions=instructions,
    )


TREE = [call(0, None, "invoke", 10), call(1, 0, "a", 20), call(2, 1, "b", 30), call(3, 0, "c", 40)]


def test_boxes_are_as_wide_as_what_they_took_and_lie_upon_their_caller() -> None:
    found = {box.function: box for box in boxes(TREE)}
    places = {name: (box.level, box.left, box.width) for name, box in found.items()}
    assert places == {
        "invoke": (0, 0.0, 1.0),
        "a": (1, 0.0, pytest.approx(0.5)),
        "b": (2, 0.0, pytest.approx(0.3)),
        "c": (1, pytest.approx(0.5), pytest.approx(0.4)),
    }
    assert (found["a"].alone, found["a"].whole) == (20, 50)


def test_rows_that_are_no_tree_are_left_out() -> None:
    for damaged in (
        [],
        [call(1, 0, "orphan", 5)],
        [*TREE, call(5, 9, "orphan", 5), call(6, 6, "own parent", 5), call(7, 8, "late", 5)],
    ):
        names = {box.function for box in boxes(damaged)}
        assert names == ({"invoke", "a", "b", "c"} if len(damaged) > 1 else set())


def drawn(calls: list[CallRow]) -> ElementTree.Element:
    whole = sum(item.instructions for item in calls)
    return ElementTree.fromstring(flame_picture(calls, {}, whole=whole).svg)


def test_a_deep_recursion_and_narrow_boxes_are_said_and_not_drawn() -> None:
    deep = [call(n, n - 1 if n else None, "down", 100) for n in range(500)]
    narrow = [call(500 + n, 0, "narrow", 1) for n in range(100)]
    picture = flame_picture([*deep, *narrow], {}, whole=50_100)
    assert 500 + 100 - MOST_LEVELS == 560
    assert "560 more boxes are too narrow or too high" in picture.caption
    rects = ElementTree.fromstring(picture.svg).iter("rect")
    assert all(float(rect.get("width", "0")) >= LEAST / 2 for rect in rects)


def test_names_are_cut_to_their_boxes_and_escaped() -> None:
    hostile = "<script>alert(1)</script>&" + "x" * 400
    calls = [
        call(0, None, "runtime::Invoke", 0),
        call(1, 0, "tflite::micro::Interpreter::Invoke", 20),
        call(2, 0, hostile, 80),
    ]
    root = drawn(calls)
    texts = [text.text or "" for text in root.iter("text")]
    assert texts[0] == "runtime::Invoke" and "micro::Interpreter::Invoke" in texts
    assert any(text.startswith("<script>") and text.endswith("…") for text in texts)
    assert len(max(texts, key=len)) < 0.8 * WIDTH / 6
    titles = [title.text or "" for title in root.iter("title")]
    assert titles[1] == (
        "tflite::micro::Interpreter::Invoke: 20 instructions with callees (20.0%), "
        "20 its own, 1 call"
    )
    assert "<script" not in flame_picture(calls, {}, whole=100).svg


def test_a_routine_that_takes_much_is_named_first_and_coloured() -> None:
    (*_, row) = nights.emulated_board(0, instructions=2967)
    functions, calls = nights.counted_rows(row)
    item = Run(row=row, sessions=(), functions=tuple(functions), calls=tuple(calls))
    group = flame_figures(item)
    assert group is not None
    (said,) = group.says
    assert said.startswith("memcpy: 1920 of 2965 instructions (65%), in 1 call, most from bknn_")
    assert "a routine of the C library or the compiler that is named above" in group.pictures[0].svg
    assert flame_figures(Run(row=row, sessions=())) is None
