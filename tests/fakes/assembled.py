"""Small programs for the simulated nRF52840, out of assembly text."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from harness.firmware.toolchain import ARM_GCC
from harness.sim.elf import Segment
from harness.sim.machine import Machine
from harness.sim.nrf52840.chip import Nrf52840

STACK = 0x20020000
SPACE = 0x20000100
"""RAM for a program's results."""

HANDLERS = {
    **{3: "hard", 11: "svc", 14: "pendsv", 15: "systick"},
    **{16 + irq: f"irq{irq}" for irq in range(48)},
}
"""Labels by the number of the exception; one that a program lacks is a loop of one instruction."""


@cache
def assemble(text: str) -> bytes:
    """The image, for address 0, of a program that begins at `reset` and may define handlers."""
    labels = {line.rstrip(":") for line in text.split() if line.endswith(":")}
    names = [HANDLERS.get(number, "") for number in range(2, 64)]
    used = ["reset", *(name if name in labels else "stuck" for name in names)]
    vectors = "\n".join(f".word {name} + 1" for name in used)
    source = f"""
        .syntax unified
        .cpu cortex-m4
        .fpu fpv4-sp-d16
        .thumb
        .word {STACK:#x}
        {vectors}
        stuck: b stuck
        {text}
        .pool
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("program.S", "program.o", "program.bin")]
        paths[0].write_text(source)
        subprocess.run([ARM_GCC, "-c", paths[0], "-o", paths[1]], check=True)
        objcopy = ARM_GCC.replace("gcc", "objcopy")
        subprocess.run([objcopy, "-O", "binary", paths[1], paths[2]], check=True)
        return paths[2].read_bytes()


def machine_of(text: str, *, cycles_per_instruction: int = 1) -> tuple[Machine, Nrf52840]:
    """A simulated nRF52840 with a program, not yet run."""
    chip = Nrf52840()
    image = (Segment(address=0, content=assemble(text)),)
    return Machine(chip, image, cycles_per_instruction=cycles_per_instruction), chip
