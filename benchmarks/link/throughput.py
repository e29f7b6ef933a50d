"""Inferences per second through the public API on qemu-m4: batches against one sample per line.

python -m benchmarks.link.throughput
"""

import time

import numpy as np

from benchmarks.opened import opened

BATCHED = 20_000
LINES = 1_000
ROUNDS = 5


def main() -> None:
    random = np.random.default_rng(1)
    samples = random.integers(-128, 127, BATCHED, dtype=np.int8, endpoint=True)
    ratios = []
    with opened("qemu-m4") as board:
        board.dut.infer(samples[:1000])
        for _ in range(ROUNDS):
            start = time.perf_counter()
            board.dut.infer(samples)
            batched = BATCHED / (time.perf_counter() - start)
            start = time.perf_counter()
            for value in range(LINES):
                board.dut.link.ask_text(f"{value % 6.28:.4f}")
            lines = LINES / (time.perf_counter() - start)
            ratios.append(batched / lines)
            print(f"batches {batched:8.0f}/s   lines {lines:8.0f}/s   ratio {ratios[-1]:.1f}")
        print(f"median ratio {np.median(ratios):.1f}; retries {board.dut.link.stats.retries}")


if __name__ == "__main__":
    main()
