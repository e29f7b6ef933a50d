"""The instructions of an ELF file by the toolchain's objdump, which knows more of them than QEMU.

QEMU 7.2 names none of Helium's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from harness.firmware.elf import opened_elf
from harness.firmware.toolchain import ARM, RISCV, Toolchain
from harness.measure.counts import Executed

TOOLCHAIN_OF = {"EM_ARM": ARM, "EM_RISCV": RISCV}
_FLAGS = {ARM.prefix: ("-m", "armv8.1-m.main")}
"""Left to itself objdump takes Helium for coprocessors. A Cortex-M4 or M0 is read as without it."""

_TIMEOUT_S = 60.0
_LINE = re.compile(r" *([0-9a-f]{1,8}):\t((?:[0-9a-f]{4} ?){1,2}|[0-9a-f]{8}) *\t(.*)", re.ASCII)


def disassembled(elf: Path) -> dict[int, tuple[int, str]]:
    """Opcode, as `Executed` has it, and text of the instruction at each address of the code.

    Empty where the machine has no toolchain of ours or this one is not installed: the firmware was
    built with another.
    """
    with opened_elf(elf) as binary:
        toolchain = TOOLCHAIN_OF.get(binary["e_machine"])
    program = _objdump(toolchain) if toolchain else None
    if toolchain is None or program is None:
        return {}
    command = [program, *_FLAGS.get(toolchain.prefix, ()), "-d", "-z", str(elf)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = map(_LINE.fullmatch, done.stdout.decode("ascii", "replace").split("\n"))
    return {
        int(line[1], 16): (int(line[2].replace(" ", ""), 16), " ".join(line[3].split()))
        for line in lines
        if line
    }


def _objdump(toolchain: Toolchain) -> str | None:
    gcc = toolchain.found()
    if gcc is None:
        return None
    return shutil.which(f"{toolchain.prefix}-objdump", path=str(Path(gcc).parent))


def named_by(known: dict[int, tuple[int, str]], code: Iterable[Executed]) -> tuple[Executed, ...]:
    """What was executed, with the text that is known of the same instruction at its address."""
    return tuple(
        replace(at, text=known[at.address][1])
        if known.get(at.address, (None,))[0] == at.opcode
        else at
        for at in code
    )
