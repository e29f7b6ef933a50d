"""What Nordic's peripherals have in common: tasks, events, shortcuts, and an interrupt.

nRF52840 Product Specification, "Peripheral interface".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from harness.sim.registers import Peripheral, Register
from harness.sim.schedule import Clock

HZ = 64_000_000
"""Of the CPU."""
FIRST_EVENT = 0x100


class Cpu(Clock, Protocol):
    """What the chip's peripherals need of the machine they are in."""

    def set_line(self, irq: int, high: bool) -> None:
        """A peripheral's interrupt line."""


class NordicPeripheral(Peripheral):
    """A peripheral with tasks, events and the interrupt that events raise.

    The interrupt of an event is bit (offset - 0x100) / 4 of INTEN; bits of events that the table
    lacks cannot be set.

    Args:
        irq: number of its interrupt.
        tasks, events: names by offset.
        shorts: (event, task) by the bit of SHORTS.
    """

    def __init__(
        self,
        name: str,
        base: int,
        irq: int,
        cpu: Cpu,
        *,
        tasks: Mapping[int, str],
        events: Mapping[int, str],
        table: Iterable[Register] = (),
        shorts: Mapping[int, tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(name, base, table)
        self.cpu = cpu
        self._irq = irq
        self._enabled = 0
        self._raised = 0
        self._bits = {event: 1 << (at - FIRST_EVENT) // 4 for at, event in events.items()}
        self._tasks: dict[str, Callable[[], None]] = {}
        self._shorts = shorts or {}
        for offset, task in tasks.items():
            self._add_task(offset, task)
        for offset, event in events.items():
            self._add_event(offset, event)
        if self._shorts:
            every = sum(1 << bit for bit in self._shorts)
            self.add(Register(offset=0x200, name="SHORTS", writable=every))
        self._add_interrupt()

    def task(self, name: str, act: Callable[[], None]) -> None:
        """Do `act` when the task is triggered; one that is never named is an error of the table."""
        assert name in self._tasks, f"{self.name} has no task {name}"
        self._tasks[name] = act

    def trigger(self, name: str) -> None:
        """Start a task, as a write of 1 does."""
        self._tasks[name]()

    def event(self, name: str) -> None:
        """Something happened: its register reads 1 until it is cleared."""
        self._raised |= self._bits[name]
        self._update_line()
        for bit, (event, task) in self._shorts.items():
            if event == name and self.value["SHORTS"] >> bit & 1:
                self._tasks[task]()

    def has_event(self, name: str) -> bool:
        """Whether the event's register reads 1."""
        return bool(self._raised & self._bits[name])

    def interrupts_on(self, name: str) -> bool:
        """Whether the event raises the interrupt."""
        return bool(self._enabled & self._bits[name])

    def _add_task(self, offset: int, name: str) -> None:
        register = f"TASKS_{name}"
        self.add(Register(offset=offset, name=register, writable=0))
        self._tasks[name] = lambda: None
        self.on_write(register, lambda value: self._tasks[name]() if value & 1 else None)

    def _add_event(self, offset: int, name: str) -> None:
        register, bit = f"EVENTS_{name}", self._bits[name]
        self.add(Register(offset=offset, name=register))

        def write(value: int) -> None:
            self._raised = self._raised | bit if value & 1 else self._raised & ~bit
            self._update_line()

        self.on_read(register, lambda: int(bool(self._raised & bit)))
        self.on_write(register, write)

    def _add_interrupt(self) -> None:
        every = sum(self._bits.values())

        def enable(value: int) -> None:
            self._enable(self._enabled | value & every)

        for offset, name, write in (
            (0x300, "INTEN", lambda value: self._enable(value & every)),
            (0x304, "INTENSET", enable),
            (0x308, "INTENCLR", lambda value: self._enable(self._enabled & ~value)),
        ):
            self.add(Register(offset=offset, name=name))
            self.on_read(name, lambda: self._enabled)
            self.on_write(name, write)

    def _enable(self, bits: int) -> None:
        self._enabled = bits
        self._update_line()

    def _update_line(self) -> None:
        self.cpu.set_line(self._irq, bool(self._raised & self._enabled))
