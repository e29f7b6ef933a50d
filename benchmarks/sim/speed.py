"""How fast a simulated chip is, in processor time of one core, and what it spends it on.

python -m benchmarks.sim.speed fashion_cnn mnist_dnn horse_or_human

For each model: instructions of 20 invokes by MLPerf Tiny's command, and seconds of processor time.
Then the time for a byte received, each of which is an interrupt, and where that goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time

from harness import load_registry, resolve_model
from harness.firmware.build import Builder
from harness.link.streams import padded
from harness.project import find_project
from harness.sim.chips import CHIPS
from harness.sim.machine import Machine, Pause
from harness.sim.nrf52840.chip import Nrf52840

BOARD = "nrf52840dk-sim"
INVOKES = b"infer 20%"
BYTES = 2000


def started(model: str, board_id: str) -> tuple[Machine, Nrf52840]:
    """A simulated board with a model's firmware, waiting for the first byte."""
    project = find_project()
    artifact = resolve_model(model, project.artifacts)
    board = load_registry()[board_id]
    firmware = Builder(project).build(board, "aot", artifact)
    assert board.simulator is not None
    machine, chip = CHIPS["nrf52840"](firmware.elf, board.simulator.wire, 1, False)
    assert isinstance(machine, Machine) and isinstance(chip, Nrf52840)
    settle(machine)
    chip.line(baud=115200, open=True)
    settle(machine)
    return machine, chip


def settle(machine: Machine) -> None:
    while machine.run() is Pause.BUSY:
        pass


def timed(machine: Machine, chip: Nrf52840, given: bytes) -> tuple[int, float]:
    """Instructions and processor time of an answer."""
    before, begun = machine.instructions, time.process_time()
    chip.offer(padded(given))
    settle(machine)
    return machine.instructions - before, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--board", default=BOARD, help="one whose chip is an nRF52840")
    options = parser.parse_args()
    for model in options.models:
        machine, chip = started(model, options.board)
        count, seconds = timed(machine, chip, INVOKES)
        print(f"{model}: {count} instructions, {count / seconds / 1e6:.0f} million a second")
    count, seconds = timed(machine, chip, b"\0" + b"\1" * BYTES)
    print(f"a byte received: {seconds / BYTES * 1e6:.0f} us, {count / BYTES:.0f} instructions")
    with cProfile.Profile() as profile:
        timed(machine, chip, b"\0" + b"\1" * BYTES)
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
