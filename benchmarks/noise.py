"""100 000 samples through a line that corrupts 1 % of all bytes: no wrong tensor, retries counted.

python -m benchmarks.noise [SAMPLES]
"""

import sys
import time

import numpy as np

from benchmarks.opened import opened
from harness.link.link import LinkOptions
from harness.rig.checks import run_batch

PATIENT = LinkOptions(timeout_s=0.03, attempts=200, silent_attempts=200)


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    random = np.random.default_rng(7)
    samples = random.integers(-128, 127, total, dtype=np.int8, endpoint=True)
    with opened("virtual", port="virtual:?flip=0.01&seed=11", link=PATIENT) as board:
        start = time.perf_counter()
        answered = board.dut.infer(samples)
        seconds = time.perf_counter() - start
        every = np.arange(-128, 128).astype(np.int8)
        truth = run_batch(board.references.golden, every, board.artifact.inputs[0]).outputs
        expected = truth.ravel()[samples.astype(int) + 128]
        wrong = int((answered.outputs.ravel() != expected).sum())
        stats = board.dut.link.stats
    print(f"{total} samples, {wrong} wrong, {seconds:.1f} s, {stats.requests} requests")
    print(f"retries {stats.retries}: {stats.timeouts} timeouts, {stats.refused_frames} frames "
          f"refused by the board, {stats.bad_frames} damaged replies")  # fmt: skip


if __name__ == "__main__":
    main()
