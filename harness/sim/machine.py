"""A simulated chip at work: CPU, exceptions and simulated time together.

Time is a count: an instruction takes `cycles_per_instruction`, an exception's entry and its return
`ENTRY_CYCLES`. Where firmware waits and nothing but a due event can end the wait, time jumps there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.sim.core import BASEPRI, FAULTMASK, GENERAL, LR, PRIMASK, SP, XPSR, Core, Memory, Why
from harness.sim.cortexm import CycleCounter, InterruptController, SystemControl, SysTick
from harness.sim.elf import Segment
from harness.sim.errors import SimulationError
from harness.sim.exceptions import ENTRY_CYCLES, Exceptions
from harness.sim.nvic import HARD_FAULT, SVCALL, Nvic
from harness.sim.pause import Pause
from harness.sim.registers import Bus, Peripheral
from harness.sim.rest import Rest
from harness.sim.schedule import Due, Schedule
from harness.sim.spin import MOST_POLLED, Spin

SLICE = 200_000
"""Instructions after which the outside is looked at, at the latest."""

MASKED_SLICE = 64
"""Instructions between two looks whether a pending interrupt is still masked, at most: the first
look is after one instruction, since firmware that waits unmasks them soon after."""

_SYSTEM_BUS = (0xE0000000, 0x100000)
_BRANCH_TO_ITSELF = 0xE7FE
_STATE = (*GENERAL, SP, LR, XPSR)


class Chip(Protocol):
    """A chip's own part: its memories and peripherals."""

    memories: tuple[Memory, ...]
    windows: tuple[tuple[int, int], ...]
    interrupts: int

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way between the chip and the outside, and was not of late."""

    @property
    def touched(self) -> bool:
        """Whether firmware may still be about to start its bootloader, some time from now."""

    def peripherals(self, machine: Machine) -> tuple[Peripheral, ...]:
        """Those of the chip, as after power-up or, if `machine.resets`, after a reset."""


class Machine:
    """A chip with its firmware; `run` lets time pass.

    Args:
        chip: its memories and peripherals.
        image: what the firmware's ELF file puts into memory.
        cycles_per_instruction: of the CPU.
        rest: address of the function that the firmware calls while it has nothing to do, see
            `harness.sim.rest`.
    """

    def __init__(
        self,
        chip: Chip,
        image: tuple[Segment, ...],
        *,
        cycles_per_instruction: int = 1,
        rest: int | None = None,
    ) -> None:
        if cycles_per_instruction < 1:
            raise SimulationError("an instruction takes at least one cycle")
        self._chip = chip
        self._vectors = min(segment.address for segment in image)
        self._cycles = cycles_per_instruction
        self.resets = 0
        self.rest = Rest(rest)
        self._start()
        for segment in image:
            self.core.write_memory(segment.address, segment.content)
        self._take_reset_vector()

    def _start(self) -> None:
        """All registers as after a reset."""
        self.core = Core(self._chip.memories, (*self._chip.windows, _SYSTEM_BUS), Bus)
        self.core.on_read = self._read
        self.core.on_write = self._write
        if self.rest.address is not None:
            self.core.watch(self.rest.address, self._rests)
        self.nvic = Nvic()
        self._exceptions = Exceptions(self.core, self.nvic)
        self._masks = self.core.group(PRIMASK, FAULTMASK, BASEPRI)
        self._all = self.core.group(*_STATE)
        self.schedule = Schedule()
        self._extra = 0
        self._slept = 0
        self._reset_asked = False
        self._idle = False
        self._spin = Spin()
        self._masked = False
        self._next_look = 1
        self._system = SystemControl(self.nvic, self)
        self._system.value["VTOR"] = self._vectors
        for peripheral in (
            *(CycleCounter(self, self._system), self._system, SysTick(self.nvic, self)),
            InterruptController(self.nvic, self, self._chip.interrupts),
            *self._chip.peripherals(self),
        ):
            self.core.bus.attach(peripheral)

    def _take_reset_vector(self) -> None:
        self.core.set(SP, self.core.word(self._vectors) & ~3)
        self.core.pc = self.core.word(self._vectors + 4) & ~1

    @property
    def instructions(self) -> int:
        """Instructions executed since the last reset."""
        return self.core.done

    def now(self) -> int:
        """Cycles since the last reset."""
        return self.core.done * self._cycles + self._extra

    def awake(self) -> int:
        """Cycles since the last reset in which the CPU did not sleep."""
        return self.now() - self._slept

    def at(self, due: int, act: Callable[[], None]) -> Due:
        """Call `act` when simulated time has reached a cycle."""
        entry = self.schedule.add(due, act)
        self.core.end_slice(max(0, (due - self.now()) // self._cycles))
        return entry

    def set_line(self, irq: int, high: bool) -> None:
        """A peripheral's interrupt line."""
        self.nvic.set_line(irq, high)
        if high:
            self.changed()

    def changed(self) -> None:
        """Look whether an interrupt is to be taken when the present instruction is done."""
        if self.nvic.waiting and not self._masked:
            self.core.end_slice()

    def read_ram(self, address: int, size: int) -> bytes:
        """What a DMA controller reads.

        Raises:
            SimulationError: it reaches RAM only, and that is elsewhere.
        """
        self._in_ram(address, size)
        return self.core.read_memory(address, size)

    def write_ram(self, address: int, data: bytes) -> None:
        """What a DMA controller writes.

        Raises:
            SimulationError: as for `read_ram`.
        """
        self._in_ram(address, len(data))
        self.core.write_memory(address, data)

    def _in_ram(self, address: int, size: int) -> None:
        for memory in self._chip.memories:
            if memory.writable and memory.base <= address <= memory.base + memory.size - size:
                return
        raise SimulationError(f"DMA of {size} bytes at 0x{address:08x}, which is not in RAM")

    def ask_reset(self) -> None:
        """Reset when the present instruction is done."""
        self._reset_asked = True
        self.core.end_slice()

    def reset(self) -> None:
        """Reset the chip; RAM and flash stay as they are."""
        self.resets += 1
        self.rest.forget()
        self._start()
        self._take_reset_vector()

    def run(self, most: int = SLICE) -> Pause:
        """Let time pass until nothing happens any more, a reset, or `most` instructions.

        Raises:
            SimulationError: the firmware did what the simulated chip cannot.
        """
        if self.rest.reached and not self.rest.leave():
            return Pause.IDLE
        end = self.core.executed + most
        self._idle = False
        while self.core.executed < end:
            self.schedule.run_until(self.now())
            self._take_exception()
            self._run_slice(end - self.core.executed)
            if self._reset_asked:
                self.reset()
                return Pause.BUSY
            if self.rest.waits:
                self.rest.waits = False
                self._pass_time(asleep=False)
            if self._idle or self.rest.reached:
                if not self.rest.leave():
                    return Pause.IDLE
                self._idle = False
        return Pause.BUSY

    def _take_exception(self) -> None:
        self._masked = False
        if not self.nvic.waiting:
            self._next_look = 1
            return
        primask, faultmask, basepri = self._masks.read()
        mask = -1 if faultmask & 1 else 0 if primask & 1 else None
        exception = self.nvic.next(mask=mask, basepri=basepri & 0xFF)
        if exception is None:
            self._masked = True
        else:
            self._next_look = 1
            self._enter(exception)

    def _enter(self, exception: int) -> None:
        self._exceptions.enter(exception, self._system.vectors)
        self._extra += ENTRY_CYCLES

    def _run_slice(self, most: int) -> None:
        due = self.schedule.next()
        if due is not None:
            most = min(most, max(1, -(-(due - self.now()) // self._cycles)))
        if self._masked:
            most = min(most, self._next_look)
            self._next_look = min(2 * self._next_look, MASKED_SLICE)
        why = self.core.run(most)
        if why is Why.EXCEPTION_RETURN:
            self._exceptions.leave()
            self._extra += ENTRY_CYCLES
        elif why is Why.SVC:
            self._enter(SVCALL)
        elif why is Why.UNDEFINED:
            self._fault()
        elif why in (Why.YIELD, Why.SLEEP):
            self._wait(asleep=why is Why.SLEEP)
        elif self._stands_still() and (self._masked or not self.nvic.waiting):
            self._pass_time(asleep=False)

    def _rests(self) -> None:
        """The firmware says that it has nothing to do."""
        if self._chip.quiet:
            self.rest.stop(waits=self._chip.touched)
            self.core.end_slice()

    def _stands_still(self) -> bool:
        """Whether the CPU is in a loop of one instruction, as firmware is after a fault."""
        opcode = self.core.read_memory(self.core.pc, 2)
        return int.from_bytes(opcode, "little") == _BRANCH_TO_ITSELF

    def _fault(self) -> None:
        """An instruction that the CPU does not know is a hard fault, with UsageFault disabled."""
        if HARD_FAULT in self.nvic.active:
            raise SimulationError(f"a fault within the fault handler, at pc 0x{self.core.pc:08x}")
        self._system.value["CFSR"] |= 1 << 16
        self._system.value["HFSR"] |= 1 << 30
        self._enter(HARD_FAULT)

    def _wait(self, *, asleep: bool) -> None:
        """Let time pass until something is due, unless an interrupt waits already."""
        if self.nvic.waiting:
            self._next_look = 1
        else:
            self._pass_time(asleep=asleep)

    def _pass_time(self, *, asleep: bool) -> None:
        """Go to what is due next; without anything the machine is idle."""
        due = self.schedule.next()
        if due is None:
            self._idle = True
            return
        passed = max(0, due - self.now())
        self._extra += passed
        self._slept += passed if asleep else 0

    def _read(self, address: int, size: int) -> int:
        """A read of a peripheral, where loops that wait for one are found.

        A loop that reads the same values from the same registers in two rounds, writes to none, and
        has all registers of the CPU as they were, goes on so until something is due: its rounds are
        counted, not executed. One that counts its rounds in RAM is taken for such a loop.
        """
        value = self.core.bus.read(address, size)
        spin = self._spin
        if spin.anchor is None or len(spin.values) > MOST_POLLED:
            spin.begin(address)
        spin.values.append((address, value))
        if address != spin.anchor:
            return value
        again = spin.values == spin.before
        spin.before, spin.values = spin.values, []
        if not again or self.nvic.waiting:
            spin.state = ()
            return value
        state, now = (self.core.pc_now(), *self._all.read()), self.now()
        if state == spin.state:
            self._skip_rounds(now - spin.at)
        spin.state, spin.at = state, self.now()
        return value

    def _write(self, address: int, size: int, value: int) -> None:
        self._spin.begin(None)
        self.core.bus.write(address, size, value)

    def _skip_rounds(self, cycles: int) -> None:
        due = self.schedule.next()
        if due is None:
            self._idle = True
            self.core.end_slice()
        elif due > self.now():
            self._extra += (due - self.now()) // cycles * cycles
            self.core.end_slice(max(0, (due - self.now()) // self._cycles))
