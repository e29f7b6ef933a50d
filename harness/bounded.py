"""Ends code of others that does not end by itself."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LOADING_S = 60.0
"""For a package of somebody else to be imported, and for what it is quick to say."""

AGAIN_S = 1.0
"""Code that goes on all the same, as from a destructor, is ended again and again."""


class _Late(BaseException):
    """Not an Exception, which such code may catch."""


@contextmanager
def bounded(most_s: float) -> Iterator[None]:
    """End the block by an exception when it has taken so long.

    By SIGALRM, which Python hands to the main thread alone: in another thread, and where a timer of
    somebody else ends sooner, the block is not bounded. C code that does not return is not ended
    either.

    Raises:
        TimeoutError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_free(most_s):
        yield
        return
    watching, late = True, _Late()

    def end(number: int, frame: FrameType | None) -> None:
        if watching:
            raise late

    theirs = signal.signal(signal.SIGALRM, end)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, most_s, AGAIN_S)
    begun = time.monotonic()
    try:
        try:
            yield
        finally:
            watching = False
    except _Late as error:
        if error is not late:
            raise
        raise TimeoutError(f"it took longer than {most_s:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, theirs or signal.SIG_DFL)
        if left_s:
            left_s = max(left_s - (time.monotonic() - begun), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


def _is_free(most_s: float) -> bool:
    """Whether no timer is set that ends sooner."""
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    return not left_s or left_s > most_s
