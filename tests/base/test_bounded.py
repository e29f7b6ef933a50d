"""Code of others that does not end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from harness import bounded as bounded_module
from harness.bounded import bounded


def spin() -> None:
    while True:
        pass


@pytest.fixture(autouse=True)
def nobody_is_waiting() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is handler


@pytest.mark.parametrize("hang", [spin, lambda: time.sleep(1000), threading.Event().wait])
def test_what_does_not_end_is_ended(hang) -> None:
    with pytest.raises(TimeoutError, match=r"it took longer than 0\.01 s"), bounded(0.01):
        hang()


def test_what_catches_every_exception_is_ended() -> None:
    with pytest.raises(TimeoutError), bounded(0.01):
        while True:
            try:
                spin()
            except Exception:
                continue


def test_what_catches_all_there_is_once_is_ended_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_module, "AGAIN_S", 0.01)
    with pytest.raises(TimeoutError), bounded(0.01):
        try:
            spin()
        except BaseException:
            spin()


def test_what_ends_in_time_is_left_alone() -> None:
    with bounded(1000):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    with pytest.raises(KeyError), bounded(1000):
        raise KeyError


def test_the_shorter_bound_holds_and_the_longer_one_goes_on() -> None:
    with bounded(1000):
        with pytest.raises(TimeoutError, match=r"0\.01 s"), bounded(0.01):
            spin()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    with pytest.raises(TimeoutError, match=r"0\.01 s"), bounded(0.01), bounded(1000):
        spin()


def test_a_timer_of_somebody_else_goes_off() -> None:
    gone = []
    theirs = signal.signal(signal.SIGALRM, lambda *_: gone.append(True))
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with pytest.raises(TimeoutError), bounded(0.01):
            spin()
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 900 < left_s < 1000
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while not gone:
            time.sleep(0.001)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, theirs)


def test_another_thread_is_not_bounded() -> None:
    done = []

    def work() -> None:
        with bounded(0.001):
            done.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [(0, 0)]
