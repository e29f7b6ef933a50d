"""Exact instruction counts: 1000 repeats of one input, over ten starts of each emulator.

python -m benchmarks.latency.instructions [--board ID,... | all-emulated] [--model NAME]

Exit status 1 where a board counted differently in two of them.
"""

import argparse
import sys

import numpy as np

from benchmarks.opened import opened
from harness.rig.checks import checks_for
from harness.rig.emulated import expand_here

REPEATS = 1000
STARTS = 10


def counts_of(board_id: str, model: str) -> tuple[set[int], set[int]]:
    """Numbers of instructions, and raw ticks, that the invokes of one start took."""
    with opened(board_id, model=model) as board:
        measured = board.dut.measure(checks_for(board.artifact).inputs[:1], REPEATS)
        ns = board.declared.ns_per_instruction
        if ns is None:
            sys.exit(f"{board_id} counts no instructions")
        if len(measured.ticks) != REPEATS:
            sys.exit(f"{board_id} timed {len(measured.ticks)} of {REPEATS} invokes")
        counts = measured.timer.instructions(measured.ticks, ns)
        return set(counts.tolist()), set(np.unique(measured.ticks).tolist())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--board", default="qemu-m4")
    parser.add_argument("--model", default="sine")
    options = parser.parse_args()
    expanded = expand_here(options.board.split(","), ())
    for line in expanded.left_out:
        print(line)
    print(f"{REPEATS} invokes of {options.model} in each of {STARTS} starts")
    unlike = 0
    for board_id in expanded.boards:
        seen: set[int] = set()
        raw: set[int] = set()
        for _ in range(STARTS):
            counts, ticks = counts_of(board_id, options.model)
            seen |= counts
            raw |= ticks
        unlike += len(seen) > 1
        print(f"{board_id:20} instructions {', '.join(map(str, sorted(seen)))}; "
              f"raw ticks {min(raw)} to {max(raw)}", flush=True)  # fmt: skip
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
