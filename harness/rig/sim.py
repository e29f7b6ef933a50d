"""A simulated chip as a board: the real board's own firmware, in a process on a pty."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.board.ports import THIS_MACHINE, Bench, Listing, SerialPort
from harness.board.registry import Simulator
from harness.errors import StartFailed, ToolMissing, Where
from harness.rig.ptyprocess import START_S, PtyProcess

UNICORN = "unicorn"
RP2040PY = "rp2040py"
INSTALL_UNICORN = "pip install 'tinyml-hil[sim]'"
"""Either, in fact."""


def has_unicorn() -> bool:
    """Whether the package that simulates the CPU is installed."""
    return importlib.util.find_spec(UNICORN) is not None


def has_rp2040py() -> bool:
    """Whether the package that simulates the RP2040 is installed."""
    return importlib.util.find_spec(RP2040PY) is not None


def sim_command(
    simulator: Simulator, elf: Path, listing: Path | None = None, pins: Path | None = None
) -> list[str]:
    """Command line that runs `elf` on a simulated chip and prints its port.

    Args:
        listing: the file in which it says what is plugged in.
        pins: the file in which it says what its pins do.
    """
    cycles = str(simulator.cycles_per_instruction)
    return [
        *(sys.executable, "-m", "harness.sim", simulator.chip, str(elf)),
        *("--wire", simulator.wire, "--cycles-per-instruction", cycles),
        *(["--bootloader"] if simulator.bootloader else []),
        *(["--listing", str(listing)] if listing else []),
        *(["--pins", str(pins)] if pins else []),
    ]


def sim_process(
    simulator: Simulator,
    elf: Path,
    *,
    where: Where,
    listing: Path | None = None,
    pins: Path | None = None,
) -> PtyProcess:
    """The process that runs a firmware's ELF file on a simulated chip; `with` starts it.

    Args:
        listing: the file in which it says what is plugged in.
        pins: the file in which it says what its pins do.

    Raises:
        ToolMissing: the package that simulates it is not installed.
    """
    package, there = (
        (RP2040PY, has_rp2040py()) if simulator.chip == "rp2040" else (UNICORN, has_unicorn())
    )
    if not there:
        raise ToolMissing(package, needed_for="a simulated chip", install=INSTALL_UNICORN)
    what = f"simulated {simulator.chip}"
    return PtyProcess(what, sim_command(simulator, elf, listing, pins), where=where)


class PinEdges:
    """The edges of one pin of a simulated chip, as its process writes them to a file.

    Args:
        clock_hz: of the chip.
    """

    def __init__(self, path: Path, pin: int, clock_hz: int) -> None:
        self._path = path
        self._pin = pin
        self._clock_hz = clock_hz
        self._read = 0

    def take(self) -> list[tuple[float, bool]]:
        """Those since the last call: seconds of the chip's own time, and whether it is high."""
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._read:
                self._read = 0  # A chip that was started anew begins a new file.
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        words = [line.split() for line in whole.splitlines()]
        return [
            (int(cycle) / self._clock_hz, high == b"1")
            for cycle, pin, high in words
            if int(pin) == self._pin
        ]


@contextmanager
def sim_bench(simulator: Simulator, elf: Path, *, where: Where) -> Iterator[Bench]:
    """A simulated board plugged into a machine of its own, where it can be found and flashed.

    Its USB id and serial number are those that the simulated host was told, and change when its
    bootloader starts.

    Raises:
        ToolMissing: as for `sim_process`.
        StartFailed: the process did not start, or showed no USB device within START_S.
    """
    with tempfile.TemporaryDirectory(prefix="hil-sim-") as folder:
        listing = Path(folder) / "ports.json"
        with sim_process(simulator, elf, where=where, listing=listing) as process:
            process.stream.close()
            bench = replace(THIS_MACHINE, ports=lambda: _listed(listing, process))
            if bench.wait_for(lambda ports: next(iter(ports), None), START_S) is None:
                what = f"the simulated board showed no USB device within {START_S:g} s"
                raise StartFailed(what, where=where)
            yield bench


def _listed(listing: Path, process: PtyProcess) -> Listing:
    if process.status() is not None:
        said = process.last_words() or "nothing"
        raise StartFailed(f"the simulated board ended; it said: {said}", where=process.where)
    try:
        return tuple(SerialPort(**port) for port in json.loads(listing.read_bytes()))
    except FileNotFoundError:
        return ()  # Its USB is not up yet.
