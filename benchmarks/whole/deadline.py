"""A deadline on this machine's clock for code that may run on for ever."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Hang(BaseException):
    """It took longer than it may; no handler of the code's own takes this for an error."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Hang in the block once it takes longer; in the main thread only."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"{seconds:g} s of this machine's time")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
