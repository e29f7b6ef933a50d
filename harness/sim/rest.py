"""Firmware at rest: time stands still for it, and what comes from outside arrives then only.

Firmware that polls never waits for an event, so that the simulator would execute its loop for as
long as the host has nothing to say, and how long that is differs from run to run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

REST = "_ZN4port5SleepEv"
"""The function that firmware calls in its main loop while it has nothing to do: `port::Sleep()`."""


class Rest:
    """What comes from outside to firmware that calls a function of its own whenever it rests.

    Args:
        address: of that function; None for other firmware, to which all comes at once.
    """

    def __init__(self, address: int | None) -> None:
        self.address = address
        self._pending: deque[Callable[[], None]] = deque()
        self.reached = False
        """Whether firmware has come to rest, and nothing has come to it since."""
        self.waits = False
        """Whether it rests until its next interrupt."""

    def stop(self, *, waits: bool) -> None:
        """Firmware has come to rest, and may wait for time to pass."""
        self.waits, self.reached = waits, not waits

    def come(self, act: Callable[[], None]) -> None:
        """Something comes from outside."""
        if self.address is None:
            act()
        else:
            self._pending.append(act)

    def forget(self) -> None:
        """A reset: what was sent to a device that has gone is lost."""
        self._pending.clear()
        self.reached = self.waits = False

    def leave(self) -> bool:
        """Let the next thing come; returns whether there is one."""
        if not self._pending:
            return False
        self.reached = False
        self._pending.popleft()()
        return True
