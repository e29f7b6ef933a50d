"""Record session medians of one board, run after run, for the figures on the gate.

python -m benchmarks.latency.sessions virtual --runs 400
python -m benchmarks.latency.sessions qemu-m4 --runs 4

A run opens the board anew; its sessions begin with a reset, as those of `--hil-sessions`. Every
other run of the virtual board has its clock stretched by 3 %: a slowdown through the whole harness.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.opened import opened
from harness import OpenBoard, read_rows
from harness.measure.csvfile import append

FOLDER = Path(__file__).parent / "recorded"
SLOWDOWN = 1.03


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMedian:
    """A row of a recording: `slow` is the factor on the board's clock."""

    run: int
    session: int
    slow: float
    n: int
    min_us: float
    p50_us: float
    instructions_p50: int | None


def session_medians(
    board: OpenBoard, *, run: int, sessions: int, samples: int, slow: float
) -> Iterator[SessionMedian]:
    sample = board.checks.inputs[:1]
    emulator = board.declared.emulator
    for session in range(1, sessions + 1):
        if session > 1:
            board.dut.reset()
        measured = board.dut.measure(sample, samples)
        counts = None
        if emulator is not None:
            counts = measured.timer.instructions(measured.ticks, 2**emulator.icount_shift)
        micros = measured.timer.us(measured.ticks)
        yield SessionMedian(
            run=run,
            session=session,
            slow=slow,
            n=samples,
            min_us=float(micros.min()),
            p50_us=float(np.median(micros)),
            instructions_p50=None if counts is None else int(np.median(counts)),
        )


def recorded(board: str) -> dict[float, dict[int, list[SessionMedian]]]:
    """The sessions of a committed recording, by factor and run."""
    rows: dict[float, dict[int, list[SessionMedian]]] = {}
    for row in read_rows(FOLDER / f"{board}.csv", SessionMedian).rows:
        rows.setdefault(row.slow, {}).setdefault(row.run, []).append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    path = options.output / f"{options.board}.csv"
    for run in range(1, options.runs + 1):
        slow = SLOWDOWN if options.board == "virtual" and run % 2 == 0 else 1.0
        port = f"virtual:?slow={slow}" if slow != 1.0 else None
        with opened(options.board, port=port) as board:
            rows = session_medians(
                board, run=run, sessions=options.sessions, samples=options.samples, slow=slow
            )
            append(path, list(rows))
    print(f"{options.runs} runs of {options.sessions} sessions in {path}")


if __name__ == "__main__":
    main()
