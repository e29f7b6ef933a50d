"""Outcomes of tests and runs: their precedence and exit statuses."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from harness.errors import (
    BoardError,
    BoardStatus,
    BuildFailed,
    CannotTell,
    MeterError,
    ModelError,
    MoreThanBaseline,
    RigError,
    SlowerOperators,
    SlowerThanBaseline,
    StaleFirmware,
    TooMuchEnergy,
    TooSlow,
    UnknownName,
)


class Outcome(Enum):
    """The outcome of one test; the value is the word that every report uses.

    In order of precedence. A known fault of the product comes before a rig that left things
    unknown: CI may repeat or excuse a sick rig, and must not hide a wrong answer by doing so.
    """

    FAILED = "failed"
    WRONG = "wrong numbers"
    UNRUNNABLE = "model cannot run"
    SLOW = "too slow"
    HUNGRY = "too much energy"
    STALE = "stale firmware"
    SICK = "sick rig"
    METER = "meter failed"
    UNTOLD = "energy unknown"
    QUARANTINED = "quarantined"
    PASSED = "passed"

    @property
    def exit_status(self) -> int:
        """Exit status of a run whose worst outcome this is; 3 to 5 are pytest's own."""
        return _EXIT_STATUS.get(self, 0)

    @property
    def gates(self) -> bool:
        """Whether a run with this outcome fails."""
        return self.exit_status != 0


_EXIT_STATUS = {
    Outcome.FAILED: 1,
    Outcome.WRONG: 1,
    Outcome.UNRUNNABLE: 2,
    Outcome.SICK: 10,
    Outcome.METER: 10,
    Outcome.UNTOLD: 10,
    Outcome.STALE: 11,
    Outcome.SLOW: 12,
    Outcome.HUNGRY: 12,
}


GIT_GOOD, GIT_BAD, GIT_SKIP, GIT_ABORT = 0, 1, 125, 255
"""Exit statuses for `git bisect run`, which stops at 126 and above: for a wrong option it would
otherwise skip every commit."""


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a run with all of these; PASSED if there are none."""
    order = list(Outcome)
    return min(outcomes, key=order.index, default=Outcome.PASSED)


def of_error(error: BaseException, *, on_board: bool) -> Outcome:
    """The outcome that an exception from a test, a fixture or a command means.

    A failed build, an unknown name or a request that the board refuses for what it asks is no sick
    rig: the sources, the command or the test are wrong, and nobody should wave that through. A
    model that an interpreter refuses says nothing of the rig. A meter that fails says nothing of
    the board, nor does an energy that its samples do not tell. An assertion is about numbers where
    the test uses a board.
    """
    if isinstance(error, TooSlow | SlowerThanBaseline | SlowerOperators):
        return Outcome.SLOW
    if isinstance(error, TooMuchEnergy | MoreThanBaseline):
        return Outcome.HUNGRY
    if isinstance(error, MeterError):
        return Outcome.METER
    if isinstance(error, CannotTell):
        return Outcome.UNTOLD
    if isinstance(error, StaleFirmware):
        return Outcome.STALE
    if isinstance(error, ModelError):
        return Outcome.UNRUNNABLE
    if isinstance(error, BuildFailed | UnknownName):
        return Outcome.FAILED
    if isinstance(error, BoardStatus) and error.of_request:
        return Outcome.FAILED
    if isinstance(error, RigError | BoardError):
        return Outcome.SICK
    if isinstance(error, AssertionError) and on_board:
        return Outcome.WRONG
    return Outcome.FAILED
