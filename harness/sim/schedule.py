"""Simulated time, in cycles of the CPU's clock, and what is due when."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Simulated time."""

    def now(self) -> int:
        """Cycles since power-up, exact within an instruction."""

    def at(self, due: int, act: Callable[[], None]) -> Due:
        """Call `act` at a cycle; one that has passed means as soon as possible."""


class Due:
    """Something that is to happen, until it is cancelled."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """It is not to happen any more. Idempotent."""
        self.act = None


class Schedule:
    """What is due, by cycle; things due at one cycle happen in the order they were asked for."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Due]] = []
        self._asked = 0

    def add(self, due: int, act: Callable[[], None]) -> Due:
        """Put on the schedule."""
        entry = Due(act)
        self._asked += 1
        heapq.heappush(self._heap, (due, self._asked, entry))
        return entry

    def next(self) -> int | None:
        """The cycle of what is due next; None if nothing is."""
        while self._heap and self._heap[0][2].act is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_until(self, now: int) -> None:
        """Do what is due by now, also what is put on the schedule meanwhile."""
        while (due := self.next()) is not None and due <= now:
            act = heapq.heappop(self._heap)[2].act
            assert act is not None, "`next` has removed what was cancelled"
            act()


class Counter:
    """A counter that a peripheral starts and stops; it makes one step in `cycles` of the CPU's.

    `cycles` may be a fraction, as a pair (numerator, denominator).
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._since = 0
        self._count = 0
        self.running = False
        self.cycles = (1, 1)

    @property
    def count(self) -> int:
        """Steps, never wrapped."""
        if not self.running:
            return self._count
        above, below = self.cycles
        return self._count + (self._now() - self._since) * below // above

    def start(self) -> None:
        """Count on."""
        if not self.running:
            self._since = self._now()
            self.running = True

    def stop(self) -> None:
        """Keep the count."""
        self._count = self.count
        self.running = False

    def set(self, count: int) -> None:
        """Count on from here."""
        self._count = count
        self._since = self._now()

    def due(self, count: int) -> int:
        """The cycle at which it reaches a count that is ahead."""
        above, below = self.cycles
        return self._since + -(-(count - self._count) * above // below)
