"""Exact instruction counts: 1000 repeats of one input, over ten starts of the emulator.

python -m benchmarks.latency.instructions
"""

import numpy as np

from benchmarks.opened import opened
from harness.rig.checks import checks_for

REPEATS = 1000
STARTS = 10


def main() -> None:
    seen: set[int] = set()
    for start in range(1, STARTS + 1):
        with opened("qemu-m4") as board:
            measured = board.dut.measure(checks_for(board.artifact).inputs[:1], REPEATS)
            ns = board.declared.ns_per_instruction
            counts = measured.timer.instructions(measured.ticks, ns)
            raw = np.unique(measured.ticks)
            seen |= set(counts.tolist())
            print(f"start {start:2}: {REPEATS} invokes, instructions {set(counts.tolist())}, "
                  f"raw ticks {raw.min()} to {raw.max()}")  # fmt: skip
    print(f"distinct instruction counts over {STARTS} starts: {len(seen)}")


if __name__ == "__main__":
    main()
