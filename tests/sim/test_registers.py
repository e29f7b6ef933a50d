"""Tables of registers, the interrupt controller's decision, and the schedule: no CPU."""

from __future__ import annotations

from fractions import Fraction

import pytest

from harness.sim.errors import SimulationError, Unknown
from harness.sim.nvic import HARD_FAULT, SYSTICK, Nvic
from harness.sim.registers import Bus, Peripheral, Register, array, constant
from harness.sim.schedule import Counter, Schedule

TABLE = (
    Register(offset=0x500, name="ENABLE", writable=0xF),
    constant(0x504, "ID", 0x1234),
    Register(offset=0x508, name="PRIORITY", byte_wide=True),
    *array(0x600, "CC", 2),
)


@pytest.fixture
def bus() -> Bus:
    made = Bus(lambda: 0x1A2)
    made.attach(Peripheral("TIMER0", 0x40008000, TABLE))
    made.attach(Peripheral("EXTRA", 0x40008000, (Register(offset=0x800, name="X"),)))
    return made


def test_a_register_keeps_what_may_be_written(bus: Bus) -> None:
    bus.write(0x40008500, 4, 0xFF)
    bus.write(0x40008504, 4, 0)
    assert (bus.read(0x40008500, 4), bus.read(0x40008504, 4)) == (0xF, 0x1234)


def test_registers_that_have_bytes_take_them(bus: Bus) -> None:
    bus.write(0x40008508, 4, 0x11223344)
    bus.write(0x4000850A, 1, 0xAA)
    bus.write(0x40008508, 2, 0x5566)
    assert bus.read(0x40008508, 4) == 0x11AA5566
    assert (bus.read(0x4000850B, 1), bus.read(0x4000850A, 2)) == (0x11, 0x11AA)


def test_others_refuse_them_by_name(bus: Bus) -> None:
    with pytest.raises(SimulationError, match=r"8-bit write to TIMER0.ENABLE.*pc 0x000001a2"):
        bus.write(0x40008501, 1, 1)


@pytest.mark.parametrize(
    "address, named",
    [
        (0x40008A00, r"TIMER0/EXTRA \+ 0xa00"),
        (0x40009000, "address 0x40009000, where there is no peripheral"),
    ],
)
def test_an_unknown_register_is_an_error_with_peripheral_offset_and_pc(
    bus: Bus, address: int, named: str
) -> None:
    with pytest.raises(Unknown, match=f"read of {named}.* at pc 0x000001a2"):
        bus.read(address, 4)
    with pytest.raises(Unknown, match=f"write to {named}.* at pc 0x000001a2"):
        bus.write(address, 4, 0)


def nvic(*pending: tuple[int, int]) -> Nvic:
    """With enabled, pending exceptions of these numbers and priorities."""
    made = Nvic()
    made.enabled = -1
    for number, priority in pending:
        made.priorities[number] = priority
        made.pend(number)
    return made


def take(made: Nvic, mask: int | None = None, basepri: int = 0) -> int | None:
    return made.next(mask=mask, basepri=basepri)


def test_the_most_urgent_is_taken_and_of_equals_the_lowest_number() -> None:
    assert take(nvic((20, 0x40), (18, 0x20), (30, 0x20))) == 18


def test_an_active_exception_is_interrupted_by_more_urgent_ones_only() -> None:
    made = nvic((20, 0x40), (18, 0x20), (30, 0x20))
    made.enter(18)
    assert take(made) is None
    made.priorities[20] = 0
    assert take(made) == 20


def test_masks_hold_back_what_they_mask() -> None:
    made = nvic((20, 0x40))
    assert take(made, mask=0) is None
    assert (take(made, basepri=0x40), take(made, basepri=0x60)) == (None, 20)
    made.pend(HARD_FAULT)
    assert (take(made, mask=0), take(made, mask=-1)) == (HARD_FAULT, None)


def test_priority_groups_interrupt_each_other_not_themselves() -> None:
    made = nvic((20, 0x20), (SYSTICK, 0x00))
    made.enter(20)
    assert take(made) == SYSTICK
    made.group_bits = 5  # Groups of 64: both are in the first.
    assert take(made) is None


def test_a_line_that_stays_high_is_pending_again_after_its_exception() -> None:
    made = nvic()
    made.set_line(4, True)
    assert take(made) == 20
    made.enter(20)
    assert take(made) is None
    assert made.leave() == 0
    assert take(made) == 20
    made.set_line(4, False)
    assert take(made) is None


def test_what_is_due_happens_in_order_and_what_is_cancelled_does_not() -> None:
    schedule, done = Schedule(), []
    schedule.add(5, lambda: done.append("b"))
    schedule.add(3, lambda: done.append("a"))
    schedule.add(5, lambda: schedule.add(5, lambda: done.append("d")))
    schedule.add(4, lambda: done.append("x")).cancel()
    schedule.add(9, lambda: done.append("e"))
    schedule.run_until(2)
    assert (done, schedule.next()) == ([], 3)
    schedule.run_until(5)
    assert (done, schedule.next()) == (["a", "b", "d"], 9)


@pytest.mark.parametrize("cycles", [(1, 1), (4, 1), (15625, 8)])
def test_a_counter_reaches_a_count_in_the_cycle_that_it_says(cycles: tuple[int, int]) -> None:
    now = 1000
    counter = Counter(lambda: now)
    counter.cycles = cycles
    counter.start()
    for count in range(1, 200, 7):
        now = counter.due(count)
        assert counter.count == count
        assert now - 1000 == -(-count * Fraction(*cycles) // 1)
        now -= 1
        assert counter.count < count
    now = 10**6
    kept = counter.count
    counter.stop()
    now *= 2
    assert counter.count == kept
