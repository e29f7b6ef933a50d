"""The rate of a serial line: faster than at reset where board, bridge and this machine can.

docs/protocol.md has the rules. Whatever goes wrong, both ends meet again at the base rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import BoardStatus, HilError, LinkTimeout, ProtocolError, Where, located
from harness.link.protocol import BASE_BAUD, FALL_BACK_S, parse_speed, speed_body

FRESH_S = 0.7 * FALL_BACK_S
"""So long after its last reply a board is surely still at the faster rate. Then it is asked."""
LEFT_S = 1.3 * FALL_BACK_S
"""And after so long it has surely left that."""

MOST_MISSES = 3
"""Time-outs at a faster rate after which a line stays at the base rate."""


class SlowLines:
    """Which lines were found to carry no faster rate, for as long as a run lasts."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, int], str] = {}
        self._told = 0

    def refuse(self, board: str, baud: int, why: str) -> None:
        """Ask for this rate no more."""
        self._refused.setdefault((board, baud), why)

    def refused(self, board: str, baud: int) -> bool:
        """Whether the rate was tried in vain."""
        return (board, baud) in self._refused

    def news(self) -> list[str]:
        """The notes since the last time."""
        new = self.notes()[self._told :]
        self._told += len(new)
        return new

    def notes(self) -> list[str]:
        """One line for each, for the summary of a run."""
        return [
            f"{board}: {why}; its link went on at a slower rate"
            for (board, _), why in self._refused.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is known of the line to a board before it is asked.

    `native_usb`: the board's own USB, to which full packets are written. `baud`: the rate at which
    it is opened. `most_baud`: no faster rate is asked for; None leaves it to the board.
    """

    native_usb: bool = False
    baud: int = BASE_BAUD
    most_baud: int | None = None
    slow: SlowLines = field(default_factory=SlowLines)


class Asking(Protocol):
    """The link, as far as changing its rate takes one."""

    where: Where

    def ask_speed(self, body: bytes, *, trial: bool) -> bytes:
        """Send a SPEED request; as a trial but briefly."""

    def tell_speed(self, body: bytes) -> None:
        """Send a SPEED request whose reply nobody waits for."""

    def set_baud(self, baud: int) -> bool:
        """Change this end's rate; False if it has no such rate."""

    def settle(self, until_s: float) -> None:
        """Drop what comes until then, and end what the board may have begun to take."""


class Speed:
    """The rate of one link.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, link: Asking, line: Line, clock: Callable[[], float]) -> None:
        self._link = link
        self._line = line
        self._clock = clock
        self._wanted: int | None = None
        self._heard_s = -math.inf
        self._misses = 0
        self._switching = False
        self.baud = line.baud
        """The rate now."""

    @property
    def fast(self) -> bool:
        """Whether the line is at a faster rate than at reset."""
        return self.baud != self._line.baud

    def heard(self) -> None:
        """A reply has come."""
        self._heard_s = self._clock()

    def offer(self, rates: Sequence[int]) -> None:
        """Go to the fastest of a board's rates that the line carries, if any."""
        self._misses = 0
        self._wanted = next((baud for baud in self._asked(rates) if self._switch(baud)), None)

    def before(self) -> None:
        """Before a request: agree anew on a rate that the board may have left, or has."""
        if self._wanted is None or self._switching:
            return
        idle_s = self._clock() - self._heard_s
        if self.fast and (
            idle_s < FRESH_S or (idle_s < FALL_BACK_S and self._carries(self._wanted))
        ):
            return
        self.leave()
        if not self._switch(self._wanted):
            self._wanted = None

    def missed(self) -> None:
        """An attempt had no reply: the next one is made at the base rate."""
        if not self.fast or self._switching:
            return
        self._misses += 1
        if self._misses == MOST_MISSES and self._wanted is not None:
            self._refuse(self._wanted, f"lost {MOST_MISSES} replies at {self._wanted} baud")
            self._wanted = None
        self.leave()

    def leave(self) -> None:
        """Back to the base rate, once the board has left the faster one."""
        if self.fast:
            self.forget()
            self._link.settle(self._heard_s + LEFT_S)

    def forget(self) -> None:
        """Back to the base rate, where the board is already."""
        if self.fast:
            self.baud = self._line.baud
            self._link.set_baud(self.baud)

    def begin(self) -> None:
        """Before HELLO: nothing is known of the board."""
        self._wanted = None
        self.leave()

    def end(self) -> None:
        """Leave the board at the base rate, for who opens its port next."""
        if self.fast:
            with suppress(HilError):
                if self._clock() - self._heard_s < FRESH_S:
                    self._link.tell_speed(speed_body(self._line.baud))
            self.baud = self._line.baud

    def _asked(self, rates: Sequence[int]) -> Iterator[int]:
        most = self._line.most_baud or math.inf
        board = self._link.where.board or ""
        for baud in sorted(rates, reverse=True):
            if self._line.baud < baud <= most and not self._line.slow.refused(board, baud):
                yield baud

    def _switch(self, baud: int) -> bool:
        """Whether board and line are at the rate now; else both are at the base rate."""
        try:
            self._ask(baud, trial=False)
        except BoardStatus:
            return False
        if self._link.set_baud(baud):
            self.baud = baud
            if self._carries(baud):
                return True
            why = f"no reply at {baud} baud, which its line does not carry"
        else:
            why = f"the port has no rate of {baud} baud"
        self._refuse(baud, why)
        self.forget()
        self._link.settle(self._heard_s + LEFT_S)
        return False

    def _carries(self, baud: int) -> bool:
        """Whether a request at the faster rate is answered, and came in at that rate.

        Where a bridge goes on as before, the board sees a break and answers as before.
        """
        with suppress(LinkTimeout, ProtocolError):
            return self._ask(baud, trial=True) == baud
        return False

    def _ask(self, baud: int, *, trial: bool) -> int:
        with self._alone(), located(self._link.where):
            return parse_speed(self._link.ask_speed(speed_body(baud), trial=trial), baud=baud)

    def _refuse(self, baud: int, why: str) -> None:
        self._line.slow.refuse(self._link.where.board or "", baud, why)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._switching = True
        try:
            yield
        finally:
            self._switching = False
