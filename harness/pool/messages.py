"""What a run and the process that holds its place say to each other: lines, of JSON one way."""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import asdict
from typing import Any

from harness.errors import HilError, PoolError
from harness.pool.answers import Shown

_CHUNK = 4096


class LetGo(Exception):
    """Standard input closed: the run is over, or was killed."""


class Lines:
    """Lines of standard input, without ever waiting longer than asked."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._rest = b""

    def read(self, timeout_s: float, *others: int) -> str | None:
        """The next line; None if none came in time, or one of the `others` can be read.

        Raises:
            LetGo: the input closed.
        """
        until = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._handle, *others], [], [], left)
            if self._handle in ready:
                data = os.read(self._handle, _CHUNK)
                if not data:
                    raise LetGo
                self._rest += data
            elif ready or not left:
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")


def tell(event: str, **more: Any) -> None:
    """One line to the run; nothing if the run is gone."""
    try:
        print(json.dumps({"event": event, **more}), flush=True)
    except (BrokenPipeError, OSError):
        pass


def failure(error: HilError) -> dict[str, str]:
    """An error as fields, from which the run makes it again."""
    kind = type(error).__name__ if isinstance(error, PoolError) else "PoolError"
    place, holder = getattr(error, "place", ""), getattr(error, "holder", "")
    return {
        "kind": kind,
        "what": error.what,
        "hint": error.hint,
        "place": place,
        "holder": holder,
    }


def shown_fields(shown: Shown) -> dict[str, Any]:
    """What the run is told of its place."""
    return {
        "place": shown.place.name,
        "serial": asdict(shown.serial),
        "power": shown.power,
    }
