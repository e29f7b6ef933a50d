"""A simulated chip as a board: the real board's own firmware, in a process on a pty."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from harness.board.registry import Simulator
from harness.errors import ToolMissing, Where
from harness.rig.ptyprocess import PtyProcess

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


def sim_command(simulator: Simulator, elf: Path) -> list[str]:
    """Command line that runs `elf` on a simulated chip and prints its port."""
    cycles = str(simulator.cycles_per_instruction)
    command = [sys.executable, "-m", "harness.sim", simulator.chip, str(elf)]
    return [*command, "--wire", simulator.wire, "--cycles-per-instruction", cycles]


def sim_process(simulator: Simulator, elf: Path, *, where: Where) -> PtyProcess:
    """The process that runs a firmware's ELF file on a simulated chip; `with` starts it.

    Raises:
        ToolMissing: the package that simulates it is not installed.
    """
    package, there = (
        (RP2040PY, has_rp2040py()) if simulator.chip == "rp2040" else (UNICORN, has_unicorn())
    )
    if not there:
        raise ToolMissing(package, needed_for="a simulated chip", install=INSTALL_UNICORN)
    what = f"simulated {simulator.chip}"
    return PtyProcess(what, sim_command(simulator, elf), where=where)
