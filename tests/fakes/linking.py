"""Small programs for a Cortex-M, linked by the real linker with scripts in the manner of cores."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = """
const unsigned char weights[WEIGHTS] = {1};
unsigned char arena[ARENA];
unsigned counter = 1;
__attribute__((section(".nvictable"))) unsigned vectors[62];
int Reset(void) { return weights[arena[3]] + vectors[0] + counter++; }
"""

_SCRIPT = """
MEMORY {
  FLASH (rx) : ORIGIN = 0x10000, LENGTH = 0xf0000
  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 0x40000
}
ENTRY(Reset)
SECTIONS {
  .text : { *(.text*) *(.rodata*) } > FLASH
  __etext = .;
  .nvictable (NOLOAD) : { *(.nvictable) } > RAM
  .data : AT(__etext) { *(.data*) } > RAM
  %s
  __StackTop = ORIGIN(RAM) + LENGTH(RAM);
}
"""

BSS = ".bss : { *(.bss*) *(COMMON) . = ALIGN(8); } > RAM\n"

MBED_REST = """
  .heap (NOLOAD) : {
    __end__ = .; end = .;
    *(.heap*)
    . = ORIGIN(RAM) + LENGTH(RAM) - 0x400;
    __HeapLimit = .;
  } > RAM
  .stack (NOLOAD) : { *(.stack*) . = ORIGIN(RAM) + LENGTH(RAM); } > RAM
"""
"""As mbed's boards have it: the heap takes the rest of RAM but for the stack of interrupts."""


STACK = 16 * 1024
"""Of the emulated boards' own linker script, as their JSON files say it."""


def script(ram: str) -> str:
    """A linker script for the memory of a Nano 33 BLE; `ram`: its sections after .data."""
    return _SCRIPT % ram


def link(
    folder: Path, linker_script: str, *, arena: int = 16, weights: int = 16
) -> tuple[Path, str]:
    """An ELF file with so many bytes in RAM and in flash, and what the linker said of it.

    The file is not there where the linker refused.
    """
    (folder / "a.c").write_text(_SOURCE)
    (folder / "a.ld").write_text(linker_script)
    elf = folder / "a.elf"
    flags = ["-mcpu=cortex-m4", "-mthumb", "-nostdlib", "-Os", f"-Wl,--defsym=STACK_SIZE={STACK}"]
    done = subprocess.run(
        ["arm-none-eabi-gcc", *flags]
        + [f"-DARENA={arena}", f"-DWEIGHTS={weights}", "-T", "a.ld", "a.c", "-o", "a.elf"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert elf.is_file() or "ld returned 1 exit status" in done.stderr, done.stderr
    return elf, done.stderr
