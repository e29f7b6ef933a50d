"""Calls of a stranger's meter, in a thread of its own, which are waited for only so long."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from harness.errors import MeterError

Result = TypeVar("Result")

COMES_BACK_S = 120.0
"""For a call of a meter; one that waits for a file of its program does so for 30 s."""


_Results: TypeAlias = "queue.SimpleQueue[tuple[Any, BaseException | None]]"


class Bounded:
    """Runs one call after the other, always in the same thread, as some drivers want it.

    Args:
        most_s: how long one is waited for. After one that has not come back there are no others.
    """

    def __init__(self, most_s: float = COMES_BACK_S) -> None:
        self._most_s = most_s
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], _Results] | None]
        self._calls = queue.SimpleQueue()
        self._stuck = False
        self._thread = threading.Thread(target=self._work, name="meter-calls", daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Result]) -> Result:
        """What a call returns; what it raises is raised here.

        Raises:
            MeterError: it does not come back in time, or an earlier one has not.
        """
        if not self._stuck:
            # Of this call alone: one before it that was interrupted may come back meanwhile.
            results: _Results = queue.SimpleQueue()
            self._calls.put((call, results))
            try:
                result, error = results.get(timeout=self._most_s)
            except queue.Empty:
                self._stuck = True
            else:
                if error is not None:
                    raise error
                returned: Result = result
                return returned
        raise MeterError(
            f"it does not come back within {self._most_s:g} s",
            hint="Unplug the meter, plug it in again, and see what its package says.",
        )

    def end(self) -> None:
        """End the thread, once it comes back."""
        self._calls.put(None)

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, results = asked
            try:
                results.put((call(), None))
            except BaseException as error:  # Raised again where it was asked for.
                results.put((None, error))
