"""Whether a host finds the firmware's USB device at each of many starts, and in the same time.

python -m benchmarks.sim.starts
python -m benchmarks.sim.starts --elf firmware.elf --starts 100

Without a file it builds the Nano 33 BLE's firmware, for which PlatformIO must have Arduino's core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from harness import load_registry, resolve_model
from harness.firmware.build import Builder
from harness.project import find_project
from harness.sim.chips import CHIPS, USB
from harness.sim.pause import Pause

BOARD = "nano33ble-sim"
HZ = 64_000_000
MOST = 1000
"""Slices of a start; a host finds the device in less than ten."""


def built() -> Path:
    """The firmware of the board."""
    project = find_project()
    artifact = resolve_model("sine", project.artifacts)
    return Builder(project).build(load_registry()[BOARD], "aot", artifact).elf


def start(elf: Path) -> tuple[str, str, float]:
    """What the host found at one start, and after how many simulated milliseconds it had rest."""
    machine, wire = CHIPS["nrf52840"](elf, USB, 1, False)
    for _ in range(MOST):
        if machine.run() is Pause.IDLE:
            break
    shown = wire.shown
    usb, serial_number = (shown.usb, shown.serial_number) if shown else ("nothing", "")
    return usb, serial_number, machine.now() / HZ * 1e3  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elf", type=Path)
    parser.add_argument("--starts", type=int, default=100)
    options = parser.parse_args()
    elf = options.elf or built()
    seen = Counter(start(elf) for _ in range(options.starts))
    for (usb, serial_number, ms), count in seen.most_common():
        print(f"{count} of {options.starts}: {usb} {serial_number}, at rest after {ms:.3f} ms")


if __name__ == "__main__":
    main()
