"""Our own little USB device for the nRF52840, which echoes each byte plus `step`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.firmware.toolchain import ARM_GCC
from harness.project import find_project

SIM = Path(__file__).parents[1] / "sim"
SOURCE = SIM / "cdc.c"
DK = find_project().firmware / "platform" / "nrf52840.ld"
NANO = SIM / "nano33ble.ld"


def compile_cdc(
    folder: Path, old: str = "", new: str = "", count: int = 1, *, script: Path = DK
) -> Path:
    """The device's ELF file, with a text of its source replaced, which occurs `count` times."""
    text = SOURCE.read_text()
    assert not old or text.count(old) == count
    source, elf = folder / "cdc.c", folder / "cdc.elf"
    source.write_text(text.replace(old, new) if old else text)
    flags = ["-mcpu=cortex-m4", "-mthumb", "-O2", "-ffreestanding", "-nostdlib", "-w"]
    link = ["-L", DK.parent, "-T", script, "-Wl,-eReset", "-Wl,--defsym=STACK_SIZE=4096"]
    subprocess.run([ARM_GCC, *flags, *link, source, "-o", elf], check=True)
    return elf


def stepping(folder: Path, step: int) -> Path:
    """The device as an application of the Nano 33 BLE, with a step of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return compile_cdc(folder, "step = 1;", f"step = {step};", script=NANO)
