"""The clock of a board that is a process: scripted time, and this process's own waiting."""

from __future__ import annotations

import os

import pytest

from harness.rig.boardclock import LEAST_SHARE, BoardClock, waited_s


class Machine:
    """Real time, and how long a process has waited for a processor."""

    def __init__(self) -> None:
        self.pid: int | None = 7
        self.now_s = 100.0
        self.waited_s = 5.0
        self.clock = BoardClock(
            lambda: self.pid, clock=lambda: self.now_s, waited=lambda pid: self.waited_s
        )
        self.passes(1.0)

    def passes(self, seconds: float, *, of_it_waiting: float = 0.0) -> float:
        """Let time pass; by how much the clock went on."""
        before = self.clock()
        self.now_s += seconds
        self.waited_s += of_it_waiting
        return self.clock() - before


def test_a_process_that_runs_or_sleeps_has_real_time() -> None:
    assert Machine().passes(2.0) == pytest.approx(2.0)


def test_waiting_for_a_processor_does_not_count() -> None:
    machine = Machine()
    assert machine.passes(2.0, of_it_waiting=1.5) == pytest.approx(0.5)
    assert machine.passes(2.0) == pytest.approx(2.0)


def test_waiting_that_shows_up_late_is_made_up_for() -> None:
    machine = Machine()
    assert machine.passes(2.0) == pytest.approx(2.0)
    assert machine.passes(1.0, of_it_waiting=1.5) == pytest.approx(LEAST_SHARE)
    late = machine.passes(1.0)
    assert late == pytest.approx(1.0 - (1.5 - (1 - LEAST_SHARE)))


def test_a_process_that_never_runs_reaches_its_deadlines_all_the_same() -> None:
    machine = Machine()
    start = machine.clock()
    for _ in range(100):
        machine.passes(1.0, of_it_waiting=1.0)
    assert machine.clock() - start == pytest.approx(100 * LEAST_SHARE)


def test_it_never_goes_back() -> None:
    machine = Machine()
    told = [machine.clock()]
    for step in range(200):
        machine.passes(0.01, of_it_waiting=0.01 * (step % 3))
        told.append(machine.clock())
    assert told == sorted(told)


def test_what_another_process_has_waited_before_is_not_the_boards() -> None:
    machine = Machine()
    machine.pid = None
    assert machine.passes(1.0) == pytest.approx(1.0)
    machine.pid, machine.waited_s = 8, 500.0
    assert machine.passes(1.0) == pytest.approx(1.0)
    assert machine.passes(1.0, of_it_waiting=0.5) == pytest.approx(0.5)


def test_nothing_is_known_of_a_process_that_has_ended() -> None:
    assert waited_s(2**22 + 1) == 0.0


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="a kernel without it")
def test_linux_says_how_long_a_process_has_waited() -> None:
    with open("/proc/self/schedstat") as mine:
        least = int(mine.read().split()[1]) / 1e9
    assert waited_s(os.getpid()) >= least
