from __future__ import annotations

import numpy as np
import pytest

from harness.errors import WrongUse
from harness.measure.apart import beyond, differing, gap, tolerance_text, tolerances, ulps
from harness.model.samples import Layout
from harness.model.tensor import TensorSpec
from harness.tolerance import EXACT, FLOATS, Stated, Tolerance, parse_tolerance

SCORES = TensorSpec(shape=(1, 2), dtype="int8", scale=0.5, name="scores")
WAVE = TensorSpec(shape=(1, 2), dtype="float32", name="wave")
BOTH = Layout(specs=(SCORES, WAVE))


def stated(text: str) -> Stated:
    return Stated(items=parse_tolerance(text), by="--hil-tolerance")


def single(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (EXACT, FLOATS)),
        ("1lsb", (Tolerance(lsb=1), FLOATS)),
        ("2ulp", (EXACT, Tolerance(ulp=2))),
        ("2ulp,1e-6,1lsb", (Tolerance(lsb=1), Tolerance(ulp=2, relative=1e-6))),
        ("exact", (EXACT, EXACT)),
        ("1lsb,scores=exact", (EXACT, FLOATS)),
        ("1=2ulp", (EXACT, Tolerance(ulp=2))),
    ],
)
def test_outputs_have_the_tolerance_stated_for_them_else_for_all_else_the_usual(
    text: str, expected
) -> None:
    assert tolerances(stated(text), BOTH) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("other=1lsb", "--hil-tolerance names output 'other': the model has 'scores' of int8"),
        ("wave=1lsb", "'wave' 1 LSB: it is of float32"),
        ("scores=1ulp", "'scores' 1 ulp: it is of int8"),
    ],
)
def test_a_tolerance_for_what_is_not_there_is_refused(text: str, problem: str) -> None:
    with pytest.raises(WrongUse, match=problem):
        tolerances(stated(text), BOTH)


def test_the_text_names_who_widened_it() -> None:
    usual, asked = stated(""), stated("1lsb")
    assert tolerance_text(tolerances(usual, BOTH), usual, BOTH) == (
        "scores: bit for bit; wave: 4 ulp or 1e-05 of the largest"
    )
    only = Layout(specs=(SCORES,))
    assert tolerance_text(tolerances(asked, only), asked, only) == "1 LSB, by --hil-tolerance"
    assert tolerance_text((EXACT,), asked, only) == "bit for bit"


@pytest.mark.parametrize(
    ("dtype", "one", "other", "apart"),
    [
        ("int8", -128, 127, 255),
        ("uint8", 0, 255, 255),
        ("bool", False, True, 1),
        ("int64", -(2**63), 2**63 - 1, 2**64 - 1),
        ("int64", 2**53, 2**53 + 1, 1),
    ],
)
def test_integers_are_apart_by_whole_steps(dtype: str, one, other, apart: int) -> None:
    first, second = np.array([[one]], dtype), np.array([[other]], dtype)
    assert gap(first, second)[0, 0] == float(apart)
    assert beyond(first, second)[0, 0] and not beyond(first, first)[0, 0]
    if apart < 10**9:
        assert not beyond(first, second, Tolerance(lsb=apart))[0, 0]
        assert beyond(first, second, Tolerance(lsb=apart - 1))[0, 0]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-40, 3e38])
def test_ulps_count_the_floats_in_between(value: float) -> None:
    start = np.float32(value)
    far = start
    for _ in range(3):
        far = np.nextafter(far, np.float32(np.inf))
    assert ulps(single(start), single(far))[0, 0] == 3
    assert beyond(single(start, 0), single(far, 0), Tolerance(ulp=2)).tolist() == [[True, False]]
    assert not beyond(single(start), single(far), Tolerance(ulp=3)).any()


def test_ulps_count_through_zero() -> None:
    least = np.nextafter(np.float32(0), np.float32(1))
    assert ulps(single(-least), single(least))[0, 0] == 2
    assert ulps(single(-0.0), single(0.0))[0, 0] == 0


def test_a_share_is_of_the_largest_magnitude_in_all_samples() -> None:
    golden = np.array([[100.0, 0.0], [0.0, -200.0]], np.float32)
    board = golden + np.array([[0.0, 0.0019], [0.0021, 0.0]], np.float32)
    assert beyond(board, golden, Tolerance(relative=1e-5)).tolist() == [
        [False, False],
        [True, False],
    ]


@pytest.mark.parametrize(
    ("board", "golden", "wrong"),
    [
        (np.nan, np.nan, False),
        (np.inf, np.inf, False),
        (-np.inf, np.inf, True),
        (np.nan, 1.0, True),
        (3.4028235e38, np.inf, True),
        (np.inf, 3.4028235e38, True),
    ],
)
def test_special_values_equal_only_themselves_whatever_is_allowed(board, golden, wrong) -> None:
    wide = Tolerance(ulp=10**9, relative=0.99)
    assert beyond(single(board, 1.0), single(golden, 1.0), wide).tolist() == [[wrong, False]]


def test_samples_differ_where_any_output_does() -> None:
    golden = BOTH.pack([np.zeros((3, 2), np.int8), np.zeros((3, 2), np.float32)])
    board = golden.copy()
    board["scores"][1, 0] = 1
    board["wave"][2, 1] = 1e-3
    assert differing(board, golden).tolist() == [1, 2]
    assert differing(board, golden, (Tolerance(lsb=1), EXACT)).tolist() == [2]
