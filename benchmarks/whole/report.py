"""Time of a report about many boards and nights, by stage, and against another checkout.

python -m benchmarks.whole.report
python -m benchmarks.whole.report --against DIR     (a checkout with its own .venv)
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from harness.measure.csvfile import append, beside
from harness.measure.tables import LatencyRow

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from fakes import nights  # noqa: E402

# Runs in a process of its own, of either checkout: before this benchmark all modules were one
# package without folders.
CHILD = """
import importlib, sys, time
from datetime import datetime, timezone
from pathlib import Path

start = time.perf_counter()

def module(*names):
    for name in names:
        try:
            return importlib.import_module("harness." + name)
        except ImportError as error:
            assert error.name.startswith("harness"), error
    raise ImportError(names)

page, project = module("report.page", "page"), module("project")
registry, reading = module("board.registry", "board"), module("measure.frames", "evidence")
spent = {}

def timed(where, name, stage):
    inner = getattr(where, name)
    def outer(*args, **named):
        begin = time.perf_counter()
        try:
            return inner(*args, **named)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - begin
    setattr(where, name, outer)

if hasattr(reading, "Tables"):
    timed(reading.Tables, "add_source", "reading")
    timed(reading.Tables, "frame", "reading")
else:
    timed(reading, "read", "reading")
timed(page, "gather", "gathering")
timed(page, "compose", "figures")
timed(page, "render", "rendering")
timed(page, "_write", "writing")
source, output = map(Path, sys.argv[1:3])
page.write_report(
    source,
    output,
    now=datetime(2027, 2, 1, tzinfo=timezone.utc),
    artifacts=project.find_project().artifact_roots,
    registry=registry.load_registry(),
)
spent["grouping"] = spent.pop("gathering") - spent["reading"]
whole = time.perf_counter() - start
spent["importing and the rest"] = whole - sum(spent.values())
for stage, seconds in {"whole": whole, **spent}.items():
    print(f"{stage}: {seconds:.3f}")
"""


def board_rows(board: int, night: int, sessions: int) -> list[LatencyRow]:
    """One night of one board: every other one is emulated."""
    make = nights.emulated_board if board % 2 else nights.real_board
    *some, whole = make(night)
    middle = [
        replace(some[number % len(some)], session_number=number + 1, session=f"s{number}")
        for number in range(sessions)
    ]
    names = {"board": f"board{board:02}", "run": f"{board:04x}{night:08x}"}
    return [replace(row, **names) for row in (*middle, replace(whole, sessions=sessions))]


def make_nights(folder: Path, options: argparse.Namespace) -> None:
    """The CSV files of all boards, those of a night in a folder."""
    for night in range(options.nights):
        csv = folder / f"night{night:03}" / "latency.csv"
        rows = [board_rows(board, night, options.sessions) for board in range(options.boards)]
        for name, table in (
            ("latency", lambda of: of),
            ("samples", lambda of: nights.sample_rows(of, options.samples)),
            ("outputs", lambda of: nights.output_rows(of[-1])),
            ("layers", lambda of: nights.layer_rows(of[-1])),
            ("memory", lambda of: nights.memory_rows(of[-1])),
        ):
            append(
                beside(csv, name) if name != "latency" else csv,
                [row for of_board in rows for row in table(of_board)],
            )


def report(python: str, checkout: Path, source: Path) -> dict[str, float]:
    """Seconds of each stage of a report that a checkout writes, in a fresh process."""
    child = source / "child.py"
    child.write_text(CHILD)
    done = subprocess.run(
        [python, str(child), str(source), str(source / "report.html")],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (line.rpartition(": ") for line in done.stdout.splitlines())
    return {stage: float(seconds) for stage, _, seconds in lines}


def fastest(rounds: list[dict[str, float]]) -> dict[str, float]:
    return min(rounds, key=lambda stages: stages["whole"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in (("boards", 20), ("nights", 60), ("sessions", 5), ("samples", 120)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="the fastest counts")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    options = parser.parse_args()
    sides = {"this": (sys.executable, ROOT)}
    if options.against:
        other = options.against.resolve()
        sides[str(options.against)] = (str(other / ".venv" / "bin" / "python"), other)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_nights(folder, options)
        rounds = {side: [] for side in sides}
        for _ in range(options.rounds):
            for side, (python, checkout) in sides.items():
                rounds[side].append(report(python, checkout, folder))
    best = {side: fastest(times) for side, times in rounds.items()}
    for side, stages in best.items():
        print(f"{side}: " + ", ".join(f"{stage} {time:.2f} s" for stage, time in stages.items()))
    if options.against:
        ratio = best["this"]["whole"] / best[str(options.against)]["whole"]
        print(f"this takes {ratio:.2f} of the time")


if __name__ == "__main__":
    main()
