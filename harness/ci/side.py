"""One checkout measured, by its own harness or by this one; what came of it is kept as a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.ci.tree import (
    ROOT,
    Wanted,
    bench_command,
    models_in,
    other_dependencies,
    own_harness,
    tflm_of,
)
from harness.errors import HilError, RigError
from harness.files import write_atomic
from harness.process import run
from harness.settings import SWAP
from harness.terminal import say
from harness.text import printable_lines

CSV, STATUS, LOG = "latency.csv", "side.json", "bench.log"
TIMED_OUT = 124
"""Exit status of a side that took too long, as `timeout` has it."""
_INSTALL_S, _HELP_S = 1800.0, 120.0
_MOST_SAID = 1500
_MOST_READ = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How measuring a checkout ended: the exit status of `hil bench`, and its last words.

    Status 1 may come of wrong outputs alone, which the CSV tells. `absent` are models that the
    checkout does not have.
    """

    status: int
    said: str = ""
    absent: tuple[str, ...] = ()


def measure_side(tree: Path, output: Path, wanted: Wanted, *, timeout_s: float, venv: Path) -> Side:
    """Measure a checkout into `output`/latency.csv and beside it; never raises for what fails.

    Args:
        venv: where an environment is made, if the checkout needs one of its own.
    """
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    try:
        side = _measured(tree.resolve(), output, wanted, timeout_s, venv.resolve())
    except HilError as error:
        say(f"hil: {error}")
        side = Side(status=2, said=str(error))
    write_atomic(output / STATUS, json.dumps(asdict(side)).encode())
    return side


def _measured(tree: Path, output: Path, wanted: Wanted, timeout_s: float, venv: Path) -> Side:
    models, absent = models_in(tree, wanted.models)
    tflm = tflm_of(tree, wanted.tflm)
    if not models:
        return Side(status=0, said="no model of it is there", absent=tuple(absent))
    hil, environment = _harness(tree, venv)
    known = _known(wanted.details, hil, environment, output)
    command = bench_command(hil, wanted, models, tflm, output / CSV, known)
    say(f"measuring {tree}: {' '.join(command[1:])}")
    log = output / LOG
    try:
        # In a folder of ours, where no ini file of the checkout adds settings.
        status = run(
            command,
            log,
            timeout_s=timeout_s,
            environment=environment,
            folder=output,
            on_line=lambda line: print(printable_lines(line), flush=True),
        )
    except subprocess.TimeoutExpired:
        status = TIMED_OUT
    return Side(status=status, said=_end_of(log), absent=tuple(absent))


def _harness(tree: Path, venv: Path) -> tuple[Path, Mapping[str, str]]:
    """The program `hil` for a checkout, and the environment that it runs in.

    Both sides have each model linked in: a harness of before models could be brought knows no
    other, and where a model lies is part of what is compared.
    """
    ours = Path(sys.executable).parent / "hil"
    kept = {name: value for name, value in os.environ.items() if not _hidden(name)}
    kept |= {SWAP.variable: "never"}
    if not own_harness(tree):
        return ours, kept | {"PYTHONPATH": str(ROOT)}
    if other_dependencies(tree):
        ours = _installed(tree, venv)
    return ours, kept | {"PYTHONPATH": str(tree)}


def _known(
    options: Sequence[str], hil: Path, environment: Mapping[str, str], output: Path
) -> list[str]:
    """Those of the options that this `hil` has."""
    log = output / "help.log"
    status = run(
        [str(hil), "bench", "--help"],
        log,
        timeout_s=_HELP_S,
        environment=environment,
        folder=output,
    )
    words = log.read_text(errors="replace").split() if status == 0 else []
    return [option for option in options if option in words]


def _hidden(name: str) -> bool:
    """What a checkout's own code has no use for: the runner's files of commands, and tokens."""
    return name.startswith("GITHUB_") or "TOKEN" in name.upper()


def _installed(tree: Path, folder: Path) -> Path:
    say(f"{tree} needs other packages: they are installed in {folder}")
    make = [str(ROOT / ".ci" / "make_venv.sh"), sys.executable, str(folder)]
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    for command in (make, [*pip, "--editable", f"{tree}[sim]"]):
        if status := run(command, None, timeout_s=_INSTALL_S):
            raise RigError(f"installing {tree} ended with status {status}")
    return folder / "bin" / "hil"


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _MOST_SAID))
        return file.read(_MOST_SAID).decode(errors="replace").strip()


def read_side(folder: Path) -> Side:
    """How a side ended; one that left no word of it was cut off."""
    try:
        with (folder / STATUS).open("rb") as file:
            found = json.loads(file.read(_MOST_READ))
        return Side(
            status=int(found["status"]),
            said=str(found["said"]),
            absent=tuple(map(str, found["absent"])),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Side(status=TIMED_OUT, said="it was cut off")
