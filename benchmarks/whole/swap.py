"""Many models on one board with `tflm`: one firmware they are brought to, against one for each.

python -m benchmarks.whole.swap --tflm DIR [--board qemu-m4] [--rounds 3]

Every model is new: a copy of a committed one with other weights, which no build is kept of. The
library is compiled before, once for each of the two. Timed is all up to each model's first answer:
building, starting the board or flashing it, bringing the model. Last, the time of a swap alone, and
each swapped model against the same model linked in.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.whole.wall import largest_buffer, random_bytes
from harness.board.registry import Board, load_registry
from harness.firmware.swap import brought
from harness.link.loading import bring
from harness.model.artifact import Artifact
from harness.model.resolve import inspect_model, resolve_model
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.swapping import Swaps

PROJECT = find_project()


def committed() -> list[str]:
    """Names of the models that the repository holds."""
    return sorted(path.name for path in PROJECT.artifacts.iterdir() if path.is_dir())


def altered(name: str, folder: Path) -> Artifact:
    """A copy of a model with other weights."""
    source = resolve_model(name, PROJECT.artifacts)
    content = bytearray(source.content)
    weights = largest_buffer(source.content)
    at = content.index(weights)
    content[at : at + len(weights)] = random_bytes(len(weights), seed=time.time_ns())
    path = folder / f"{name}-{time.time_ns()}.tflite"
    path.write_bytes(content)
    return inspect_model(path)


def options_for(tflm: Path, mode: str, models: Sequence[Artifact]) -> RigOptions:
    """Options by which the models share a firmware, or by which each has its own."""
    return RigOptions(runtime="tflm", tflm=tflm, swaps=Swaps(mode, lambda board, runtime: models))


def to_first_answers(board: Board, models: Sequence[Artifact], options: RigOptions) -> float:
    """Seconds until every model has answered once."""
    start = time.perf_counter()
    for model in models:
        with open_board(board, model, PROJECT, options) as opened:
            brought_here = options.swaps.plan_for(board, "tflm", model, ours=True) is not None
            assert (opened.model_in == "ram") == brought_here
    return time.perf_counter() - start


def swap_seconds(board: Board, model: Artifact, options: RigOptions, count: int) -> list[float]:
    """Seconds of one swap: from its first request to the HELLO that shows the model."""
    found = []
    with open_board(board, model, PROJECT, options) as opened:
        for _ in range(count):
            start = time.perf_counter()
            bring(opened.dut.link, opened.dut.hello, brought(model))
            opened.dut.greet()
            found.append(time.perf_counter() - start)
            assert opened.dut.hello.model_sha256.hex() == model.sha256
    return found


def median_instructions(board: Board, model: Artifact, options: RigOptions) -> tuple[float, int]:
    """Median of 5 invokes in the board's own unit, and how many outputs differ from the golden."""
    with open_board(board, model, PROJECT, options) as opened:
        compared = opened.comparison()
        measured = opened.dut.measure(opened.checks.inputs[:1], 5)
        took = float(np.median(measured.ticks)) - measured.timer.read_ticks
        per = board.ns_per_instruction
        counted = measured.timer.instructions(measured.ticks, per) if per else None
        return float(np.median(counted)) if counted is not None else took, compared.mismatches


def show(what: str, times: Sequence[float]) -> None:
    """One line: median and range."""
    print(f"{what}: median {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tflm", type=Path, required=True)
    parser.add_argument("--board", default="qemu-m4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", action="store_true", help="also each model linked in")
    chosen = parser.parse_args()
    board, tflm, names = load_registry()[chosen.board], chosen.tflm.resolve(), committed()
    with tempfile.TemporaryDirectory() as folder:
        times: dict[str, list[float]] = {"always": [], "never": []}
        for number in range(chosen.rounds + 1):
            for mode, taken in times.items():
                models = [altered(name, Path(folder)) for name in names]
                seconds = to_first_answers(board, models, options_for(tflm, mode, models))
                taken += [seconds] if number else []  # The first compiles the library.
    show(f"{len(names)} models brought to one firmware", times["always"])
    show(f"{len(names)} models built each", times["never"])
    print(f"ratio {statistics.median(times['always']) / statistics.median(times['never']):.3f}")
    models = [resolve_model(name, PROJECT.artifacts) for name in names]
    shared = options_for(tflm, "always", models)
    cnn = models[names.index("fashion_cnn-8")]
    show("one swap of fashion_cnn-8", swap_seconds(board, cnn, shared, 20))
    for model in models if chosen.against else ():
        here, differ = median_instructions(board, model, shared)
        linked, linked_differ = median_instructions(
            board, model, replace(shared, swaps=Swaps("never"))
        )
        print(f"{model.name}: brought {here:.0f}, linked in {linked:.0f}")
        print(f"  outputs that differ: {differ}, linked in {linked_differ}")


if __name__ == "__main__":
    main()
