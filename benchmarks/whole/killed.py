"""Commands that write, killed at random moments, and what is left of their files.

python -m benchmarks.whole.killed [--kills N] [--seed N]

Builds are in benchmarks.whole.kills. Here it is bench, pytest, train, report and baseline: each
starts in a folder with the files of an earlier run, and gets SIGKILL, SIGTERM, SIGINT or SIGHUP.
Counted are rows that were lost, files that were harmed, JUnit files that an orderly end did not
write, processes and temporary files left, tracebacks and hangs.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whole.kills import COMMAND_S, ROOT, Killed, hear_interrupts, hil, kill, traceback_in
from harness.errors import HilError
from harness.measure.frames import read_rows
from harness.measure.tables import LatencyRow
from harness.model.artifact import load_artifact

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TABLES = ("latency.csv", "samples.csv", "outputs.csv", "memory.csv")
INTERRUPTED = ("!! KeyboardInterrupt", "Terminated: terminated")
"""By these pytest says that it heard the signal; from then on it owes a JUnit file."""

Problems = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command in a room with files; `look` yields what is wrong there after a kill.

    `longest_s` is about how long it takes: kills come within that time.
    """

    name: str
    command: Callable[[Path], list[str]]
    look: Callable[[Path, Path, Killed], Problems]
    longest_s: float


def _bench(room: Path) -> list[str]:
    csv = str(room / "latency.csv")
    return hil("bench", "--board", "virtual", "qemu-m4", "--samples", "200", "--csv", csv)


def _pytest(room: Path) -> list[str]:
    options = [f"--hil-csv={room / 'latency.csv'}", f"--junitxml={room / 'junit.xml'}"]
    report = f"--hil-report={room / 'report.html'}"
    boards = ["--board", "virtual", "--board", "qemu-m4"]
    quiet = ["-q", "-p", "no:cacheprovider", f"--basetemp={room / 'pytest'}"]
    return [sys.executable, "-m", "pytest", *quiet, *boards, *options, report, "harness/suite"]


def _train(room: Path) -> list[str]:
    return hil("train", "sine", "--variant", "1-16-1", "--output", str(room / "artifacts"))


def _report(room: Path) -> list[str]:
    return hil("report", str(room / "latency.csv"), "--output", str(room / "report.html"))


def _baseline(room: Path) -> list[str]:
    files = ["--csv", str(room / "latency.csv"), "--baseline", str(room / "baselines.csv")]
    return hil("baseline", "save", "--replace", *files)


def _rows(path: Path) -> int:
    return len(read_rows(path, LatencyRow).rows)


def _appended(before: Path, room: Path, killed: Killed) -> Problems:
    """Each table begins with what it held, and what stands there can be read and appended to."""
    for name in TABLES:
        old, new = (before / name).read_bytes(), (room / name).read_bytes()
        if not new.startswith(old):
            yield "files harmed", name
    rows = _rows(room / "latency.csv")
    if rows < _rows(before / "latency.csv"):
        yield "rows lost", f"{rows} rows are left"
    csv = str(room / "latency.csv")
    again = ["bench", "--board", "virtual", "--samples", "20", "--csv", csv]
    done = subprocess.run(
        hil(*again), cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    # Another run on one session: its own row, and that of the whole.
    if done.returncode or _rows(room / "latency.csv") < rows + 2:
        yield "rows lost", f"the next run: {done.stderr[-300:]}"


def _tested(before: Path, room: Path, killed: Killed) -> Problems:
    yield from _appended(before, room, killed)
    yield from _whole_page(before, room, killed)
    owed = any(text in killed.said for text in INTERRUPTED)
    if owed and not (room / "junit.xml").is_file():
        yield "files harmed", "no JUnit file after an orderly end"


def _whole_page(before: Path, room: Path, killed: Killed) -> Problems:
    text = (room / "report.html").read_text()
    if not text.rstrip().endswith("</html>"):
        yield "files harmed", "report.html is torn"


def _whole_artifact(before: Path, room: Path, killed: Killed) -> Problems:
    folder = room / "artifacts" / "sine-1-16-1"
    if not folder.exists():
        return
    try:
        load_artifact(folder)
    except HilError as error:
        yield "files harmed", str(error)


def _kept_baselines(before: Path, room: Path, killed: Killed) -> Problems:
    if _rows(room / "baselines.csv") < _rows(before / "baselines.csv"):
        yield "rows lost", "baselines.csv"


TASKS = (
    Task(name="bench", command=_bench, look=_appended, longest_s=4.0),
    Task(name="pytest", command=_pytest, look=_tested, longest_s=9.0),
    Task(name="train", command=_train, look=_whole_artifact, longest_s=12.0),
    Task(name="report", command=_report, look=_whole_page, longest_s=3.0),
    Task(name="baseline", command=_baseline, look=_kept_baselines, longest_s=1.2),
)


class Rooms:
    """Folders in which commands are killed; each is a copy of one with the files of a run.

    Args:
        folder: empty; holds the state, temporary files and locks of all commands.
    """

    def __init__(self, folder: Path, tasks: Sequence[Task] = TASKS) -> None:
        self._folder = folder
        self._before = folder / "before"
        self._temporary = folder / "tmp"
        for made in (self._before, self._temporary):
            made.mkdir()
        self._environment: Mapping[str, str] = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HIL_STATE_DIR": str(folder / "state"),
            "HIL_LOCK_DIR": str(folder / "locks"),
            "TMPDIR": str(self._temporary),
            "COLUMNS": "100",
        }
        self._tasks = tasks
        self._prepare()
        self._known = set(self._temporary.iterdir())
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []

    def _prepare(self) -> None:
        for command in (_bench, _bench, _report, _baseline):
            words = command(self._before)
            if command is _baseline:
                words.remove("--replace")
            subprocess.run(words, cwd=ROOT, env=self._environment, capture_output=True, check=True)

    def try_kill(self, task: Task, number: signal.Signals, after_s: float) -> Killed:
        """Kill a command once, look, and count what is wrong."""
        room = self._folder / "room"
        shutil.rmtree(room, ignore_errors=True)
        shutil.copytree(self._before, room)
        what = f"{task.name} {number.name} after {after_s:.2f} s"
        try:
            killed = kill(task.command(room), number, after_s, environment=self._environment)
        except subprocess.TimeoutExpired:
            self._count(what, "hangs", shlex.join(task.command(room)))
            raise
        self.counts["kills"] += 1
        self.counts["in time"] += killed.in_time
        for process in killed.left:
            self._count(what, "processes left", process)
        if traceback_in(killed.said):
            self._count(what, "tracebacks", killed.said[-3000:])
        for kind, detail in task.look(self._before, room, killed):
            self._count(what, kind, detail)
        for path in sorted(set(self._temporary.iterdir()) - self._known):
            self._known.add(path)
            self._count(what, "temporary files left", path.name)
        return killed

    def _count(self, what: str, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.told.append(f"{what}: {kind}: {detail}")


def kill_runs(
    kills: int, seed: int, show: Callable[[str], None] = print
) -> tuple[Counter[str], list[str]]:
    """Kill commands in turn; counts of what went wrong by kind, and each in words."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="killed-") as name:
        rooms = Rooms(Path(name))
        for count in range(kills):
            task = TASKS[count % len(TASKS)]
            number, after_s = chance.choice(SIGNALS), chance.uniform(0.0, task.longest_s)
            told = len(rooms.told)
            killed = rooms.try_kill(task, number, after_s)
            when = f"after {after_s:.2f} s" if killed.in_time else "ended before"
            show(f"{count + 1}: {task.name} {number.name} {when}: status {killed.status}")
            for line in rooms.told[told:]:
                show(f"  {line}")
        return rooms.counts, rooms.told


def wrong(counts: Mapping[str, int]) -> int:
    """How many of what must not be."""
    return sum(number for kind, number in counts.items() if kind not in ("kills", "in time"))


def main() -> int:
    """Kill commands; 0 if nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    hear_interrupts()
    counts, _ = kill_runs(options.kills, options.seed)
    print(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    return 1 if wrong(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
