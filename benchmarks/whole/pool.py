"""A queue of runs over the boards of a pool: is a board ever idle, is a lease ever lost?

    python -m benchmarks.whole.pool [--runs 10] [--boards 2] [--models 1] [--samples 100]

A real labgrid coordinator and exporter run on loopback, with virtual boards behind raw TCP ports.
All runs are `hil bench` as programs, started at once, each for any board with a tag, with so many
models (one, under several names). What labgrid's
own monitor tells of the places is the record: when each was acquired and released, and by whom.

Printed are, for each board, its runs and the time between the end of one and the begin of the next
(the hand-over: a release, one second of labgrid's polling, an acquire), and whether a run failed,
lost its place, or met another on its board.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.pool import Lab, labgrid_client
from fakes.served import SINE, far_board

from harness.measure.frames import load_frame
from harness.process import end_group, start

_CHANGED = re.compile(r"Place (\S+) changed:")
_ACQUIRED = re.compile(r" *acquired: (\S+) -> (\S+)")
MOST_S = 900.0


@dataclass
class Board:
    """What a place went through: who had it, from when to when."""

    spans: list[tuple[float, float, str]] = field(default_factory=list)
    since: float = 0.0
    holder: str = ""

    def changed(self, holder: str, now: float) -> None:
        if self.holder:
            self.spans.append((self.since, now, self.holder))
        self.holder = "" if holder == "None" else holder
        self.since = now

    @property
    def gaps(self) -> list[float]:
        return [later[0] - one[1] for one, later in zip(self.spans, self.spans[1:], strict=False)]


def watch(lines, boards: dict[str, Board]) -> None:
    """Follow labgrid's monitor."""
    place = ""
    for line in lines:
        now = time.monotonic()
        if line.startswith("Resource "):
            place = ""
        elif found := _CHANGED.match(line):
            place = found[1]
        elif (found := _ACQUIRED.match(line)) and place in boards:
            boards[place].changed(found[2], now)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--boards", type=int, default=2)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    client = labgrid_client()
    if isinstance(client, str):
        print(client)
        return 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = [f"board-{number}" for number in range(options.boards)]
        served = {name: stack.enter_context(far_board("socket"))[0].address for name in names}
        lab = stack.enter_context(Lab(client, folder, served, tags={"board": "virtual"}))
        boards = {name: Board() for name in names}
        monitor = start(
            [str(client), "monitor"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            environment={
                **os.environ,
                "LG_COORDINATOR": lab.address,
                "PYTHONUNBUFFERED": "1",
            },
        )
        stack.callback(end_group, monitor)
        lines = (line.decode(errors="replace") for line in iter(monitor.stdout.readline, b""))
        threading.Thread(target=watch, args=(lines, boards), daemon=True).start()
        time.sleep(3.0)
        begun = time.monotonic()
        statuses = run_all(options, lab, folder)
        took_s = time.monotonic() - begun
        time.sleep(2.0)
        # Of each run there is a row of its session, and one of the whole run.
        rows = len(load_frame(folder / "latency.csv")) // 2
    return report(options, boards, statuses, rows, took_s)


def run_all(options: argparse.Namespace, lab: Lab, folder: Path) -> list[int]:
    models = [folder / f"sine-{number}.tflite" for number in range(options.models)]
    for model in models:
        model.write_bytes(SINE.content)
    command = [
        *(sys.executable, "-m", "harness.cli", "bench", "--board", "virtual"),
        *("--port", "labgrid:board=virtual", "--coordinator", lab.address),
        *("--labgrid", str(lab.client), "--samples", str(options.samples)),
        *("--csv", str(folder / "latency.csv"), "--model", *map(str, models)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = []
    for number in range(options.runs):
        with (folder / f"{number}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
            )
    statuses = [process.wait(MOST_S) for process in processes]
    for number, status in enumerate(statuses):
        if status:
            print((folder / f"{number}.log").read_text()[-500:])
    return statuses


def report(
    options: argparse.Namespace,
    boards: dict[str, Board],
    statuses: list[int],
    rows: int,
    took_s: float,
) -> int:
    print(
        f"{options.runs} runs of {options.models} models over {options.boards} boards in "
        f"{took_s:.1f} s, {rows} rows"
    )
    for name, board in boards.items():
        held = sum(end - begin for begin, end, _ in board.spans)
        gaps = board.gaps
        mean = sum(gaps) / len(gaps) if gaps else 0.0
        print(
            f"  {name}: {len(board.spans)} runs, held {held:.1f} s; between two runs "
            f"{mean:.2f} s, at most {max(gaps, default=0.0):.2f} s"
        )
    spans = [span for board in boards.values() for span in board.spans]
    twice = len(spans) - len({holder for _, _, holder in spans})
    failed = sum(status != 0 for status in statuses)
    lost = options.runs - len(spans)
    print(f"  failed runs {failed}, leases lost {lost}, runs that had two boards {twice}")
    idle = [name for name, board in boards.items() if not board.spans]
    print(f"  boards that stood idle: {', '.join(idle) or 'none'}")
    return int(bool(failed or lost or twice or idle or rows != options.runs * options.models))


if __name__ == "__main__":
    sys.exit(main())
