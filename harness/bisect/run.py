"""Runs `hil` on a step's work tree, in a process of its own, and keeps what it left."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bisect.figures import CSV, ELF, LOG, Step
from harness.outcome import Outcome
from harness.process import run
from harness.settings import SETTINGS

STEP_S = 3600.0
"""No step takes longer, if nothing else is said; a build that fetches a core takes minutes."""

_ELF = re.compile(r"^(/.*firmware\.elf)$", re.MULTILINE)
_OURS = (
    *("--profile", "--functions"),
    *("--csv", "--report", "--baseline", "--track", "--sessions"),
)
"""Settings that the search itself has for a step."""


def takes(command: str) -> tuple[str, ...]:
    """The options of a command of `hil` that a user may give for its steps."""
    every = (setting.hil_flag for setting in SETTINGS if command in setting.commands)
    return tuple(option for option in every if option not in _OURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a step is run: command line, environment, and the folder for what it leaves."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    timeout_s: float = STEP_S


def begin(folder: Path) -> None:
    """An empty folder for a step. An ini file keeps settings of other projects away from it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")


def run_step(order: Order, times: int = 1) -> Step:
    """Run a step, and keep its firmware if it built some; more runs append to the same CSV.

    The note that makes the step whole is not written yet.
    """
    begun = time.monotonic()
    status = 0
    for _ in range(times):
        status = _run(order)
        if status not in (0, Outcome.WRONG.exit_status):
            break
    step = Step(folder=order.folder, status=status, seconds=time.monotonic() - begun)
    if (found := _ELF.findall(step.said)) and not (order.folder / CSV).exists():
        shutil.copyfile(found[-1], order.folder / ELF)
        step = replace(step)
    return step


def _run(order: Order) -> int:
    log = order.folder / LOG
    try:
        return run(
            order.command,
            log,
            timeout_s=order.timeout_s,
            environment=order.environment,
            folder=order.folder,
        )
    except subprocess.TimeoutExpired:
        with log.open("a") as said:
            said.write(f"\nhil: the step took longer than {order.timeout_s:g} s\n")
        return Outcome.SICK.exit_status


def unjudged(folder: Path, why: str) -> Step:
    """A step that could not even be run, with the reason as its log."""
    begin(folder)
    (folder / LOG).write_text(f"hil: {why}\n")
    return Step(folder=folder, status=Outcome.SICK.exit_status)


def prune(steps: Path, most: int) -> None:
    """Remove the steps of earlier searches beyond `most`, the oldest first."""
    folders = sorted(steps.glob("*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[: max(0, len(folders) - most)]:
        shutil.rmtree(folder, ignore_errors=True)
