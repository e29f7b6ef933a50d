"""Wall time of a whole pytest run on four emulated boards, against two. Firmware is built before.

python -m benchmarks.whole.boards
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
RIG = """
[boards.first]
kind = "qemu-m4"
[boards.second]
kind = "qemu-m3"
[boards.third]
kind = "qemu-m7"
[boards.fourth]
kind = "qemu-m4"
"""
TWO, FOUR = "first,second", "first,second,third,fourth"
WAYS = {"one process": ("-n0",), "-n auto": ("-nauto",), "a worker for each board": ("-n{count}",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of one run: on the wall, and of processor time in all its processes."""

    wall_s: float
    cpu_s: float


def run(folder: Path, boards: str, options: tuple[str, ...]) -> Cost:
    """The board tests on these boards, which must pass."""
    count = str(boards.count(",") + 1)
    command = [sys.executable, "-m", "pytest", "-q", "--board", boards]
    command += [f"--hil-rig={folder / 'rig.toml'}", f"--hil-csv={folder / 'latency.csv'}"]
    command += [option.format(count=count) for option in options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s=wall_s, cpu_s=cpu_s)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rig.toml").write_text(RIG)
        run(folder, FOUR, ("-n0",))
        costs: dict[tuple[str, str], list[Cost]] = {}
        for _ in range(ROUNDS):
            for way, options in WAYS.items():
                for boards in (TWO, FOUR):
                    costs.setdefault((way, boards), []).append(run(folder, boards, options))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS}")
    for way in WAYS:
        walls, cpus = [], []
        for boards in (TWO, FOUR):
            walls.append(statistics.median(cost.wall_s for cost in costs[way, boards]))
            cpus.append(statistics.median(cost.cpu_s for cost in costs[way, boards]))
        print(
            f"{way}: two boards {walls[0]:.2f} s, four {walls[1]:.2f} s, "
            f"ratio {walls[1] / walls[0]:.2f} (processor time {cpus[0]:.2f} s, {cpus[1]:.2f} s)"
        )


if __name__ == "__main__":
    main()
