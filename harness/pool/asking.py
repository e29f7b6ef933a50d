"""What a run asks the process that holds its place: started, spoken to, and left."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import (
    CoordinatorGone,
    ExporterGone,
    PlaceBusy,
    PlaceLost,
    PlaceNotFound,
    PoolError,
    Where,
)
from harness.pool.answers import Resource
from harness.pool.labgrid import CALL_S
from harness.process import defer_signals, end_group, start
from harness.terminal import say
from harness.text import printable

ENDS_S = 10.0
"""How long the end of a run waits for the place to be let go of, which takes about a second."""

_ERRORS = {
    kind.__name__: kind
    for kind in (PoolError, CoordinatorGone, PlaceNotFound, PlaceBusy, PlaceLost, ExporterGone)
}
_MOST_LINE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the holder said of the place."""

    place: str
    serial: Resource
    power: bool


def start_holder() -> subprocess.Popen[bytes]:
    """Start the process."""
    root = str(Path(__file__).parents[2])
    return start(
        [sys.executable, "-m", "harness.pool.holder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        environment={**os.environ, "PYTHONPATH": root},
    )


def send(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Send it a line."""
    assert process.stdin is not None, "started with a pipe"
    with suppress(OSError):  # That it is gone is seen when its answer is read.
        process.stdin.write(line)


def answer(
    process: subprocess.Popen[bytes], events: tuple[str, ...], timeout_s: float, where: Where
) -> Mapping[str, Any]:
    """The holder's next line with one of these events; what it says of waiting is said meanwhile.

    Raises:
        PoolError: it failed, ended, or did not answer in time.
    """
    until = time.monotonic() + timeout_s
    while True:
        said = _line(process, until, where)
        event = said.get("event")
        if event == "waiting":
            say(f"{where.board}: {printable(str(said.get('text')), 600)}")
        elif event == "failed":
            raise error_of(said["failure"], where)
        elif event in events:
            return said


def _line(process: subprocess.Popen[bytes], until: float, where: Where) -> Mapping[str, Any]:
    assert process.stdout is not None, "started with a pipe"
    text = b""
    while not text.endswith(b"\n"):
        left = until - time.monotonic()
        if left < 0 or not select.select([process.stdout], [], [], left)[0]:
            raise PoolError("the process that holds the place does not answer", where=where)
        data = process.stdout.read(1)  # Unbuffered, so that select sees what is left.
        text += data
        if not data or len(text) > _MOST_LINE:
            raise PoolError(
                "the process that holds the place of a pool has ended",
                where=where,
                hint="If the place is still held: labgrid-client -v places, and release it.",
            )
    said = json.loads(text)
    return said if isinstance(said, dict) else {}


def end(process: subprocess.Popen[bytes]) -> None:
    """Leave the holder, which lets go by itself and is then gone: killing it would keep the place.

    One that has let go is waited for.
    """
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    with suppress(subprocess.TimeoutExpired), defer_signals():
        process.wait(ENDS_S)
        end_group(process)


class ByHolder:
    """Asks the process that holds a place how it is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def check(self, where: Where) -> Told:
        """How the place is now.

        Raises:
            CoordinatorGone, PlaceLost, ExporterGone: it is not this run's, or has no board.
        """
        send(self._process, b"check\n")
        said = answer(self._process, ("checked",), CALL_S + 5.0, where)
        if "failure" in said:
            raise error_of(said["failure"], where)
        return told_of(said["shown"])

    def trouble(self, where: Where) -> PoolError | None:
        """What the coordinator has said of the place by itself.

        Raises:
            PoolError: the process has ended.
        """
        send(self._process, b"trouble\n")
        said = answer(self._process, ("told",), CALL_S + 5.0, where)
        return error_of(said["failure"], where) if "failure" in said else None


def told_of(said: Mapping[str, Any]) -> Told:
    """What its answer says of the place."""
    return Told(place=said["place"], serial=Resource(**said["serial"]), power=said["power"] is True)


def error_of(said: Mapping[str, str], where: Where) -> PoolError:
    """The error that its answer says."""
    kind = _ERRORS.get(said["kind"], PoolError)
    if said["place"] and said["place"] != str(where.port).removeprefix("labgrid:"):
        where = replace(where, port=f"labgrid:{said['place']}")
    return kind(
        said["what"], where=where, hint=said["hint"], place=said["place"], holder=said["holder"]
    )
