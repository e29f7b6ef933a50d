"""Course models: training, Fashion-MNIST through the emulated board, the whole board suite.

python -m benchmarks.whole.models [train] [images] [suite] [goldens]

Without arguments the first three. `goldens` compares every stored golden of every model, where the
board suite takes fewer of slow models.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import RigOptions, load_registry, open_board, resolve_model
from harness.model.artifact import list_models
from harness.model.interpreters import TflmInterpreter
from harness.model.tensor import quantize
from harness.project import find_project
from harness.rig.checks import run_batch
from models.images import fashion
from models.recipe import Request

ROOT = Path(__file__).parents[2]
PROJECT = find_project()
BOARD = load_registry()["qemu-m4"]
TRAINED = {
    "linear": 5,
    "sine": 5,
    "fashion_dnn": 30,
    "fashion_cnn --variant 8": 90,
    "fashion_cnn --variant 16": 90,
}
"""Recipes, and seconds that each should take to its target as a whole process on two cores."""

SMALL_CNN = "fashion_cnn-8"
IMAGES = 1000
IMAGES_S = 30
SUITE_S = 60


def timed(command: list[str]) -> float:
    """Seconds of a command, which must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def train() -> None:
    for name, limit_s in TRAINED.items():
        with tempfile.TemporaryDirectory() as output:
            command = [
                sys.executable,
                "-m",
                "models",
                "train",
                *name.split(" "),
                "--output",
                output,
            ]
            print(f"train {name}: {timed(command):.1f} s, to be {limit_s} s at most", flush=True)


def images() -> None:
    model = resolve_model(SMALL_CNN, PROJECT.artifacts)
    test = fashion(Request(variant="8"), channels=True).test
    inputs = quantize(test.x[:IMAGES], model.inputs[0])
    host = run_batch(
        TflmInterpreter(model.content, name=model.name), inputs, model.inputs[0]
    ).outputs
    with open_board(BOARD, model, PROJECT, RigOptions()) as board:
        start = time.perf_counter()
        outputs = board.dut.infer(inputs).outputs
        took_s = time.perf_counter() - start
    right = np.mean(outputs.argmax(axis=1) == test.y[:IMAGES])
    print(
        f"{IMAGES} Fashion-MNIST images through qemu-m4 with {SMALL_CNN}: {took_s:.1f} s, to be "
        f"{IMAGES_S} s at most; accuracy {right:.4f}, {np.sum(outputs != host)} bytes differ "
        "from TFLM on the host",
        flush=True,
    )


def suite() -> None:
    models = list_models(PROJECT.artifacts)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "--board", BOARD.id]
        command += ["--hil-model", ",".join(models), f"--hil-csv={folder}/latency.csv"]
        timed(command)
        took_s = timed(command)
    print(f"board suite over {len(models)} models: {took_s:.1f} s, to be {SUITE_S} s at most")


def goldens() -> None:
    for name in list_models(PROJECT.artifacts):
        model = resolve_model(name, PROJECT.artifacts)
        if model.goldens is None:
            continue
        start = time.perf_counter()
        with open_board(BOARD, model, PROJECT, RigOptions()) as board:
            outputs = board.dut.infer(model.goldens.inputs).outputs
        differ = (outputs != model.goldens.outputs).reshape(len(outputs), -1).any(axis=1).sum()
        took_s = time.perf_counter() - start
        print(
            f"{model.name}: {differ} of {len(outputs)} goldens differ, {took_s:.1f} s", flush=True
        )


def main() -> None:
    parts = {"train": train, "images": images, "suite": suite, "goldens": goldens}
    for name in sys.argv[1:] or ["train", "images", "suite"]:
        parts[name]()


if __name__ == "__main__":
    main()
