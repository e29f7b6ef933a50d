"""An orderly end on SIGTERM, as a cancelled CI job gets it shortly before SIGKILL."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType


class Ending:
    """Turns the first SIGTERM into a KeyboardInterrupt, so that whatever is open is closed.

    Later ones are ignored: they would cut the closing short. A handler that somebody else has
    installed stays, and so does a SIGTERM that the parent process had ignored.
    """

    def __init__(self) -> None:
        self._installed = False
        self._begun = False

    def install(self) -> None:
        """Begin to listen, where that is possible: only a main thread can."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._installed = True

    def begin(self) -> None:
        """The end has begun, perhaps by other means: ignore SIGTERM from now on."""
        self._begun = True

    def restore(self) -> None:
        """Stop listening. Idempotent."""
        if self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._installed = False

    def _end(self, number: int, frame: FrameType | None) -> None:
        # A Ctrl-C that is on its way through `finally` blocks is such an end as well.
        unwinding = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not (self._begun or unwinding):
            self.begin()
            raise KeyboardInterrupt("terminated (SIGTERM)")
