"""Wall time of whole commands, warm: pytest on qemu-m4, and a new model to its first answer.

python -m benchmarks.whole.wall
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tflite

from harness.project import find_project

ROUNDS = 5


def timed(command: list[str]) -> float:
    """Seconds of a command, which must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def show(what: str, times: list[float]) -> None:
    """One line: median and range."""
    print(f"{what}: median {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


def pytest_run(csv: Path) -> list[str]:
    """Board tests on qemu-m4: 256 inputs, 1000 timed invokes, CSV written."""
    return [sys.executable, "-m", "pytest", "-q", "--board", "qemu-m4", f"--hil-csv={csv}"]


def largest_buffer(content: bytes) -> bytes:
    """Bytes of the model's largest constant tensor."""
    model = tflite.Model.GetRootAs(content)
    buffers = (model.Buffers(index) for index in range(model.BuffersLength()))
    return max((bytes(item.DataAsNumpy()) for item in buffers if item.DataLength()), key=len)


def random_bytes(count: int, *, seed: int) -> bytes:
    """Weights in the symmetric range -127 to 127."""
    return np.random.default_rng(seed).integers(-127, 128, count).astype(np.int8).tobytes()


def altered_model(folder: Path, number: int) -> Path:
    """A copy of the sine's int8 file with other weights: a model never built before."""
    source = find_project().artifacts / "sine"
    table = json.loads((source / "manifest.json").read_text())["dtypes"]["int8"]
    content = bytearray((source / table["file"]).read_bytes())
    weights = largest_buffer(content)
    at = content.index(weights)
    content[at : at + len(weights)] = random_bytes(len(weights), seed=time.time_ns())
    path = folder / f"altered{number}.tflite"
    path.write_bytes(content)
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed(pytest_run(folder / "latency.csv"))
        show(
            "pytest --board qemu-m4, whole process",
            [timed(pytest_run(folder / "latency.csv")) for _ in range(ROUNDS)],
        )
        hil = [sys.executable, "-m", "harness.cli", "infer", "1.57", "--model"]
        timed([*hil, "sine"])
        times = [timed([*hil, str(altered_model(folder, number))]) for number in range(ROUNDS)]
        show("new model to first answer (regenerate, compile, link, start)", times)


if __name__ == "__main__":
    main()
