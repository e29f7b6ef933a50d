"""A clock for deadlines of a board that is a process on this machine.

A machine may be so busy that a simulated chip hardly runs. Time in which its process waits for a
processor is no time that the board takes to answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LEAST_SHARE = 1 / 30
"""Of real time, which always counts, so that every deadline is reached."""

LOOK_S = 0.05
"""Between two looks at how long the process has waited."""

MOST_OWED_S = 10.0
"""Waiting that is known only later, when the process has run again."""


def waited_s(pid: int) -> float:
    """Seconds in all that a process was ready to run and other programs ran instead.

    The longest of its threads. 0 where nothing is known of it: elsewhere than on Linux, or once it
    has ended.
    """
    waits = [0.0]
    for thread in Path(f"/proc/{pid}/task").glob("[0-9]*/schedstat"):
        # Nanoseconds on a processor and of waiting for one, and time slices: proc_pid_schedstat(5).
        with suppress(OSError, ValueError, IndexError):
            waits.append(int(thread.read_text().split()[1]) / 1e9)
    return max(waits)


class BoardClock:
    """Seconds that never go back: real time, less that in which the process could not run.

    Args:
        pid: of the process now; it may be another one later, None while there is none.
        clock: real seconds, monotonic.
        waited: see `waited_s`.
    """

    def __init__(
        self,
        pid: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        waited: Callable[[int], float] = waited_s,
    ) -> None:
        self._pid, self._clock, self._waited = pid, clock, waited
        self._looked_at = clock()
        self._seen: tuple[int, float] | None = None
        self._owed = self._lost = 0.0
        self._told = self._looked_at

    def __call__(self) -> float:
        """The seconds now."""
        now = self._clock()
        if now - self._looked_at >= LOOK_S:
            self._look(now)
        self._told = max(self._told, now - self._lost)
        return self._told

    def _look(self, now: float) -> None:
        passed, self._looked_at = now - self._looked_at, now
        self._owed = min(self._owed + self._more_waited(), MOST_OWED_S)
        left_out = min(self._owed, passed * (1 - LEAST_SHARE))
        self._owed -= left_out
        self._lost += left_out

    def _more_waited(self) -> float:
        """Seconds waited since the last look; 0 at the first look at a process."""
        pid = self._pid()
        before, self._seen = self._seen, None if pid is None else (pid, self._waited(pid))
        if before is None or self._seen is None or before[0] != self._seen[0]:
            return 0.0
        return max(0.0, self._seen[1] - before[1])
