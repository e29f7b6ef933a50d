"""What commands do on a full disk and on a read-only one.

python -m benchmarks.whole.disks

Each command runs in a mount namespace of its own (`unshare --mount --map-root-user`, no privilege
needed), with a small tmpfs where it writes: full to its last byte, or mounted again read-only.
Counted are tracebacks, hangs, wrong exit statuses, missing words and figures, files that were
there before and are harmed, and errors that blame something else.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import indent

import numpy as np

from benchmarks.whole.kills import traceback_in
from benchmarks.whole.wall import altered_model
from harness.project import find_project

DEADLINE_S = 180.0
HIL = (sys.executable, "-m", "harness.cli")
SIZE = "192k"
SPOILS = {
    "full": "cat /dev/zero > {disk}/filler 2> /dev/null",
    "read-only": "mount -o remount,ro {disk}",
}
SAYS = {
    "full": ("No space left on device",),
    # Where rows are to be appended the place is looked at before anything is run: wrong use.
    "read-only": ("Read-only file system", "cannot be written:"),
}
REFUSED = (2, 4)
"""Exit statuses of wrong use, of `hil` and of pytest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A command that writes to a disk: `{disk}` in its words and variables is the mount point.

    `prepared` are files that are copied there while there is room: the command adds to them or
    replaces them. `shows` must be printed however the disk is; `blames` must not. `statuses` are
    the exit statuses that tell the truth: where nothing has to be written, 0 is one of them.
    """

    name: str
    command: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    prepared: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    blames: tuple[str, ...] = ("cannot compile the model", "cannot run, because", "sick rig")
    statuses: tuple[int, ...] = (1,)

    @property
    def may_succeed(self) -> bool:
        """Where the disk is needed for nothing that was asked for."""
        return 0 in self.statuses


BENCH = (*HIL, "bench", "--board", "virtual", "--samples", "20")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--board", "virtual")
FIGURES = ("virtual", "us")

CASES = (
    Case(
        name="bench, CSV",
        command=(*BENCH, "--csv", "{disk}/latency.csv"),
        prepared=("latency.csv",),
        shows=FIGURES,
    ),
    Case(
        name="bench, new CSV",
        command=(*BENCH, "--csv", "{disk}/new/latency.csv"),
        shows=FIGURES,
    ),
    Case(
        name="bench, report",
        command=(*BENCH, "--csv", "{room}/latency.csv", "--report", "{disk}/report.html"),
        prepared=("report.html",),
        shows=FIGURES,
    ),
    Case(
        name="pytest, CSV",
        command=(*PYTEST, "--hil-csv={disk}/latency.csv", "--junitxml={room}/junit.xml"),
        prepared=("latency.csv",),
    ),
    Case(
        name="pytest, report",
        command=(
            *PYTEST,
            "--hil-csv={room}/latency.csv",
            "--hil-report={disk}/report.html",
            "--junitxml={room}/junit.xml",
        ),
        prepared=("report.html",),
        shows=("passed",),
    ),
    Case(
        name="report",
        command=(*HIL, "report", "{room}/latency.csv", "--output", "{disk}/report.html"),
        prepared=("report.html",),
    ),
    Case(
        name="baseline save",
        command=(
            *(*HIL, "baseline", "save", "--csv", "{room}/latency.csv"),
            *("--baseline", "{disk}/baselines.csv", "--replace"),
        ),
        prepared=("baselines.csv",),
    ),
    Case(
        name="train",
        command=(*HIL, "train", "sine", "--if-changed", "--output", "{disk}/artifacts"),
    ),
    Case(
        name="build, state folder",
        command=(*HIL, "build", "--board", "qemu-m4", "--model", "{room}/never.tflite"),
        variables=(("HIL_STATE_DIR", "{disk}/state"),),
        statuses=(10,),
    ),
    Case(
        name="bench, state folder",
        command=(*BENCH, "--csv", "{room}/latency.csv"),
        variables=(("HIL_STATE_DIR", "{disk}/state"),),
        shows=FIGURES,
        statuses=(0, 1),
    ),
    Case(
        name="evaluate, journal",
        command=(*HIL, "evaluate", "sine", "--board", "virtual", "--data", "{room}/x.npy"),
        variables=(("HIL_STATE_DIR", "{disk}/state"),),
        blames=("cannot compile the model", "cannot run, because"),
        statuses=(10,),
    ),
    Case(
        name="bench, lock folder",
        command=(*BENCH, "--csv", "{room}/latency.csv"),
        variables=(("HIL_LOCK_DIR", "{disk}/locks"),),
        statuses=(0, 1),
    ),
    Case(
        name="bench, temporary files",
        command=(*HIL, "bench", "--board", "qemu-m4", "--samples", "20", "--csv", "{room}/l.csv"),
        variables=(("TMPDIR", "{disk}"),),
        statuses=(0, 1),
    ),
)
"""Every command that writes, and every place that it writes to."""


def script(case: Case, kind: str, disk: Path, room: Path) -> str:
    """Shell text that makes the disk, fills or closes it, and runs the command on it.

    What is then on the disk is copied to `room/left`: it goes with the namespace.
    """
    at = shlex.quote(str(disk))
    words = [word.format(disk=disk, room=room) for word in case.command]
    copies = [f"cp {shlex.quote(str(room / name))} {at}/{name}" for name in case.prepared]
    lines = [
        f"mount -t tmpfs -o size={SIZE} none {at} || exit 99",
        *copies,
        SPOILS[kind].format(disk=at),
        shlex.join(words),
        "status=$?",
        f"rm -f {at}/filler",
        f"cp -r {at} {shlex.quote(str(room / 'left'))}",
        "exit $status",
    ]
    return "\n".join(lines)


def harmed(case: Case, room: Path) -> Iterator[str]:
    """Files that are less than they were: each must still begin with what it held."""
    for name in case.prepared:
        left = room / "left" / name
        before = (room / name).read_bytes()
        if not left.is_file() or not left.read_bytes().startswith(before):
            yield f"{name} is harmed"


def problems(case: Case, kind: str, status: int, text: str) -> Iterator[str]:
    """What is wrong with how a command took its disk."""
    if traceback_in(text):
        yield "traceback"
    refused = status in REFUSED and "cannot be written: " in text
    if status not in case.statuses and not refused:
        yield f"exit status {status}"
    if not any(said in text for said in SAYS[kind]) and not (status == 0 and case.may_succeed):
        yield f"does not say {' or '.join(SAYS[kind])!r}"
    if refused:
        return
    yield from (f"does not show {word!r}" for word in case.shows if word not in text)
    yield from (f"says {word!r}" for word in case.blames if word in text)


def run(case: Case, kind: str, room: Path) -> list[str]:
    """Run one command on one disk, in an existing folder with the files that it needs."""
    disk = room / "disk"
    disk.mkdir()
    variables = {name: text.format(disk=disk, room=room) for name, text in case.variables}
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script(case, kind, disk, room)],
            cwd=find_project().root,
            env={**os.environ, "COLUMNS": "100", **variables},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        return ["hangs"]
    if done.returncode == 99:
        raise SystemExit(f"no disk can be mounted here: {done.stderr.strip()}")
    text = done.stdout + done.stderr
    found = [*problems(case, kind, done.returncode, text), *harmed(case, room)]
    if found:
        (room / "output.txt").write_text(text)
    return found


def prepare(room: Path) -> None:
    """The files that commands read or add to: a CSV, a report, a baseline, inputs, a model."""
    csv, page = room / "latency.csv", room / "report.html"
    for command in (
        [*BENCH, "--csv", str(csv)],
        [*HIL, "report", str(csv), "--output", str(page)],
        [*HIL, "baseline", "save", "--csv", str(csv), "--baseline", str(room / "baselines.csv")],
    ):
        subprocess.run(command, cwd=find_project().root, check=True, capture_output=True)
    np.save(room / "x.npy", np.linspace(0, 6, 50, dtype=np.float32).reshape(50, 1))
    altered_model(room, 0).rename(room / "never.tflite")


def try_disks(
    cases: tuple[Case, ...] = CASES, *, show: Callable[[str], None] = print
) -> Counter[str]:
    """Run every command on a full and on a read-only disk; counts of what went wrong, by kind."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        files = Path(name, "files")
        files.mkdir()
        prepare(files)
        for number, (case, kind) in enumerate(product(cases, SPOILS)):
            room = Path(name, str(number))
            shutil.copytree(files, room)
            found = run(case, kind, room)
            show(f"{case.name}, {kind}: {', '.join(found) or 'ok'}")
            if found:
                show(indent((room / "output.txt").read_text()[-2000:], "    "))
            counts.update(commands=1)
            counts.update(problems=len(found))
    return counts


def main() -> int:
    counts = try_disks()
    print(f"{counts['commands']} commands on bad disks: {counts['problems']} problems")
    return int(bool(counts["problems"]))


if __name__ == "__main__":
    sys.exit(main())
