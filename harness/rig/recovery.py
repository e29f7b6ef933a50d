"""Recovery of a silent board: remedies from mild to harsh, and a record of each attempt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import (
    BoardRebooted,
    BoardSilent,
    BoardStatus,
    BoardTalks,
    HilError,
    LinkTimeout,
    PoolError,
    PortLost,
    ProtocolError,
)
from harness.holders import also_open
from harness.link.dut import Dut
from harness.link.link import Link, LinkOptions
from harness.link.protocol import Op

PROBE = LinkOptions(timeout_s=0.5, attempts=8, silent_attempts=8)
"""Opening a port resets many a board: ask HELLO again soon, for 4 s."""

AGAIN = LinkOptions(timeout_s=0.5, attempts=4, silent_attempts=4)
"""In mid-run a request has waited for the board already: 2 s more."""

ASKED, ANSWERS = "resync and HELLO", "it answers"
"""What is done first, and what is hoped for."""

_ONCE = LinkOptions(timeout_s=0.5, attempts=1, silent_attempts=1)
SILENT = (LinkTimeout, PortLost, ProtocolError)
"""Errors of a board that does not answer as a board does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One thing that was done to a silent board, and its result."""

    action: str
    result: str

    def __str__(self) -> str:
        return f"{self.action}: {self.result}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Something that may bring a silent board back.

    `act` raises HilError where it cannot; what it returns is said with the result.
    """

    name: str
    act: Callable[[Link], str | None]


def lost(error: BaseException) -> bool:
    """Whether an open board may be brought back after an error.

    One that refuses a request for what it asks has answered: there is nothing to bring back.
    """
    if isinstance(error, BoardStatus):
        return not error.of_request
    return isinstance(error, (*SILENT, BoardRebooted))


def recover(dut: Dut, error: HilError, remedies: Sequence[Remedy]) -> tuple[Attempt, ...]:
    """Recover a board that did not answer: each remedy in turn, until it answers HELLO.

    Args:
        error: what resync and HELLO failed with.

    Returns:
        What was done, ending with the step that helped.

    Raises:
        BoardSilent: nothing helped.
        BoardTalks: nothing helped, and the last thing it did was to send without being asked.
        BoardStatus, ModelRefused: it answers again, but its setup failed.
        PoolError: its place in the pool was lost.
    """
    steps = [Attempt(action=ASKED, result=error.what)]
    last = error
    for remedy in remedies:
        try:
            seen = remedy.act(dut.link)
        except PoolError:
            raise  # The place is gone: nothing that is done to the board helps.
        except HilError as failure:
            steps.append(Attempt(action=remedy.name, result=f"failed: {failure.what}"))
            continue
        said = f"{seen}; " if seen else ""
        try:
            dut.greet(PROBE)
        except SILENT as failure:
            steps.append(Attempt(action=remedy.name, result=f"{said}{failure.what}"))
            last = failure
            continue
        return (*steps, Attempt(action=remedy.name, result=f"{said}{ANSWERS}"))
    tried = tuple(map(str, steps))
    if isinstance(last, BoardTalks):
        last.steps = tried
        raise last
    others = also_open(dut.link.where.port)
    raise BoardSilent(where=dut.link.where, steps=tried, others=others) from last


def reopen(link: Link) -> None:
    """Remedy: close the port and open it again."""
    link.reopen()


def request_reset(link: Link) -> None:
    """Remedy: the RESET request, for a board that still answers within its session."""
    link.resync()
    link.request(Op.RESET, options=_ONCE)
