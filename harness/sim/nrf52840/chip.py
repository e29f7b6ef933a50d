"""The chip put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TextIO

from harness.sim.core import Memory
from harness.sim.machine import Machine
from harness.sim.nrf52840.clock import BY_SOFTWARE, Clock
from harness.sim.nrf52840.counting import Rtc, Timer
from harness.sim.nrf52840.nordic import HZ
from harness.sim.nrf52840.others import Gpiote, Pwm, Rng, errata, ppi, stray, temp
from harness.sim.nrf52840.simple import Gpio, ficr, nvmc, uicr
from harness.sim.nrf52840.uarte import Uarte
from harness.sim.nrf52840.usbd import Usbd
from harness.sim.registers import Peripheral
from harness.sim.serve import Shown
from harness.sim.usb import UsbHost

UART, USB = "uart", "usb"
"""The wire that is its port to the outside: the pins of UARTE0, or its own USB."""

TIMERS = ((0x40008000, 8), (0x40009000, 9), (0x4000A000, 10), (0x4001A000, 26), (0x4001B000, 27))
RTCS = ((0x4000B000, 11), (0x40011000, 17), (0x40024000, 36))
PWMS = (0x4001C000, 0x40021000, 0x40022000, 0x4002D000)
QUIET_CYCLES = HZ // 10_000
"""In so long, 100 us, firmware that only rests has done all that it will do."""
TOUCH_BAUD = 1200
TOUCH_CYCLES = HZ // 2
"""From a line at this rate on, 0.5 s: Arduino's core waits for 200 ms before it resets."""
PORT_PINS = 32
"""Pin n of P1 is called 32 + n."""
MOST_EDGES = 100_000
UARTES = ((0x40002000, 2), (0x40028000, 40))


class Nrf52840:
    """The chip, and the wire that is its port to the outside."""

    windows: tuple[tuple[int, int], ...] = (
        (0x10000000, 0x2000),
        (0x40000000, 0x70000),
        (0x50000000, 0x1000),
    )
    interrupts = 48
    timeless = False

    def __init__(self, wire: str = UART) -> None:
        self._over_usb = wire == USB
        self.memories: tuple[Memory, ...] = (
            Memory(0, 0x100000, writable=False),
            Memory(0x20000000, 0x40000, writable=True),
        )
        self._kept: dict[str, int] = {}
        self._uart: Uarte | None = None
        self._line_baud: int | None = None
        self._line: tuple[int, bool] | None = None
        """Of the USB port: rate, and whether a program has it open; so it is after a reset too."""
        self.host: UsbHost | None = None
        """What is plugged into its USB port; None before the machine is built."""
        self._unsent = b""
        self._machine: Machine | None = None
        self._usbd: Usbd | None = None
        self._stirred_at = self._touched_until = 0
        self.edges: deque[tuple[int, int, bool]] = deque(maxlen=MOST_EDGES)
        """Cycle, pin, and whether it is driven high from then on, of the last MOST_EDGES."""
        self.edge_log: TextIO | None = None
        """Where each edge is written to as well, a line each: `CYCLE PIN 1`."""

    @property
    def quiet(self) -> bool:
        host, usbd = self.host, self._usbd
        assert host and usbd, "the machine is built"
        since = self._now() - self._stirred_at
        return bool(host.found and host.at_rest and usbd.at_rest and since >= QUIET_CYCLES)

    @property
    def touched(self) -> bool:
        return self._now() < self._touched_until

    def _edge(self, first: int, pin: int, high: bool) -> None:
        self.edges.append((self._now(), first + pin, high))
        if self.edge_log is not None:
            self.edge_log.write(f"{self._now()} {first + pin} {high:d}\n")
            self.edge_log.flush()

    def _now(self) -> int:
        assert self._machine is not None, "the machine is built"
        return self._machine.now()

    def _stirred(self) -> None:
        assert self.host is not None, "the machine is built"
        self._stirred_at = self._now()
        self.host.wake()

    @property
    def shown(self) -> Shown | None:
        """The USB device that the host has found; None for none, and for the UART."""
        found = self.host.found if self.host is not None and self._over_usb else None
        return Shown(usb=found.usb, serial_number=found.serial_number) if found else None

    @property
    def retained(self) -> int:
        """GPREGRET, by which firmware tells a bootloader what it wants after a reset."""
        return self._kept.get("GPREGRET", 0)

    @retained.setter
    def retained(self, value: int) -> None:
        self._kept["GPREGRET"] = value

    def peripherals(self, machine: Machine) -> tuple[Peripheral, ...]:
        self._carry_over()
        reason = BY_SOFTWARE if machine.resets else 0
        uarts = [Uarte(index, *at, machine) for index, at in enumerate(UARTES)]
        self._uart = uarts[0]
        self._uart.line_baud = self._line_baud
        usbd = Usbd(machine)
        self.host = UsbHost(usbd, machine, HZ)
        usbd.changed = self._stirred
        self._machine, self._usbd = machine, usbd
        self._stirred_at = self._touched_until = 0
        if self._line is not None and self._line[1]:
            self._set_line()
        return (
            Clock(machine, self._kept, reason, usb=self._over_usb),
            *(*uarts, usbd),
            *(Timer(index, *at, machine) for index, at in enumerate(TIMERS)),
            *(Rtc(index, *at, machine) for index, at in enumerate(RTCS)),
            Gpio(0, 0x000, PORT_PINS, partial(self._edge, 0)),
            Gpio(1, 0x300, 16, partial(self._edge, PORT_PINS)),
            *(Pwm(index, at) for index, at in enumerate(PWMS)),
            *(nvmc(), ficr(), uicr(), temp(), ppi(), stray(), *errata()),
            *(Gpiote(machine), Rng(machine)),
        )

    def offer(self, data: bytes) -> None:
        """Bytes from the host."""
        self._later(lambda: self._wire.offer(data))

    def line(self, *, baud: int, open: bool) -> None:
        """The host's program has opened or closed the port, or changed its rate.

        The UART has no line that would tell: its bytes come and go at another rate.
        """
        if self._over_usb:
            self._line = baud, open
            self._later(self._set_line)
        self._line_baud = baud
        if self._uart is not None:
            self._uart.line_baud = baud

    def _set_line(self) -> None:
        assert self.host and self._line, "the machine is built, and was told"
        baud, open = self._line
        if baud == TOUCH_BAUD:
            self._touched_until = self._now() + TOUCH_CYCLES
        self.host.line(baud=baud, open=open)

    def _later(self, act: Callable[[], None]) -> None:
        assert self._machine is not None, "the machine is built"
        self._machine.rest.come(act)

    def take(self) -> bytes:
        """Bytes for the host that have left the chip since the last call."""
        data = self._unsent + bytes(self._wire.outward)
        self._unsent = b""
        self._wire.outward.clear()
        return data

    @property
    def _wire(self) -> Uarte | UsbHost:
        wire = self.host if self._over_usb else self._uart
        assert wire is not None, "the machine is built"
        return wire

    def _carry_over(self) -> None:
        """What has left the chip before a reset is not lost by it."""
        if self._uart is not None:
            self._unsent += bytes(self._wire.outward)
