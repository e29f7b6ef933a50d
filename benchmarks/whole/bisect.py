"""`hil bisect` over a made-up repository of 64 commits, and simulated searches with noise.

python -m benchmarks.whole.bisect [noise | QUESTION ...]

The repository holds this harness and a generated header of kernels. Of its commits one makes MEAN
3 % slower, one is wrong by 1 LSB for two inputs, one takes 512 bytes of RAM, three do not build and
one makes the board silent. A second one has its slower commit among those that do not build, a
third behind the silent one. Every search is made twice: the second builds nothing. On a shared
machine the seconds of the CPU say more than those of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from fakes.commits import noisy  # noqa: E402
from fakes.history import (  # noqa: E402
    BROKEN,
    LARGE,
    SILENT,
    SLOW,
    WRONG,
    Revision,
    make_history,
    revisions,
    state_of,
)

from harness.bisect.question import Slower  # noqa: E402
from harness.errors import RigError  # noqa: E402
from harness.text import table  # noqa: E402

SEARCHES = 100
NOISE = 0.02
SIZES = (0.03, 0.1, 0.3)
HIDDEN = (31, 32, 33)
"""Commits that can be the slower one where 31 and 32 do not build."""

QUESTIONS: dict[str, tuple[str, tuple[str, ...], int, tuple[int, ...]]] = {
    "operator": ("made", ("--operator", "MEAN"), 63, (SLOW,)),
    "whole": ("made", ("--by", "0.2%"), 63, (SLOW,)),
    "wrong": ("made", ("--wrong",), 63, (WRONG,)),
    "ram": ("made", ("--larger", "ram"), 63, (LARGE,)),
    "broken": ("made", ("--broken",), BROKEN[0], (BROKEN[0],)),
    "hidden": ("hidden", ("--by", "0.2%"), 63, HIDDEN),
    "silent": ("silent", ("--by", "0.2%"), 63, (SILENT, SILENT + 1)),
}
"""Repository, options, number of BAD, and the commits of the right answer."""


def slower_from(place: int) -> list[Revision]:
    """The same history with the slower commit elsewhere."""
    return [
        replace(made, nops=37 if number >= place else 0) for number, made in enumerate(revisions())
    ]


HISTORIES = {
    "made": revisions,
    "hidden": lambda: slower_from(32),
    "silent": lambda: slower_from(SILENT + 1),
}


def cpu_s() -> float:
    """Seconds that all programs started so far have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def builds(state: Path) -> set[tuple[str, int]]:
    """Firmware that is kept, and the logs that each build writes anew."""
    logs = (state / "bisect").glob("*/state/build/*/build.log")
    kept = (state / "bisect" / "firmware").glob("[0-9a-f]*")
    return {(str(path), path.stat().st_mtime_ns) for path in (*logs, *kept)}


def search(name: str, folder: Path, state: Path, ids: list[str]) -> list[tuple[str, ...]]:
    """Rows of a question, asked twice."""
    made, options, bad, right = QUESTIONS[name]
    words = [sys.executable, "-m", "harness.cli", "bisect", ids[0], ids[bad], *options]
    words += ["--json", "--in", str(folder), "--", "--model", "{tree}/model.tflite"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HIL_STATE_DIR": str(state)}
    before, rows = state_of(folder), []
    for time_asked in ("first", "again"):
        built, begun, cpu = builds(state), time.monotonic(), cpu_s()
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        took, computed = time.monotonic() - begun, cpu_s() - cpu
        assert done.returncode in (0, 1), done.stderr
        answer = json.loads(done.stdout)
        suspects = {one["commit"] for one in answer["changes"][0]["suspects"]}
        rows.append(
            (
                f"{name}, {time_asked}",
                "right" if suspects == {ids[number] for number in right} else "WRONG",
                str(len(suspects)),
                str(answer["judged"]),
                str(answer["skipped"]),
                f"{took:.0f}",
                f"{computed:.0f}",
                "yes" if builds(state) != built else "no",
            )
        )
    assert state_of(folder) == before, "the checkout was touched"
    return rows


def noise() -> None:
    """Simulated searches with the gate's statistics; seeded."""
    rows = []
    for size in SIZES:
        counts = {"found": 0, "range": 0, "cannot tell": 0, "wrong": 0}
        for seed in range(SEARCHES):
            place = random.Random(seed).randrange(1, 64)
            try:
                change = noisy(place, size, NOISE, seed).hunt(Slower(), only_first=True).changes[0]
            except RigError:
                counts["cannot tell"] += 1
                continue
            right = place in {int(one.id, 16) for one in change.suspects}
            counts["wrong" if not right else "found" if change.found else "range"] += 1
        rows.append((f"{100 * size:g} % slower", *map(str, counts.values())))
    print(f"noise of {100 * NOISE:g} %, 5 sessions, {SEARCHES} searches each")
    print(table(("", "found", "range", "cannot tell", "wrong"), rows))


def main() -> None:
    """Ask all questions, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("asked", nargs="*", choices=[[], "noise", *QUESTIONS], default=[])
    asked = parser.parse_args().asked or ["noise", *QUESTIONS]
    if "noise" in asked:
        noise()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="hil-bisect-") as place:
        histories: dict[str, list[str]] = {}
        for name in (item for item in asked if item != "noise"):
            made = QUESTIONS[name][0]
            folder = Path(place, made)
            if made not in histories:
                histories[made] = make_history(folder, HISTORIES[made]())
            rows += search(name, folder, Path(place, "state"), histories[made])
            print(" ".join(rows[-2]), "|", " ".join(rows[-1]), file=sys.stderr, flush=True)
    if rows:
        headings = ("question", "answer", "commits", "judged", "skipped", "s", "CPU s", "builds")
        print(table(headings, rows))


if __name__ == "__main__":
    main()
