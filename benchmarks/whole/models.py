"""Course models: training, Fashion-MNIST through the emulated board, the whole board suite.

python -m benchmarks.whole.models [train] [images] [suite] [goldens]
    [--board ID] [--runtime NAME] [--tflm DIR] [--model NAME ...] [--most N]

Without arguments the first three. `goldens` compares every stored golden of every model, where the
board suite takes fewer of slow models, and names the operator where one differs. The options are
for `goldens`: on another board, with another runtime, of some models only, the first --most.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from harness import Artifact, OpenBoard, RigOptions, load_registry, open_board, resolve_model
from harness.errors import ModelError
from harness.model.artifact import list_models
from harness.model.goldens import Goldens
from harness.model.interpreters import TflmInterpreter
from harness.model.tensor import quantize
from harness.project import find_project
from harness.rig.checks import run_batch
from harness.rig.profiling import first_difference
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


def train(_: argparse.Namespace) -> None:
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


def images(_: argparse.Namespace) -> None:
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


def suite(_: argparse.Namespace) -> None:
    models = list_models(PROJECT.artifacts)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "--board", BOARD.id]
        command += ["--hil-model", ",".join(models), f"--hil-csv={folder}/latency.csv"]
        timed(command)
        took_s = timed(command)
    print(f"board suite over {len(models)} models: {took_s:.1f} s, to be {SUITE_S} s at most")


def goldens(options: argparse.Namespace) -> None:
    print(f"{'model':20} {'goldens':>7} {'differ':>7} {'seconds':>8}  {options.board}")
    for name in options.model or list_models(PROJECT.artifacts):
        model = resolve_model(name, PROJECT.artifacts)
        if model.goldens is not None:
            print(f"{model.name:20} {_compared(model, model.goldens, options)}", flush=True)


def _compared(model: Artifact, stored: Goldens, options: argparse.Namespace) -> str:
    """What a model's goldens come to on the board: the rest of its line."""
    most = min(options.most, len(stored.inputs))
    start = time.perf_counter()
    try:
        with _opened(model, options) as board:
            outputs = board.dut.infer(stored.inputs[:most]).outputs
    except ModelError as error:
        return f"refused: {error.what}"
    wrong = outputs != stored.outputs[:most]
    differ = int(wrong.reshape(len(outputs), -1).any(axis=1).sum())
    text = f"{len(outputs):7} {differ:7} {time.perf_counter() - start:8.1f}"
    return f"{text}  {_first_difference(model, options)}" if differ else text


def _first_difference(model: Artifact, options: argparse.Namespace) -> str:
    with _opened(model, options, profile=True) as board:
        return str(first_difference(board))


def _opened(
    model: Artifact, options: argparse.Namespace, *, profile: bool = False
) -> AbstractContextManager[OpenBoard]:
    asked = RigOptions(
        runtime=options.runtime, tflm=options.tflm, check_support=False, profile=profile
    )
    return open_board(load_registry()[options.board], model, PROJECT, asked)


def main() -> None:
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        **{"train": train, "images": images},
        **{"suite": suite, "goldens": goldens},
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--board", default=BOARD.id)
    parser.add_argument("--runtime")
    parser.add_argument("--tflm", type=Path)
    parser.add_argument("--model", nargs="+", metavar="NAME")
    parser.add_argument("--most", type=int, default=256, metavar="N")
    options = parser.parse_args()
    for name in options.parts or ["train", "images", "suite"]:
        if name not in parts:
            parser.error(f"no part {name!r}: {', '.join(parts)}")
        parts[name](options)


if __name__ == "__main__":
    main()
