from dataclasses import replace

import numpy as np

from harness.measure.first_difference import SHOWN, difference_at
from harness.model.graph import Operator

DENSE = Operator(
    index=4, kind="FULLY_CONNECTED", tensor=9, name="dense/Relu", dtype="int8", shape=(2, 5), macs=9
)
GOLDEN = np.arange(10, dtype=np.int8).reshape(2, 5)


def difference(board, golden=GOLDEN, **rest):
    return difference_at(DENSE, "FULLY_CONNECTED+RESHAPE", board, golden, source="tflm 1", **rest)


def test_elements_that_differ_are_counted_and_the_first_are_shown() -> None:
    board = GOLDEN.copy()
    board[0, 2], board[1, 4] = 7, -128
    found = difference(board)
    assert (found.differing, found.elements, found.max_abs) == (2, 10, 137)
    assert [(item.at, item.board, item.golden) for item in found.first] == [
        ((0, 2), 7, 2),
        ((1, 4), -128, 9),
    ]


def test_no_more_than_a_few_elements_are_shown() -> None:
    found = difference(GOLDEN + np.int8(1))
    assert (found.differing, len(found.first)) == (10, SHOWN)


def test_text_names_operator_tensor_and_values() -> None:
    board = GOLDEN.copy()
    board[0, 2] = 7
    assert str(difference(board, second=board)).splitlines() == [
        "first difference: operator 4, FULLY_CONNECTED+RESHAPE",
        "  output dense/Relu",
        "  int8 2x5: 1 of 10 elements differ from tflm 1, by up to 5",
        "  second opinion: 0 differ from LiteRT",
        "  [0, 2]: board 7, golden 2",
    ]


def test_long_name_is_cut_in_the_text_alone() -> None:
    name = "sequential/conv/Relu;" * 9
    found = difference_at(replace(DENSE, name=name), "CONV_2D", -GOLDEN, GOLDEN, source="tflm 1")
    assert found.name == name
    assert str(found).splitlines()[1] == f"  output {name[:69]}.."


def test_floats_are_compared_by_their_bits() -> None:
    golden = np.array([0.0, np.nan, 1.0], dtype=np.float32)
    same = difference(golden.copy(), golden)
    assert (same.differing, same.max_abs) == (0, 0)
    assert difference(np.array([-0.0, np.nan, 1.0], np.float32), golden).differing == 1
