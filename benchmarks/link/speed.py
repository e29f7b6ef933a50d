"""Inputs of Fashion-MNIST's size to a simulated nRF52840 at each rate of its UART, in its time.

python -m benchmarks.link.speed [COUNT]

In one process: the real link and the board's own firmware, on a bridge of memory. Needs unicorn.
"""

import sys
from pathlib import Path

import numpy as np

from harness import Dut, resolve_model
from harness.board.registry import load_registry
from harness.errors import Where
from harness.firmware.build import Builder
from harness.link.link import Link
from harness.link.speed import Line
from harness.project import find_project

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from fakes.simulated import SimulatedUart  # noqa: E402

BOARD = "nrf52840dk"
MODEL = "fashion_dnn"
COUNT = 1000


def greeted(elf: Path, most_baud: int) -> tuple[SimulatedUart, Dut]:
    """The board at the fastest rate up to `most_baud`."""
    uart = SimulatedUart(elf)
    line = Line(most_baud=most_baud)
    dut = Dut(Link(uart, where=Where(board=BOARD), line=line, clock=uart.now), clock=uart.now)
    dut.greet()
    return uart, dut


def main(count: int) -> None:
    """Print the seconds that the board's clock counts at each rate."""
    project = find_project()
    artifact = resolve_model(MODEL, project.artifacts)
    elf = Builder(project).build(load_registry()[BOARD], "aot", artifact).elf
    outputs = set()
    for most_baud in (115_200, 460_800, 1_000_000):
        uart, dut = greeted(elf, most_baud)
        inputs = np.random.default_rng(1).integers(-128, 128, (count, *dut.input.shape[1:]))
        start = uart.now()
        answer = dut.infer(inputs.astype(np.int8))
        seconds = uart.now() - start
        computing = dut.timer.us(answer.ticks).sum() / 1e6
        outputs.add(answer.samples.tobytes())
        print(
            f"{dut.link.speed.baud:>8} baud: {count} inputs in {seconds:.2f} s, "
            f"{computing:.2f} s of it computing, {answer.retries} retries",
            flush=True,
        )
    print("the outputs are", "the same" if len(outputs) == 1 else "DIFFERENT")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
