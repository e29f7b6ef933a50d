"""A Cortex-M4F by unicorn, run in slices of exactly counted instructions."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from unicorn import (
    UC_ARCH_ARM,
    UC_ERR_OK,
    UC_HOOK_CODE,
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_MEM_FETCH_PROT,
    UC_MEM_FETCH_UNMAPPED,
    UC_MEM_WRITE_PROT,
    UC_MEM_WRITE_UNMAPPED,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    Uc,
    arm_const,
)
from unicorn.unicorn_py3.unicorn import uclib

from harness.sim.errors import SimulationError, Unknown
from harness.sim.group import RegisterGroup
from harness.sim.registers import Bus

R0, R12 = arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R12
SP, LR, PC = arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_PC
XPSR, IPSR = arm_const.UC_ARM_REG_XPSR, arm_const.UC_ARM_REG_IPSR
CONTROL, PRIMASK = arm_const.UC_ARM_REG_CONTROL, arm_const.UC_ARM_REG_PRIMASK
BASEPRI, FAULTMASK = arm_const.UC_ARM_REG_BASEPRI, arm_const.UC_ARM_REG_FAULTMASK
FPSCR = arm_const.UC_ARM_REG_FPSCR
MSP, PSP = arm_const.UC_ARM_REG_MSP, arm_const.UC_ARM_REG_PSP
GENERAL = tuple(R0 + index for index in range(13))
FLOATS = tuple(arm_const.UC_ARM_REG_S0 + index for index in range(16))
"""S0 to S15, which an exception frame holds."""

_NOWHERE = 0xFFFFFFF0
"""Never reached: a slice ends by its count."""
_EXCEPTION_RETURN = 0xFFFFFF00
_WAIT_OPCODES = {0xBF10: "yield", 0xBF20: "wfe", 0xBF30: "wfi"}
_SVC, _BREAKPOINT, _RETURN = 2, 7, 8
"""Numbers that QEMU gives to exceptions of the CPU."""


class Why(Enum):
    """Why a slice ended."""

    COUNT = auto()
    SVC = auto()
    EXCEPTION_RETURN = auto()
    YIELD = auto()
    SLEEP = auto()
    UNDEFINED = auto()


class Memory:
    """A range of RAM or of flash, in the simulator's own memory: DMA reaches it there."""

    def __init__(self, base: int, size: int, *, writable: bool) -> None:
        self.base = base
        self.size = size
        self.writable = writable
        self.content = mmap.mmap(-1, size)
        self.pointer = ctypes.addressof(ctypes.c_char.from_buffer(self.content))


class Core:
    """The CPU with its memories; peripherals are reached through a bus.

    Args:
        memories: what holds code and data.
        windows: address ranges (base, size) of peripherals.
        bus: makes the bus, which asks it for the program counter.
    """

    def __init__(
        self,
        memories: tuple[Memory, ...],
        windows: tuple[tuple[int, int], ...],
        bus: Callable[[Callable[[], int]], Bus],
    ) -> None:
        self._uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        for memory in memories:
            access = UC_PROT_ALL if memory.writable else UC_PROT_READ | UC_PROT_EXEC
            self._uc.mem_map_ptr(memory.base, memory.size, access, memory.pointer)
        self._memories = memories
        self._count = _CountWords(self._uc)
        self._program_counter = self.group(PC)
        self.bus = bus(self.pc_now)
        self.on_read: Callable[[int, int], int] = self.bus.read
        """Called for each read of a peripheral."""
        self.on_write: Callable[[int, int, int], None] = self.bus.write
        """Called for each write to a peripheral."""
        self._stopped: Why | None = None
        self._broken: Exception | None = None
        self.pc = 0
        self.executed = 0
        """Instructions, without those of the slice under way."""
        for base, size in windows:
            self._uc.mmio_map(base, size, self._read, base, self._write, base)
        self._uc.hook_add(UC_HOOK_INTR, self._exception)
        self._uc.hook_add(UC_HOOK_MEM_INVALID, self._invalid)

    def watch(self, address: int, act: Callable[[], None]) -> None:
        """Call `act` whenever the instruction at an address is about to be executed."""
        self._uc.hook_add(UC_HOOK_CODE, lambda *_: act(), None, address, address)

    def pc_now(self) -> int:
        """Address of the instruction under way, within a slice."""
        return self._program_counter.read()[0]

    @property
    def done(self) -> int:
        """Instructions completed, also within a slice."""
        return self.executed + max(0, self._count.executed - 1)

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of RAM or flash, as a DMA controller reads them.

        Raises:
            SimulationError: there is no memory.
        """
        memory, at = self._find(address, size)
        return memory.content[at : at + size]

    def write_memory(self, address: int, data: bytes) -> None:
        """Write RAM or flash, whatever protects it.

        Raises:
            SimulationError: there is no memory.
        """
        memory, at = self._find(address, len(data))
        memory.content[at : at + len(data)] = data

    def _find(self, address: int, size: int) -> tuple[Memory, int]:
        for memory in self._memories:
            at = address - memory.base
            if 0 <= at <= memory.size - size:
                return memory, at
        raise SimulationError(f"there is no memory for {size} bytes at 0x{address:08x}")

    def word(self, address: int) -> int:
        """A word of memory."""
        return int.from_bytes(self.read_memory(address, 4), "little")

    def get(self, register: int) -> int:
        """A register's value."""
        return int(self._uc.reg_read(register))

    def set(self, register: int, value: int) -> None:
        """Change a register."""
        self._uc.reg_write(register, value & 0xFFFFFFFF)

    def group(self, *registers: int) -> RegisterGroup:
        """Several registers, to be read and written at once."""
        return RegisterGroup(self._uc, registers)

    def run(self, most: int) -> Why:
        """Execute up to `most` instructions from `pc` on; `end_slice` and events end it earlier.

        A slice that would end within an IT block ends after it.

        Raises:
            SimulationError: the firmware did what the simulated chip cannot.
        """
        self._stopped = None
        # Not by unicorn's own function, whose checks take as long as a thousand instructions.
        status = uclib.uc_emu_start(self._uc._uch, self.pc | 1, _NOWHERE, 0, max(1, most))
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken
        self.pc = self.pc_now() & ~1
        why = self._stopped or self._ended(status)
        begun_only = self._count.over and why is Why.COUNT
        self.executed += self._count.executed - int(begun_only)
        self._count.executed = 0
        return why

    def end_slice(self, within: int = 0) -> None:
        """End the slice under way when the present instruction, and `within` more, are done."""
        self._count.most = min(self._count.most, self._count.executed + within)

    def _ended(self, status: int) -> Why:
        """Why a slice ended that no hook has ended."""
        if self._count.over:
            return Why.COUNT
        waits = _WAIT_OPCODES.get(self._halfword(self.pc - 2))
        if waits is not None:
            return Why.YIELD if waits == "yield" else Why.SLEEP
        if status == UC_ERR_OK:
            raise SimulationError(f"the CPU stopped at pc 0x{self.pc:08x}")
        return Why.UNDEFINED

    def _halfword(self, address: int) -> int:
        return int.from_bytes(self.read_memory(address, 2), "little")

    def _read(self, uc: Any, offset: int, size: int, base: int) -> int:
        try:
            return self.on_read(base + offset, size)
        except Exception as error:
            self._break(error)
            return 0

    def _write(self, uc: Any, offset: int, size: int, value: int, base: int) -> None:
        try:
            self.on_write(base + offset, size, value)
        except Exception as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        # unicorn's callbacks cannot raise; `run` does when it has stopped.
        self._broken = self._broken or error
        self._uc.emu_stop()

    def _exception(self, uc: Any, number: int, data: Any) -> None:
        if number == _SVC:
            self._stopped = Why.SVC
        elif number == _RETURN:
            self._stopped = Why.EXCEPTION_RETURN
        else:
            what = "a breakpoint" if number == _BREAKPOINT else f"exception {number} of the CPU"
            self._break(SimulationError(f"{what} at pc 0x{self.pc_now():08x}"))
        self._uc.emu_stop()

    def _invalid(self, uc: Any, kind: int, address: int, size: int, value: int, _: Any) -> bool:
        what = "read of"
        if kind in (UC_MEM_WRITE_UNMAPPED, UC_MEM_WRITE_PROT):
            what = "write to"
        elif kind in (UC_MEM_FETCH_UNMAPPED, UC_MEM_FETCH_PROT):
            what = "jump to"
        self._break(Unknown(what=what, place=f"address 0x{address:08x}", pc=self.pc_now()))
        return False


class _CountWords:
    """unicorn's count of instructions in the call of `emu_start` under way, and the limit it has.

    It keeps both in its own structure and hands out neither, so they are looked for there: words
    that equal what was executed and what was asked for, in several runs.
    """

    _SEARCHED = 256
    _RUNS = (1237, 2311, 3119)

    def __init__(self, uc: Any) -> None:
        self._words = (ctypes.c_size_t * self._SEARCHED).from_address(_address(uc))
        self._at = self._find()
        self.executed = 0

    @property
    def executed(self) -> int:
        """Instructions begun, and one more where the limit has ended the slice."""
        return int(self._words[self._at])

    @executed.setter
    def executed(self, count: int) -> None:
        self._words[self._at] = count

    @property
    def most(self) -> int:
        """The limit; a slice ends before the first instruction beyond it."""
        return int(self._words[self._at + 1])

    @most.setter
    def most(self, count: int) -> None:
        self._words[self._at + 1] = count

    @property
    def over(self) -> bool:
        """Whether the limit has ended the slice."""
        return self.executed > self.most

    def _find(self) -> int:
        found = set(range(self._SEARCHED - 1))
        probe = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        probe.mem_map(0, 0x1000)
        probe.mem_write(0, b"\xfe\xe7")  # b .
        words = (ctypes.c_size_t * self._SEARCHED).from_address(_address(probe))
        for count in self._RUNS:
            probe.emu_start(1, _NOWHERE, 0, count)
            found &= {at for at in found if (words[at], words[at + 1]) == (count + 1, count)}
        if len(found) != 1:
            raise SimulationError(
                "this version of unicorn counts instructions in another way than 2.1.4, which the "
                "simulator is written for"
            )
        return found.pop()


def _address(uc: Any) -> int:
    handle = uc._uch
    return int(getattr(handle, "value", handle))
