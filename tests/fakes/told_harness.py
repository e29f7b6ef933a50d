"""A git folder whose commits carry a harness that says and leaves what the commit tells it to.

A step runs it as it runs the harness of any commit: a process of its own, in a work tree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fakes.history import run_git
from fakes.measured import rows

from harness.measure.csvfile import content_of
from harness.measure.tables import LatencyRow

_MAIN = """\
import json, pathlib, shutil, sys, time

def main():
    here = pathlib.Path(__file__).parents[2]
    told = json.loads((here / "told.json").read_text())
    print(told["said"], flush=True)
    (here / "left-by-a-step").write_text("x")
    time.sleep(told["sleep_s"])
    if "--csv" in sys.argv and told["measured"]:
        shutil.copy(here / "latency.csv", sys.argv[sys.argv.index("--csv") + 1])
    return told["status"]
"""


def commit(
    folder: Path,
    subject: str,
    *,
    count: int = 1000,
    mismatches: int = 0,
    status: int = 0,
    said: str = "",
    measured: bool = True,
    sleep_s: float = 0.0,
) -> str:
    """One more commit, on whatever is checked out; its id.

    Args:
        count: instructions of an invoke.
        status: exit status of the command that measures it.
        said: its output.
        measured: whether it leaves a CSV.
    """
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        run_git(folder, "init", "-q", "-b", "main")
        (folder / "harness" / "cli").mkdir(parents=True)
        (folder / "harness" / "__init__.py").write_text("")
        (folder / "harness" / "cli" / "__init__.py").write_text(_MAIN)
        (folder / "platformio.ini").write_text("")
    told = {"said": said, "status": status, "measured": measured, "sleep_s": sleep_s}
    (folder / "told.json").write_text(json.dumps(told))
    measured_rows = rows(
        "run", (100.0,), instructions_p50=count, mismatches=mismatches, samples=256, emulated=True
    )
    (folder / "latency.csv").write_bytes(content_of(measured_rows, LatencyRow))
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return run_git(folder, "rev-parse", "HEAD")


def history(folder: Path, counts: Sequence[int]) -> list[str]:
    """Commits that count so many instructions, one after the other."""
    return [commit(folder, f"count {count}", count=count) for count in counts]
