"""Peripherals of every Cortex-M4: NVIC, SysTick, system control block and cycle counter.

ARMv7-M Architecture Reference Manual, B3 and C1.
"""

from __future__ import annotations

from typing import Protocol

from harness.sim.nvic import FIRST_IRQ, PENDSV, SYSTICK, Nvic
from harness.sim.registers import Peripheral, Register, array, constant
from harness.sim.schedule import Clock, Due

SCS, DWT = 0xE000E000, 0xE0001000
_KEY = 0x05FA
_TRACE_ENABLE = 1 << 24


class Cpu(Clock, Protocol):
    """What these peripherals need of the machine they are in."""

    def changed(self) -> None:
        """Interrupts may be pending, or unmasked, that were not."""

    def ask_reset(self) -> None:
        """Reset the chip when the present instruction is done."""

    def awake(self) -> int:
        """Cycles that the CPU did not sleep, since power-up."""


class InterruptController(Peripheral):
    """Enables, pending bits and priorities of interrupts.

    Args:
        lines: how many interrupts the chip has.
    """

    def __init__(self, nvic: Nvic, cpu: Cpu, lines: int) -> None:
        words = -(-lines // 32)
        enable = (array(0x100, "ISER", words), array(0x180, "ICER", words))
        pend = (array(0x200, "ISPR", words), array(0x280, "ICPR", words))
        priority = tuple(
            Register(offset=0x400 + 4 * index, name=f"IPR[{index}]", byte_wide=True)
            for index in range(-(-lines // 4))
        )
        super().__init__("NVIC", SCS, (row for rows in (*enable, *pend, priority) for row in rows))
        self._nvic = nvic
        self._cpu = cpu
        for index in range(words):
            self._enable_word(index)
            self._pend_word(index)
        for index in range(len(priority)):
            _priorities(self, nvic, f"IPR[{index}]", FIRST_IRQ + 4 * index)

    def _enable_word(self, index: int) -> None:
        shift = FIRST_IRQ + 32 * index

        def read() -> int:
            return self._nvic.enabled >> shift

        def enable(value: int) -> None:
            self._nvic.enabled |= value << shift
            self._cpu.changed()

        def disable(value: int) -> None:
            self._nvic.enabled &= ~(value << shift)

        for name, write in ((f"ISER[{index}]", enable), (f"ICER[{index}]", disable)):
            self.on_read(name, read)
            self.on_write(name, write)

    def _pend_word(self, index: int) -> None:
        shift = FIRST_IRQ + 32 * index

        def read() -> int:
            return self._nvic.pending >> shift

        def pend(value: int) -> None:
            self._nvic.latched |= value << shift
            self._cpu.changed()

        def unpend(value: int) -> None:
            self._nvic.latched &= ~(value << shift)

        for name, write in ((f"ISPR[{index}]", pend), (f"ICPR[{index}]", unpend)):
            self.on_read(name, read)
            self.on_write(name, write)


def _priorities(peripheral: Peripheral, nvic: Nvic, name: str, first: int) -> None:
    """A register of four exceptions' priorities, from `first` on."""

    def read() -> int:
        return int.from_bytes(nvic.priorities[first : first + 4], "little")

    def write(value: int) -> None:
        nvic.priorities[first : first + 4] = (value & 0xE0E0E0E0).to_bytes(4, "little")

    peripheral.on_read(name, read)
    peripheral.on_write(name, write)


class SystemControl(Peripheral):
    """The system control block, with the registers of the FPU and of debugging."""

    TABLE = (
        constant(0x004, "ICTR", 1),
        Register(offset=0x008, name="ACTLR", writable=0x307),
        constant(0xD00, "CPUID", 0x410FC241),
        Register(offset=0xD04, name="ICSR"),
        Register(offset=0xD08, name="VTOR", writable=0xFFFFFF80),
        Register(offset=0xD0C, name="AIRCR"),
        Register(offset=0xD10, name="SCR", writable=0x16),
        Register(offset=0xD14, name="CCR", reset=0x200, writable=0x31B),
        Register(offset=0xD18, name="SHPR1", byte_wide=True),
        Register(offset=0xD1C, name="SHPR2", byte_wide=True),
        Register(offset=0xD20, name="SHPR3", byte_wide=True),
        Register(offset=0xD24, name="SHCSR"),
        Register(offset=0xD28, name="CFSR", writable=0, byte_wide=True),
        Register(offset=0xD2C, name="HFSR", writable=0),
        Register(offset=0xD34, name="MMFAR"),
        Register(offset=0xD38, name="BFAR"),
        Register(offset=0xD88, name="CPACR"),
        # Kept, and without effect: no access is refused.
        constant(0xD90, "MPU_TYPE", 0x800),
        *array(0xD94, "MPU", 4),
        constant(0xDF0, "DHCSR", 0),
        Register(offset=0xDFC, name="DEMCR", writable=0x010F07F1),
        Register(offset=0xF00, name="STIR"),
        Register(offset=0xF34, name="FPCCR", reset=0xC0000000, writable=0xC0000000),
        Register(offset=0xF38, name="FPCAR"),
        Register(offset=0xF3C, name="FPDSCR"),
    )

    def __init__(self, nvic: Nvic, cpu: Cpu) -> None:
        super().__init__("SCB", SCS, self.TABLE)
        self._nvic = nvic
        self._cpu = cpu
        self.on_read("ICSR", self._state)
        self.on_write("ICSR", self._set_state)
        self.on_write("STIR", self._trigger)
        self.on_read("AIRCR", lambda: 0xFA050000 | nvic.group_bits << 8)
        self.on_write("AIRCR", self._control)
        for index, first in enumerate((4, 8, 12), 1):
            _priorities(self, nvic, f"SHPR{index}", first)

    @property
    def vectors(self) -> int:
        """Address of the table of exception handlers."""
        return self.value["VTOR"]

    def _state(self) -> int:
        nvic = self._nvic
        active = nvic.active[-1] if nvic.active else 0
        system = (nvic.pending >> SYSTICK & 1) << 26 | (nvic.pending >> PENDSV & 1) << 28
        return active | system | (nvic.pending >> FIRST_IRQ != 0) << 22

    def _set_state(self, value: int) -> None:
        for bit, exception in ((28, PENDSV), (26, SYSTICK)):
            if value >> bit & 1:
                self._nvic.pend(exception)
            elif value >> bit - 1 & 1:
                self._nvic.unpend(exception)
        self._cpu.changed()

    def _trigger(self, value: int) -> None:
        self._nvic.pend(FIRST_IRQ + (value & 0x1FF))
        self._cpu.changed()

    def _control(self, value: int) -> None:
        if value >> 16 != _KEY:
            return
        self._nvic.group_bits = value >> 8 & 7
        if value & 4:
            self._cpu.ask_reset()


class CycleCounter(Peripheral):
    """DWT's CYCCNT: it counts while the CPU is awake, if DEMCR.TRCENA and CYCCNTENA are set."""

    TABLE = (
        Register(offset=0x00, name="CTRL", reset=0x40000000, writable=0x0FFFFFFF),
        Register(offset=0x04, name="CYCCNT"),
        *array(0x08, "COUNT", 5),
        *array(0x20, "COMP0", 3),
        *array(0x30, "COMP1", 3),
        *array(0x40, "COMP2", 3),
        *array(0x50, "COMP3", 3),
    )

    def __init__(self, cpu: Cpu, system: SystemControl) -> None:
        super().__init__("DWT", DWT, self.TABLE)
        self._cpu = cpu
        self._system = system
        self._count = 0
        self._since: int | None = None
        self.on_read("CYCCNT", self._read)
        self.on_write("CYCCNT", self._write)
        self.after_write("CTRL", self._switch)
        system.after_write("DEMCR", self._switch)

    def _read(self) -> int:
        if self._since is None:
            return self._count
        return self._count + self._cpu.awake() - self._since

    def _write(self, value: int) -> None:
        self._count = value
        if self._since is not None:
            self._since = self._cpu.awake()

    def _switch(self) -> None:
        on = self.value["CTRL"] & 1 and self._system.value["DEMCR"] & _TRACE_ENABLE
        self._count = self._read()
        self._since = self._cpu.awake() if on else None


class SysTick(Peripheral):
    """The 24-bit timer of the CPU, at the CPU's clock whatever CLKSOURCE says."""

    TABLE = (
        Register(offset=0x10, name="CSR", writable=7),
        Register(offset=0x14, name="RVR", writable=0xFFFFFF),
        Register(offset=0x18, name="CVR"),
        constant(0x1C, "CALIB", 0xC0000000),
    )

    def __init__(self, nvic: Nvic, cpu: Cpu) -> None:
        super().__init__("SYST", SCS, self.TABLE)
        self._nvic = nvic
        self._cpu = cpu
        self._zero_at: int | None = None
        """The cycle at which it counts from 1 to 0; None while it stands still."""
        self._due: Due | None = None
        self._reached = False
        self.on_read("CSR", self._read_status)
        self.after_write("CSR", self._restart)
        self.on_read("CVR", self._read_value)
        self.on_write("CVR", lambda value: self._restart())

    def _read_status(self) -> int:
        reached, self._reached = self._reached, False
        return self.value["CSR"] | reached << 16

    def _read_value(self) -> int:
        return 0 if self._zero_at is None else max(0, self._zero_at - self._cpu.now())

    def _restart(self) -> None:
        """Begin a period, with the next cycle's reload."""
        if self._due is not None:
            self._due.cancel()
        self._zero_at = self._due = None
        if self.value["CSR"] & 1 and self.value["RVR"]:
            self._begin(self._cpu.now())

    def _begin(self, now: int) -> None:
        self._zero_at = now + self.value["RVR"] + 1
        self._due = self._cpu.at(self._zero_at, self._zero)

    def _zero(self) -> None:
        assert self._zero_at is not None, "due only while it counts"
        self._reached = True
        if self.value["CSR"] & 2:
            self._nvic.pend(SYSTICK)
            self._cpu.changed()
        self._begin(self._zero_at)
