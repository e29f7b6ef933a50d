"""CLOCK and POWER, which share their addresses."""

from __future__ import annotations

from harness.sim.nrf52840.nordic import HZ, Cpu, NordicPeripheral
from harness.sim.registers import Register, constant

BASE, IRQ = 0x40000000, 0
CRYSTAL_CYCLES = HZ * 360 // 1_000_000
"""From start to running: the specification's 0.36 ms of the 32 MHz crystal."""
LF_CYCLES = HZ // 1000
"""As it is for the RC oscillator; a 32 kHz crystal takes 0.25 s, which nobody waits for."""

BY_SOFTWARE = 1 << 2
"""RESETREAS.SREQ."""
_RUNNING = 1 << 16


class Clock(NordicPeripheral):
    """Oscillators, reset reasons, and the bytes that outlast a reset.

    Args:
        kept: GPREGRET and GPREGRET2 from before the reset; they are kept up to date.
        reset_reason: RESETREAS.
        usb: whether a cable supplies its USB port.
    """

    TASKS = {
        **{0x00: "HFCLKSTART", 0x04: "HFCLKSTOP", 0x08: "LFCLKSTART", 0x0C: "LFCLKSTOP"},
        **{0x10: "CAL", 0x78: "CONSTLAT", 0x7C: "LOWPWR"},
    }
    EVENTS = {
        **{0x100: "HFCLKSTARTED", 0x104: "LFCLKSTARTED", 0x108: "POFWARN", 0x10C: "DONE"},
        **{
            0x110: "CTTO",
            0x114: "SLEEPENTER",
            0x118: "SLEEPEXIT",
            0x11C: "USBDETECTED",
            0x120: "USBREMOVED",
            0x124: "USBPWRRDY",
        },
    }
    TABLE = (
        Register(offset=0x400, name="RESETREAS"),
        constant(0x408, "HFCLKRUN", 0),
        constant(0x40C, "HFCLKSTAT", 0),
        constant(0x414, "LFCLKRUN", 0),
        constant(0x418, "LFCLKSTAT", 0),
        constant(0x41C, "LFCLKSRCCOPY", 0),
        constant(0x438, "USBREGSTATUS", 0),
        Register(offset=0x510, name="POFCON"),
        Register(offset=0x518, name="LFCLKSRC", writable=0x30003),
        Register(offset=0x51C, name="GPREGRET", writable=0xFF),
        Register(offset=0x520, name="GPREGRET2", writable=0xFF),
        Register(offset=0x538, name="CTIV"),
        Register(offset=0x578, name="DCDCEN", writable=1),
        Register(offset=0x580, name="DCDCEN0", writable=1),
        Register(offset=0x55C, name="TRACECONFIG", writable=0x30003),
        constant(0x640, "MAINREGSTATUS", 0),
    )

    def __init__(self, cpu: Cpu, kept: dict[str, int], reset_reason: int, *, usb: bool) -> None:
        super().__init__(
            "CLOCK/POWER", BASE, IRQ, cpu, tasks=self.TASKS, events=self.EVENTS, table=self.TABLE
        )
        self._kept = kept
        self.value["RESETREAS"] = reset_reason
        if usb:
            self.value["USBREGSTATUS"] = 3
            self.event("USBDETECTED")
            self.event("USBPWRRDY")
        self.on_write("RESETREAS", self._clear_reasons)
        for name in ("GPREGRET", "GPREGRET2"):
            self.value[name] = kept.get(name, 0)
            self.after_write(name, self._keep)
        self.task("HFCLKSTART", self._start_crystal)
        self.task("HFCLKSTOP", self._stop_crystal)
        self.task("LFCLKSTART", self._start_low_frequency)
        self.task("LFCLKSTOP", self._stop_low_frequency)
        self.task("CAL", lambda: self.event("DONE"))

    def _clear_reasons(self, value: int) -> None:
        self.value["RESETREAS"] &= ~value

    def _keep(self) -> None:
        for name in ("GPREGRET", "GPREGRET2"):
            self._kept[name] = self.value[name]

    def _start_crystal(self) -> None:
        self.value["HFCLKRUN"] = 1
        self.cpu.at(self.cpu.now() + CRYSTAL_CYCLES, self._crystal_runs)

    def _crystal_runs(self) -> None:
        if self.value["HFCLKRUN"]:
            self.value["HFCLKSTAT"] = _RUNNING | 1
            self.event("HFCLKSTARTED")

    def _stop_crystal(self) -> None:
        self.value["HFCLKRUN"] = self.value["HFCLKSTAT"] = 0

    def _start_low_frequency(self) -> None:
        self.value["LFCLKRUN"] = 1
        self.value["LFCLKSRCCOPY"] = self.value["LFCLKSRC"]
        self.cpu.at(self.cpu.now() + LF_CYCLES, self._low_frequency_runs)

    def _low_frequency_runs(self) -> None:
        if self.value["LFCLKRUN"]:
            self.value["LFCLKSTAT"] = _RUNNING | self.value["LFCLKSRCCOPY"] & 3
            self.event("LFCLKSTARTED")

    def _stop_low_frequency(self) -> None:
        self.value["LFCLKRUN"] = self.value["LFCLKSTAT"] = 0
