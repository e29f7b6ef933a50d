"""An RP2040 with its firmware, executed by the package rp2040py.

Cycles are counted by the emulator's model of the Cortex-M0+: 1 for most instructions, 2 for loads,
stores and taken branches. Flash is as fast as RAM there: the cache in front of it (XIP) and what a
miss costs are not modelled, nor are contention on the bus and the second core.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.execute_batch import execute_batch
from rp2040py.simulator import Simulator

from harness.sim.elf import Segment
from harness.sim.errors import SimulationError, Unknown
from harness.sim.pause import Pause
from harness.sim.rp2040.usb import UsbPort
from harness.sim.schedule import Due
from harness.sim.serve import Shown
from harness.sim.usb import UsbHost

HZ = 125_000_000
NS_PER_CYCLE = 8
FLASH, FLASH_SIZE = 0x10000000, 0x200000

IDLE = "default_idle_hook"
"""What mbed's kernel calls without end while all threads wait: nothing but an interrupt ends it."""

QUIET_CYCLES = HZ // 10_000
"""In a loop that only rests for so long, 100 us, firmware has done all that it will do."""

START_CYCLES = HZ
"""Firmware that has shown no USB device in so long, 1 s, will not."""

_POLL_CYCLES, _MOST_POLLS, _SKIP_NS = 1000, 64, 10_000
"""A loop that has read the timer so often, each time within so many cycles, waits for it: from then
on time passes faster, so that such a wait may end 10 us late. The core begins with one of 100 ms.
Readings of a clock that is joined with SysTick are no such loop.
"""
_TIMER_LOW, _TIMER_HIGH, _SYSTICK_VALUE = 0x28, 0x24, 0x18

_BREAKPOINT = b"\x00\xbe"
_MOST_RESTS = 64
_WITHOUT_EFFECT = {
    *(("PLL_SYS_BASE", offset) for offset in (0x0, 0x4, 0x8, 0xC)),
    *(("PLL_USB_BASE", offset) for offset in (0x0, 0x4, 0x8, 0xC)),
    # UARTDMACR: to be asked for bytes by DMA, which nobody does.
    ("UART0", 0x48),
    # ICR: reading it clears interrupts of the flash controller, which has none here.
    ("SSI", 0x48),
    # SER: there is one flash chip, and it is selected.
    ("SSI", 0x10),
    # PHY_DIRECT and its override: the fix of erratum E5 drives the bus by hand.
    *(("USB", offset) for offset in (0x7C, 0x80)),
}
"""Registers of which the emulator only says that it does not have them. Firmware writes them; of
what it reads, 0xFFFFFFFF, it looks at the bit that says that the PLL is locked."""


class Rp2040:
    """The chip, and its USB as the port to the outside.

    Where the firmware has the function `rest`, time stands still while it calls that and nothing
    is to be done, and what comes from outside arrives only then: two runs with the same bytes are
    the same, cycle by cycle. Of other firmware each run is a little different.

    Args:
        image: what the firmware's ELF file puts into flash.
        rest: address of that function, if there is one.
        idle: address of the function IDLE, if there is one; time is skipped there.
    """

    timeless = False

    def __init__(
        self, image: Sequence[Segment], *, rest: int | None = None, idle: int | None = None
    ) -> None:
        self._image = tuple(image)
        self._rest, self._idle_at = rest, idle
        self.resets = 0
        self._pending: deque[Callable[[], None]] = deque()
        self._line: tuple[int, bool] | None = None
        self._unsent = b""
        self._power_up()

    def _power_up(self) -> None:
        """As after power-up. A reset by the watchdog is one too, except that flash is kept."""
        self._simulator = Simulator()
        self._chip = self._simulator.rp2040
        self._chip.logger = _Strict(self._chip)
        self._chip.load_bootrom(BOOTROM_B1)
        for segment in self._image:
            at = segment.address - FLASH
            if not 0 <= at <= FLASH_SIZE - len(segment.content):
                raise SimulationError(
                    f"{len(segment.content)} bytes at 0x{segment.address:08x} are not in flash"
                )
            self._chip.flash[at : at + len(segment.content)] = segment.content
        self._chip.core.pc = self._chip.core.vtor = FLASH
        self._chip.watchdog.on_watchdog_trigger = self._ask_reset
        self._chip.on_break = self._broken
        _pass_waits(self._chip, self._simulator.clock)
        self._reset_asked = self._idle = False
        self._broken_at: int | None = None
        stops = (at for at in (self._rest, self._idle_at) if at is not None)
        self._kept = {at: self._code(at, _BREAKPOINT) for at in stops}
        self._port = UsbPort(self._chip.usb_ctrl, self)
        self.host = UsbHost(self._port, self, HZ)
        self._port.changed = self._stirred
        self._stirred_at = self.now()
        if self._line is not None and self._line[1]:
            self._set_line()
        self._look_for_device()

    def start(self) -> None:
        """Let time pass until the host has found the device, as it must before it has a port.

        Raises:
            SimulationError: it does not within a second.
        """
        while self.host.found is None:
            self.run()
            if self.now() > START_CYCLES:
                raise SimulationError("firmware did not show the host a USB device within 1 s")

    def _code(self, address: int, new: bytes) -> bytes:
        """Replace code in flash; returns what was there."""
        at = address - FLASH
        old = bytes(self._chip.flash[at : at + len(new)])
        self._chip.flash[at : at + len(new)] = new
        return old

    def now(self) -> int:
        """Cycles since power-up."""
        return int(self._simulator.clock.nanos) // NS_PER_CYCLE

    def at(self, due: int, act: Callable[[], None]) -> Due:
        """Call `act` when simulated time has reached a cycle."""
        entry = Due(act)

        def ring() -> None:
            if entry.act is not None:
                entry.act()

        alarm = self._simulator.clock.create_alarm(ring)
        alarm.schedule(max(0, due - self.now()) * NS_PER_CYCLE)
        return entry

    def _look_for_device(self) -> None:
        """The emulator does not say when firmware pulls the bus up: look each millisecond."""
        if self.host.found is None:
            self.host.wake()
            self.at(self.now() + HZ // 1000, self._look_for_device)

    def _stirred(self) -> None:
        self._stirred_at = self.now()
        self.host.wake()

    def offer(self, data: bytes) -> None:
        """Bytes from the host."""
        self._later(lambda: self.host.offer(data))

    def line(self, *, baud: int, open: bool) -> None:
        """The host's program has opened or closed the port, or changed its rate."""
        self._line = baud, open
        self._later(self._set_line)

    def _set_line(self) -> None:
        assert self._line is not None, "it was told"
        baud, open = self._line
        self.host.line(baud=baud, open=open)

    @property
    def shown(self) -> Shown | None:
        """The USB device that the host has found."""
        found = self.host.found
        return Shown(usb=found.usb, serial_number=found.serial_number) if found else None

    def take(self) -> bytes:
        """Bytes for the host that have left the chip since the last call."""
        data = self._unsent + bytes(self.host.outward)
        self._unsent = b""
        self.host.outward.clear()
        return data

    def _later(self, act: Callable[[], None]) -> None:
        """Let something come from outside: at once, or when firmware has nothing to do."""
        if self._rest is None:
            act()
        else:
            self._pending.append(act)

    def run(self) -> Pause:
        """Let time pass, for some milliseconds of the host's at most.

        Raises:
            SimulationError: the firmware did what the simulated chip cannot.
        """
        if self._idle and not self._pending:
            return Pause.IDLE
        if self._idle:
            self._idle = False
            self._pending.popleft()()
            self._stirred_at = self.now()
        for _ in range(_MOST_RESTS):
            if self._broken_at is not None:
                self._step_over()
            self._simulator.stopped = False
            execute_batch(self._simulator, 1)
            if self._reset_asked:
                self._reset()
                break
            if self._broken_at is None:
                break
            if self._broken_at == self._rest and self._quiet():
                self._idle = True
                return Pause.BUSY if self._pending else Pause.IDLE
        return Pause.BUSY

    def _quiet(self) -> bool:
        """Whether firmware, which has just come to rest, has nothing to do."""
        return (
            self.host.found is not None
            and self.host.at_rest
            and self._port.at_rest
            and self.now() - self._stirred_at >= QUIET_CYCLES
        )

    def _broken(self, code: int) -> None:
        """A breakpoint: ours, or one that firmware has for a debugger."""
        at = self._chip.core.pc - 2
        if at not in self._kept:
            raise SimulationError(f"firmware stopped at a breakpoint, at pc 0x{at:08x}")
        self._broken_at, self._simulator.stopped = at, True

    def _step_over(self) -> None:
        """Execute what the breakpoint stands in the place of."""
        at, clock, core = self._broken_at, self._simulator.clock, self._chip.core
        assert at is not None, "a breakpoint was met"
        self._broken_at, core.pc = None, at
        clock.tick(self._spare_ns())
        self._code(at, self._kept[at])
        clock.tick(core.execute_instruction() * NS_PER_CYCLE)
        self._code(at, _BREAKPOINT)

    def _spare_ns(self) -> float:
        """Time that may pass before firmware that waits is to be looked at again."""
        clock = self._simulator.clock
        due = clock.nanos_to_next_alarm if clock.has_scheduled_alarm else 0
        quiet = (self._stirred_at + QUIET_CYCLES - self.now()) * NS_PER_CYCLE
        return max(0, min(due, quiet) if quiet > 0 else due)

    def _ask_reset(self) -> None:
        self._reset_asked = self._simulator.stopped = True

    def _reset(self) -> None:
        self.resets += 1
        self._unsent = self.take()
        self._pending.clear()  # What is sent to a device that has gone is lost.
        self._power_up()


def _pass_waits(chip: Any, clock: Any) -> None:
    """Let time pass faster in loops that wait for the timer."""
    read, read_private = chip.timer.read_uint32, chip.ppb.read_uint32
    last, polls = 0.0, 0

    def read_ppb(offset: int) -> int:
        nonlocal polls
        if offset == _SYSTICK_VALUE:
            polls = 0
        return int(read_private(offset))

    def read_timer(offset: int) -> int:
        nonlocal last, polls
        if offset in (_TIMER_LOW, _TIMER_HIGH):
            polls = polls + 1 if clock.nanos - last <= _POLL_CYCLES * NS_PER_CYCLE else 0
            if polls > _MOST_POLLS:
                due = clock.nanos_to_next_alarm if clock.has_scheduled_alarm else _SKIP_NS
                clock.tick(min(_SKIP_NS, max(0, due)))
            last = clock.nanos
        return int(read(offset))

    chip.timer.read_uint32, chip.ppb.read_uint32 = read_timer, read_ppb


class _Strict:
    """The emulator's log. It says there what it does not have, and goes on: here that is an error,
    but for what is known to be without effect.
    """

    _REGISTER = re.compile(r"Unimplemented peripheral (read from|write to) 0x([0-9a-f]+)")

    def __init__(self, chip: Any) -> None:
        self._chip = chip

    def debug(self, component: str, message: str) -> None:
        """Nothing that is needed."""

    info = debug

    def warning(self, component: str, message: str) -> None:
        """Raise SimulationError, unless it is of a register without effect."""
        register = self._REGISTER.match(message)
        pc = self._chip.core.pc
        if register is None:
            raise SimulationError(f"{component}: {message}, at pc 0x{pc:08x}")
        offset = int(register[2], 16)
        if (component, offset) not in _WITHOUT_EFFECT:
            place = f"{component.removesuffix('_BASE')} + 0x{offset:x}"
            raise Unknown(what=register[1].split()[0], place=place, pc=pc)

    error = warning
