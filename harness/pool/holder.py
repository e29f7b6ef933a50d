"""The process that holds a place of a pool for a run, and lets go of it however the run ends.

    python -m harness.pool.holder

reads what to hold as a line of JSON, and writes lines of JSON: `waiting`, `held`, `checked`,
`released` or `failed`. It lets go when its standard input closes, as it does when the run that
started it is killed. A line `check` asks the coordinator how the place is; `trouble`, answered by
`told`, asks what it has said of its own accord: that the place was taken away.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.board.place import parse_place
from harness.errors import CoordinatorGone, HilError, PlaceLost, PoolError, RigError
from harness.pool.answers import Shown
from harness.pool.labgrid import Identity, Labgrid
from harness.pool.looking import refuse_lost, shown_of, unnamed, unplugged
from harness.pool.messages import LetGo, Lines, failure, shown_fields, tell
from harness.pool.queue import Queue

APPEARS_S = 15.0
"""For the board's port to be there once the place is held: the last run may have cycled power."""

RELEASE_S = 60.0
"""How long a release is tried again while the coordinator does not answer."""

_AGAIN_S = 2.0


class Holder:
    """Holds the place that a queue gets."""

    def __init__(self, labgrid: Labgrid, queue: Queue, lines: Lines) -> None:
        self._labgrid = labgrid
        self._lines = lines
        self._queue = queue
        self._trouble: PoolError | None = None
        self._blind = False

    def hold(self) -> Shown:
        """Queue for the place, acquire it, and wait for its board's port.

        Raises:
            LetGo: the run ended meanwhile.
            PoolError: it is not to be had; what was had of it is still held.
        """
        self._queue.acquire()
        return self._appeared()

    def watch(self) -> None:
        """Answer questions of the run, and look at the place when labgrid says that it changed.

        Raises:
            LetGo: the run is over.
        """
        with self._labgrid.running("monitor") as monitor:
            with suppress(CoordinatorGone):  # Then it is tried again at the end.
                # It was for the queue: while it stands nobody else gets the place.
                self._queue.cancel()
            assert monitor.stdout is not None, "started with a pipe"
            handles = [monitor.stdout.fileno()]
            while True:
                line = self._lines.read(3600.0, *handles)
                if line == "check":
                    tell("checked", **self._checked())
                elif handles and select.select(handles, [], [], 0)[0]:
                    news = _news(handles[0])
                    if not news:
                        handles, self._blind = [], True
                    elif self._queue.place.encode() in news:
                        self._checked()
                if line == "trouble":
                    if self._blind:  # The coordinator was gone, and may have given it away.
                        self._checked()
                    tell("told", **({"failure": failure(self._trouble)} if self._trouble else {}))

    def let_go(self) -> PoolError | None:
        """Cancel and release whatever is held; returns what went wrong before or with it."""
        try:
            self._queue.cancel()
            if self._queue.place:
                self._release()
        except PoolError as error:
            self._trouble = self._trouble or error
        return self._trouble

    @property
    def holds(self) -> bool:
        """Whether there is a reservation or a place to let go of."""
        return bool(self._queue.reserved or self._queue.place)

    def try_on(self) -> None:
        """Let go again and again, where the coordinator did not answer; nobody waits for it."""
        until = time.monotonic() + RELEASE_S
        while self.holds and time.monotonic() < until:
            time.sleep(_AGAIN_S)
            self.let_go()

    def _appeared(self) -> Shown:
        until = time.monotonic() + APPEARS_S
        while True:
            shown = shown_of(self._labgrid, self._queue.place)
            serial = shown.serial
            if serial.unfit:
                raise unnamed(self._queue.place, serial)
            if serial.available and serial.host and serial.port:
                return shown
            if time.monotonic() > until:
                raise unplugged(self._queue.place, serial.exporter)
            self._lines.read(0.5)

    def _checked(self) -> dict[str, Any]:
        """How the place is now. That it was lost is remembered; a board may come and go."""
        try:
            shown = shown_of(self._labgrid, self._queue.place)
            refuse_lost(shown, self._labgrid.identity)
        except PoolError as error:
            if isinstance(error, PlaceLost):
                self._trouble = error
            return {"failure": failure(error)}
        return {"shown": shown_fields(shown)}

    def _release(self) -> None:
        """Release the place if it is still this run's; labgrid says nothing where it is not."""
        place, own = self._queue.place, str(self._labgrid.identity)
        if self._blind:
            self._checked()
        try:
            self._labgrid.call("release-from", own, place=place)
        except CoordinatorGone:
            raise
        except PoolError:
            self._queue.place = ""
            refuse_lost(shown_of(self._labgrid, place), self._labgrid.identity)
            raise
        self._queue.place = ""


def _news(handle: int) -> bytes:
    """What labgrid's monitor says; empty at its end."""
    time.sleep(0.05)  # Its lines come one by one.
    return os.read(handle, 65536)


def main() -> int:
    """Hold what standard input asks for, until it closes."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # The run ends it, by closing its input. What it starts would inherit an ignored signal.
        signal.signal(number, lambda number, frame: None)
    lines = Lines(sys.stdin.fileno())
    try:
        asked = json.loads(lines.read(10.0) or "{}")
    except LetGo:
        return 0
    host, user = asked["identity"]
    labgrid = Labgrid(
        program=Path(asked["program"]),
        coordinator=asked["coordinator"],
        identity=Identity(host=host, user=user),
    )
    place, timeout_s = parse_place(asked["place"]), asked["timeout_s"]
    holder = Holder(labgrid, Queue(labgrid, place, lines, timeout_s=timeout_s), lines)
    failed: HilError | None = None
    try:
        tell("held", **shown_fields(holder.hold()))
        holder.watch()
    except LetGo:
        pass
    except (PoolError, RigError) as error:
        failed = error
    except Exception as error:  # A bug of ours is to leave no place held.
        failed = PoolError(f"the process that holds the place failed: {error!r:.300}")
    trouble = holder.let_go()
    if failed is not None:
        tell("failed", failure=failure(failed))
    else:
        tell("released", **({"failure": failure(trouble)} if trouble else {}))
    if holder.holds and os.fork() == 0:  # Whoever started this one waits for it no longer.
        os.setsid()
        os.closerange(0, 3)
        holder.try_on()
        os._exit(0)
    return 0 if failed is None else 1


if __name__ == "__main__":
    sys.exit(main())
