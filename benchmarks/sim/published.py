"""A network with published cycles on an nRF52840, beside its instructions on the simulated one.

python -m benchmarks.sim.published [--tflm DIR]

BakeNN's own benchmark files give, for an int8 fully connected 32-16-4 network on the nRF52840 DK at
64 MHz: 3786 cycles of its code with CMSIS-NN, 5418 of TFLite Micro with CMSIS-NN. Weights here are
random, and so are theirs for the count: no branch depends on them but saturation. The ratio is
cycles of silicon to instructions: of flash wait states and instructions that take several cycles,
and of two builds by different compilers. It needs TensorFlow.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from harness import RigOptions, load_registry, open_board, resolve_model
from harness.project import find_project
from harness.rig.checks import checks_for

PUBLISHED = {"aot": 3786, "tflm": 5418}
BOARD = "nrf52840dk-sim"


def network(folder: Path) -> Path:
    """The network as an int8 .tflite file."""
    import tensorflow as tf

    from models.convert import convert

    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((32,)), layers.Dense(16, activation="relu"), layers.Dense(4)]
    )
    given = np.random.default_rng(1).uniform(-1, 1, (256, 32)).astype(np.float32)
    path = folder / "fc_32_16_4.tflite"
    path.write_bytes(convert(tf, model, "int8", representative=given))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tflm", type=Path)
    options = parser.parse_args()
    project = find_project()
    with tempfile.TemporaryDirectory() as folder:
        artifact = resolve_model(str(network(Path(folder))), project.artifacts)
        for runtime in ("aot", "tflm") if options.tflm else ("aot",):
            asked = RigOptions(runtime=runtime, tflm=options.tflm)
            with open_board(load_registry()[BOARD], artifact, project, asked) as board:
                measured = board.dut.measure(checks_for(artifact).inputs[:1], 20)
                ns = board.declared.ns_per_instruction
                assert ns is not None, "it counts"
                (count,) = set(measured.timer.instructions(measured.ticks, ns).tolist())
                cycles = PUBLISHED[runtime]
                print(
                    f"{runtime}: {count} instructions here, {cycles} cycles published: "
                    f"{cycles / count:.2f} cycles of silicon for each instruction"
                )
                print(board.comparison())


if __name__ == "__main__":
    main()
