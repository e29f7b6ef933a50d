"""Entry into and return from exceptions: the frame on the stack, and which stack it is.

ARMv7-M Architecture Reference Manual, B1.5.6 to B1.5.8. A frame with floating-point registers is
written whole at once (FPCCR.LSPEN as if clear): a lazy one holds the same registers in the end.
"""

from __future__ import annotations

import struct

from harness.sim.core import (
    CONTROL,
    FLOATS,
    FPSCR,
    GENERAL,
    LR,
    MSP,
    PSP,
    SP,
    XPSR,
    Core,
)
from harness.sim.errors import SimulationError
from harness.sim.nvic import Nvic

ENTRY_CYCLES = 12
"""Of entry and of return, from and to memory without wait states."""

_KEPT = (*GENERAL[:4], GENERAL[12], LR)
_BASIC, _WITH_FLOATS = 32, 104
_ALIGNED, _THUMB, _NUMBER = 1 << 9, 1 << 24, 0x1FF
_PRIVILEGE, _USES_PSP, _FLOATS_ACTIVE = 1, 2, 4
_FLOATS_KEPT = 0xC
"""FPCA, and the bit of ARMv8-M without which QEMU begins a new floating-point context."""
_RETURN = 0xFFFFFFE1


class Exceptions:
    """Takes exceptions, and returns from them."""

    def __init__(self, core: Core, nvic: Nvic) -> None:
        self._core = core
        self._nvic = nvic
        self._before = core.group(CONTROL, XPSR, SP, *_KEPT)
        self._entry = core.group(SP, XPSR, LR)
        self._stacks = core.group(CONTROL, MSP, PSP)
        self._kept = core.group(*_KEPT)
        self._floats = core.group(*FLOATS, FPSCR)

    def enter(self, exception: int, vectors: int) -> None:
        """Take an exception before the instruction at `core.pc`."""
        core, nvic = self._core, self._nvic
        control, xpsr, sp, *kept = self._before.read()
        floats = bool(control & _FLOATS_ACTIVE)
        frame = sp - (_WITH_FLOATS if floats else _BASIC) & ~7
        stacked = xpsr & ~_ALIGNED | _THUMB | (sp >> 2 & 1) << 9
        data = struct.pack("<8I", *kept, core.pc, stacked)
        if floats:
            data += struct.pack("<18I", *self._floats.read(), 0)
            core.set(CONTROL, control & ~_FLOATS_KEPT)
        core.write_memory(frame, data)
        back = _RETURN | (0 if floats else 0x10)
        if not nvic.active:
            back |= 0xC if control & _USES_PSP else 0x8
        nvic.enter(exception)
        # In this order: an exception's number in XPSR selects the main stack, and ends an IT block.
        self._entry.write((frame, xpsr & 0xF80F0000 | _THUMB | exception, back))
        core.pc = core.word(vectors + 4 * exception) & ~1

    def leave(self) -> None:
        """Return from the exception taken last, by the EXC_RETURN value that is in `core.pc`.

        Raises:
            SimulationError: the value contradicts the exceptions that are active.
        """
        core, nvic = self._core, self._nvic
        code = core.pc | 1
        if not nvic.active or bool(code & 8) != (len(nvic.active) == 1):
            raise SimulationError(f"return from an exception by 0x{code:08x}, which is not active")
        control, *stacks = self._stacks.read()
        on_psp = code & 0xC == 0xC
        frame = stacks[on_psp]
        floats = not code & 0x10
        size = _WITH_FLOATS if floats else _BASIC
        words = struct.unpack(f"<{size // 4}I", core.read_memory(frame, size))
        if floats:
            self._floats.write(words[8:25])
        xpsr = words[7]
        core.set(PSP if on_psp else MSP, frame + size + (4 if xpsr & _ALIGNED else 0))
        core.set(XPSR, xpsr & ~(_ALIGNED | _NUMBER) | nvic.leave())
        uses_psp = _USES_PSP if on_psp else 0 if code & 8 else control & _USES_PSP
        core.set(CONTROL, control & _PRIVILEGE | uses_psp | (_FLOATS_KEPT if floats else 0))
        self._kept.write(words[:6])
        core.pc = words[6] & ~1
