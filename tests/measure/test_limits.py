from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.described import row

from harness.errors import TooSlow
from harness.measure.limits import Limit, hold_to, refuse_unmeasured

ROW = row(board="nano", port="/dev/ttyACM0", model="sine", p50_us=53.0)


def us(most: float) -> Limit:
    return Limit(most=most, unit="us", rule="at_most_us")


@pytest.mark.parametrize("most", [53.0, 53.1])
def test_a_median_up_to_its_limit_holds(most: float) -> None:
    hold_to(ROW, [us(most)])


def test_a_median_over_its_limit_is_too_slow_with_its_facts() -> None:
    with pytest.raises(TooSlow) as caught:
        hold_to(ROW, [us(60), Limit(most=26.5, unit="us", rule="budget_us.sine of the rig file")])
    error = caught.value
    assert (error.measured, error.limit, error.unit) == (53.0, 26.5, "us")
    assert str(error) == (
        "median of 53 us is 2 times the limit of 26.5 us (budget_us.sine of the rig file) "
        "(board nano, port /dev/ttyACM0, model sine)."
    )


def test_instructions_are_held_to_their_own_median() -> None:
    counted = replace(ROW, instructions_p50=2967)
    hold_to(counted, [Limit(most=2967, unit="instructions", rule="at_most_instructions")])
    with pytest.raises(TooSlow, match="2967 instructions"):
        hold_to(counted, [Limit(most=2966, unit="instructions", rule="at_most_instructions")])


@pytest.mark.parametrize(
    ("unit", "attachment", "counted"),
    [
        ("us", "emulator", True),
        ("us", "sim", True),
        ("instructions", "sim", False),
        ("instructions", "virtual", False),
    ],
)
def test_a_limit_in_a_unit_that_is_not_measured_is_refused(
    unit: str, attachment: str, counted: bool
) -> None:
    limit = Limit(most=1, unit=unit, rule="at_most")
    with pytest.raises(ValueError, match=f"{unit} are not measured on board b"):
        refuse_unmeasured([limit], board="b", attachment=attachment, counted=counted)


@pytest.mark.parametrize(
    ("unit", "attachment", "counted"),
    [
        ("us", "serial", False),
        ("us", "url", False),
        ("us", "virtual", False),
        ("us", "sim", False),
        ("instructions", "emulator", True),
        ("instructions", "sim", True),
    ],
)
def test_a_limit_in_the_boards_own_unit_is_taken(unit: str, attachment: str, counted: bool) -> None:
    limit = Limit(most=1, unit=unit, rule="at_most")
    refuse_unmeasured([limit], board="b", attachment=attachment, counted=counted)


@pytest.mark.parametrize("most", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_a_positive_number(most: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        us(most)


def test_a_limit_has_a_known_unit() -> None:
    with pytest.raises(ValueError, match="not in ms"):
        Limit(most=1, unit="ms", rule="at_most_ms")
