"""What a run came to: outcomes, their precedence and the exit status each has."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from harness.errors import (
    BoardError,
    BuildFailed,
    RigError,
    SlowerThanBaseline,
    StaleFirmware,
    TooSlow,
    UnknownName,
)


class Outcome(Enum):
    """What became of one test; the value is the word that every report uses.

    In order of precedence. What is known to be wrong with the product comes before what a rig left
    unknown: CI may run a sick rig again or wave it through, and must not hide a wrong answer by it.
    """

    FAILED = "failed"
    WRONG = "wrong numbers"
    SLOW = "too slow"
    STALE = "stale firmware"
    SICK = "sick rig"
    QUARANTINED = "quarantined"
    PASSED = "passed"

    @property
    def exit_status(self) -> int:
        """Status of a run that this is the worst of; 2 to 5 are pytest's own."""
        return _EXIT_STATUS.get(self, 0)

    @property
    def gates(self) -> bool:
        """Whether a run with it is no success."""
        return self.exit_status != 0


_EXIT_STATUS = {
    Outcome.FAILED: 1,
    Outcome.WRONG: 1,
    Outcome.SICK: 10,
    Outcome.STALE: 11,
    Outcome.SLOW: 12,
}


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that a run with all of these comes to; PASSED of none."""
    order = list(Outcome)
    return min(outcomes, key=order.index, default=Outcome.PASSED)


def of_error(error: BaseException, *, on_board: bool) -> Outcome:
    """What an exception out of a test, a fixture or a command means.

    A failed build or an unknown name is no sick rig: the sources or the command are wrong, and
    nobody should wave that through. An assertion is about numbers where the test uses a board.
    """
    if isinstance(error, TooSlow | SlowerThanBaseline):
        return Outcome.SLOW
    if isinstance(error, StaleFirmware):
        return Outcome.STALE
    if isinstance(error, BuildFailed | UnknownName):
        return Outcome.FAILED
    if isinstance(error, RigError | BoardError):
        return Outcome.SICK
    if isinstance(error, AssertionError) and on_board:
        return Outcome.WRONG
    return Outcome.FAILED
