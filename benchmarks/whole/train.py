"""Fast recipe against the course's recipe for the sine: test MSE and wall time of whole processes.

Both run `python -m models train sine` one after the other for each seed, so a ratio compares
neighbours. The course recipe takes the course's own steps (RMSprop, batch 16, 600 epochs through
Keras `fit`); only their dispatch is one call per epoch, as in the fast recipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One training: test MSE of the Keras model and of int8, and wall time with import and exit."""

    mse: float
    int8_mse: float
    wall_s: float


def measure(schedule: str, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "models", "train", "sine", "--recipe", schedule]
        begin = time.perf_counter()
        subprocess.run(
            [*command, "--seed", str(seed), "--output", output],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall_s = time.perf_counter() - begin
        manifest = json.loads((Path(output) / "sine" / "manifest.json").read_text())
    return Outcome(
        mse=manifest["metrics"]["mse"],
        int8_mse=manifest["dtypes"]["int8"]["metrics"]["mse"],
        wall_s=wall_s,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    ratios = []
    print("seed  fast: mse    int8   wall s   course: mse    int8   wall s   mse fast/course")
    for seed in range(1, options.seeds + 1):
        fast, course = measure("fast", seed), measure("course", seed)
        ratios.append(fast.mse / course.mse)
        print(
            f"{seed:4}  {fast.mse:9.5f} {fast.int8_mse:8.5f} {fast.wall_s:7.2f}"
            f"  {course.mse:12.5f} {course.int8_mse:8.5f} {course.wall_s:7.2f} {ratios[-1]:12.3f}",
            flush=True,
        )
    print(f"mse ratio fast/course: mean {sum(ratios) / len(ratios):.3f}, worst {max(ratios):.3f}")


if __name__ == "__main__":
    main()
