from __future__ import annotations

import pytest

from harness.tolerance import EXACT, FLOATS, Allowed, Stated, Tolerance, parse_tolerance


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("1lsb", [(None, Tolerance(lsb=1))]),
        ("2 LSB", [(None, Tolerance(lsb=2))]),
        ("4ulp,1e-6", [(None, Tolerance(ulp=4)), (None, Tolerance(relative=1e-6))]),
        ("exact", [(None, EXACT)]),
        ("0", [(None, EXACT)]),
        ("scores:0=1lsb, 1=exact", [("scores:0", Tolerance(lsb=1)), ("1", EXACT)]),
    ],
)
def test_a_tolerance_is_read_from_text(text: str, items) -> None:
    assert parse_tolerance(text) == tuple(
        Allowed(output=output, tolerance=tolerance) for output, tolerance in items
    )


def test_a_tolerance_may_be_for_one_operator() -> None:
    items = parse_tolerance("1lsb@FULLY_CONNECTED, scores=2lsb @ CONV_2D, 1e-6")
    assert [(item.output, item.tolerance.lsb, item.operator) for item in items] == [
        (None, 1, "FULLY_CONNECTED"),
        ("scores", 2, "CONV_2D"),
        (None, 0, None),
    ]
    assert Stated(items=items).operators == {"FULLY_CONNECTED", "CONV_2D"}


@pytest.mark.parametrize(
    "text",
    [
        "1lsb@",
        "1lsb@A;B",
        "@ADD",
        "lsb",
        "1.5lsb",
        "-1lsb",
        "-1e-6",
        "nan",
        "inf",
        "1",
        "2",
        "x=",
        "1 m",
    ],
)
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_tolerance(text)


def test_a_tolerance_says_what_it_is() -> None:
    assert str(EXACT) == "bit for bit"
    assert str(Tolerance(lsb=1)) == "1 LSB"
    assert str(FLOATS) == "4 ulp or 1e-05 of the largest"


@pytest.mark.parametrize(
    ("tolerance", "dtype", "fits"),
    [
        (Tolerance(lsb=1), "int8", True),
        (Tolerance(lsb=1), "float32", False),
        (Tolerance(ulp=1), "float32", True),
        (Tolerance(relative=0.1), "bool", False),
        (EXACT, "int8", True),
        (EXACT, "float32", True),
    ],
)
def test_a_unit_fits_integers_or_floats(tolerance: Tolerance, dtype: str, fits: bool) -> None:
    assert Allowed(output=None, tolerance=tolerance).fits(dtype) is fits
