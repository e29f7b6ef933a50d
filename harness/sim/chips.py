"""Chips that can be simulated, by the name that boards.toml gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.sim.elf import find_function, load_segments
from harness.sim.errors import SimulationError
from harness.sim.rest import REST
from harness.sim.serve import Simulated, Wire

UART, USB = "uart", "usb"
WIRES = (UART, USB)
"""The wires that a chip may have to the outside."""

Built = tuple[Simulated, Wire]


def _nrf52840(elf: Path, wire: str, cycles_per_instruction: int, bootloader: bool) -> Built:
    from harness.sim.machine import Machine
    from harness.sim.nrf52840.chip import Nrf52840

    chip = Nrf52840(wire)
    rest = find_function(elf, REST) if wire == USB else None
    machine = Machine(
        chip, load_segments(elf), cycles_per_instruction=cycles_per_instruction, rest=rest
    )
    if bootloader:
        from harness.sim.nrf52840.bootloader import WithBootloader

        board = WithBootloader(machine, chip)
        return board, board
    return machine, chip


def _rp2040(elf: Path, wire: str, cycles_per_instruction: int, bootloader: bool) -> Built:
    from harness.sim.rp2040.chip import IDLE, Rp2040

    if wire != USB:
        raise SimulationError(f"the simulated rp2040 has no wire {wire!r}, only {USB!r}")
    if bootloader:
        raise SimulationError("the simulated rp2040 has no bootloader that a program speaks to")
    rest, idle = (find_function(elf, name) for name in (REST, IDLE))
    chip = Rp2040(load_segments(elf), rest=rest, idle=idle)
    chip.start()
    return chip, chip


Build = Callable[[Path, str, int, bool], Built]

CHIPS: dict[str, Build] = {"nrf52840": _nrf52840, "rp2040": _rp2040}
"""Each puts a chip together with the firmware of an ELF file, at a wire, with so many cycles for
each instruction where the chip has no model of its own for that, and with the bootloader of the
Nano 33 BLE if the last argument says so. What a chip needs is imported then
only. SimulationError: the file cannot be read or run."""
