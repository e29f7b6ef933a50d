"""The chip put together."""

from __future__ import annotations

from harness.sim.core import Memory
from harness.sim.machine import Machine
from harness.sim.nrf52840.clock import BY_SOFTWARE, Clock
from harness.sim.nrf52840.counting import Rtc, Timer
from harness.sim.nrf52840.simple import Gpio, ficr, nvmc, uicr
from harness.sim.nrf52840.uarte import Uarte
from harness.sim.registers import Peripheral

TIMERS = ((0x40008000, 8), (0x40009000, 9), (0x4000A000, 10), (0x4001A000, 26), (0x4001B000, 27))
RTCS = ((0x4000B000, 11), (0x40011000, 17), (0x40024000, 36))
UARTES = ((0x40002000, 2), (0x40028000, 40))


class Nrf52840:
    """The chip, and the wire at UARTE0 as its port to the outside."""

    windows: tuple[tuple[int, int], ...] = (
        (0x10000000, 0x2000),
        (0x40000000, 0x30000),
        (0x50000000, 0x1000),
    )
    interrupts = 48
    start = 0

    def __init__(self) -> None:
        self.memories: tuple[Memory, ...] = (
            Memory(0, 0x100000, writable=False),
            Memory(0x20000000, 0x40000, writable=True),
        )
        self._kept: dict[str, int] = {}
        self._uart: Uarte | None = None
        self._unsent = b""

    def peripherals(self, machine: Machine) -> tuple[Peripheral, ...]:
        self._carry_over()
        uarts = [Uarte(index, *at, machine) for index, at in enumerate(UARTES)]
        self._uart = uarts[0]
        return (
            Clock(machine, self._kept, BY_SOFTWARE if machine.resets else 0),
            *uarts,
            *(Timer(index, *at, machine) for index, at in enumerate(TIMERS)),
            *(Rtc(index, *at, machine) for index, at in enumerate(RTCS)),
            *(Gpio(0, 0x000, 32), Gpio(1, 0x300, 16)),
            *(nvmc(), ficr(), uicr()),
        )

    def offer(self, data: bytes) -> None:
        """Bytes from the host, at the pin of UARTE0."""
        assert self._uart is not None, "the machine is built"
        self._uart.offer(data)

    def take(self) -> bytes:
        """Bytes for the host that have left UARTE0 since the last call."""
        assert self._uart is not None, "the machine is built"
        data = self._unsent + bytes(self._uart.outward)
        self._unsent = b""
        self._uart.outward.clear()
        return data

    def _carry_over(self) -> None:
        """What has left the chip before a reset is not lost by it."""
        if self._uart is not None:
            self._unsent += bytes(self._uart.outward)
