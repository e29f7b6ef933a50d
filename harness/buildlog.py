"""A build run to its end: its log kept, and counted as it grows to say how far the build is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.progress import Progress

_STEP = re.compile(r"(Compiling|Archiving|Indexing|Linking|Building|Checking) ")
"""How PlatformIO begins the line of each thing that it makes."""


def run_logged(
    command: list[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    progress: Progress,
    what: str,
) -> tuple[int, str]:
    """Run a build; return its status and what it said, which `log` keeps.

    How many steps it takes nobody says before, so it is taken for as long as the longest that
    succeeded here, whose count lies beside the log. It is killed when the wait is interrupted.
    """
    counted = log.with_suffix(".steps")
    longest = _read_count(counted)
    said: list[str] = []
    steps = 0
    with (
        progress(what, longest) as advance,
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                if _STEP.match(line):
                    steps += 1
                    advance(1)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    text = "".join(said)
    log.write_text(text)
    if status == 0 and steps > (longest or 0):
        counted.write_text(f"{steps}\n")
    return status, text


def _read_count(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
