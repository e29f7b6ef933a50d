from __future__ import annotations

import pytest

from harness.errors import (
    BoardRebooted,
    BoardStatus,
    BoardTalks,
    BuildFailed,
    ModelError,
    ModelRefused,
    SlowerThanBaseline,
    StaleFirmware,
    StartFailed,
    TooSlow,
    UnknownName,
    Where,
)
from harness.outcome import Outcome, of_error, worst

WHERE = Where(board="a")


def refused(op: str, status: str) -> BoardStatus:
    return BoardStatus(where=WHERE, op=op, status=status, detail=0, field="")


def test_exit_statuses_are_none_of_pytests_own_but_failure_and_a_run_that_was_none() -> None:
    statuses = {outcome.exit_status for outcome in Outcome}
    assert statuses == {0, 1, 2, 10, 11, 12}
    assert not statuses & {int(code) for code in pytest.ExitCode} - {0, 1, 2}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AssertionError("1 != 2"), Outcome.WRONG),
        (ValueError("a mistake in the test"), Outcome.FAILED),
        (ModelError("corrupt"), Outcome.UNRUNNABLE),
        (ModelRefused(where=WHERE, op="setup", status="model_not_loaded"), Outcome.UNRUNNABLE),
        (UnknownName("fault", "flop", ["flip"]), Outcome.FAILED),
        (BuildFailed(where=WHERE, first_errors=[], log="log"), Outcome.FAILED),
        (
            TooSlow(where=WHERE, measured=2.0, limit=1.0, unit="us", rule="at_most_us"),
            Outcome.SLOW,
        ),
        (
            SlowerThanBaseline(
                where=WHERE, ratio=1.05, low=1.04, high=1.06, rule="a rule", baseline="run x"
            ),
            Outcome.SLOW,
        ),
        (StaleFirmware(where=WHERE, field="build id", expected="a", actual="b"), Outcome.STALE),
        (refused("RUN", "bad_input"), Outcome.SICK),
        (refused("setup", "timer_stuck"), Outcome.SICK),
        (refused("setup", "unsupported"), Outcome.SICK),
        (refused("RUN", "bad_value"), Outcome.FAILED),
        (refused("PROFILE", "unsupported"), Outcome.FAILED),
        (
            BoardTalks(where=WHERE, in_flight="HELLO", count=9, seconds=2, received=b"hello"),
            Outcome.SICK,
        ),
        (StartFailed("no", where=WHERE), Outcome.SICK),
        (BoardRebooted(where=WHERE, in_flight="RUN"), Outcome.SICK),
    ],
)
def test_an_error_says_what_became_of_the_test(error: Exception, outcome: Outcome) -> None:
    assert of_error(error, on_board=True) is outcome


def test_an_assertion_without_a_board_is_about_no_numbers() -> None:
    assert of_error(AssertionError(), on_board=False) is Outcome.FAILED


def test_what_the_product_did_wrong_comes_before_what_the_rig_left_unknown() -> None:
    order = [
        Outcome.WRONG,
        Outcome.UNRUNNABLE,
        Outcome.SLOW,
        Outcome.STALE,
        Outcome.SICK,
        Outcome.QUARANTINED,
    ]
    for place, outcome in enumerate(order):
        assert worst(reversed([*order[place:], Outcome.PASSED])) is outcome
    assert worst([]) is Outcome.PASSED
    assert not worst([Outcome.QUARANTINED, Outcome.PASSED]).gates
