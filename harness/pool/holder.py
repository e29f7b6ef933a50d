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
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.board.place import PlaceSpec, parse_place
from harness.errors import (
    CoordinatorGone,
    ExporterGone,
    HilError,
    PlaceBusy,
    PlaceLost,
    PlaceNotFound,
    PoolError,
    RigError,
)
from harness.pool.answers import (
    Place,
    Resource,
    Shown,
    parse_places,
    parse_reservation,
    parse_shown,
    parse_token,
)
from harness.pool.labgrid import Identity, Labgrid
from harness.pool.messages import LetGo, Lines, failure, shown_fields, tell
from harness.process import end_group, start, supervised
from harness.text import printable, shortened

FIRST_S, EVERY_S = 2.0, 30.0
"""Who holds the place is said when a wait lasts this long, and then every so often."""

APPEARS_S = 15.0
"""For the board's port to be there once the place is held: the last run may have cycled power."""

RELEASE_S = 60.0
"""How long a release is tried again while the coordinator does not answer."""

_AGAIN_S = 2.0
_CHUNK = 4096


class Holder:
    """Holds one place.

    Args:
        timeout_s: how long to wait for it.
    """

    def __init__(
        self, labgrid: Labgrid, wanted: PlaceSpec, lines: Lines, *, timeout_s: float
    ) -> None:
        self._labgrid = labgrid
        self._wanted = wanted
        self._lines = lines
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._token = ""
        self._place = ""
        self._trouble: PoolError | None = None
        self._blind = False

    def hold(self) -> Shown:
        """Queue for the place, acquire it, and wait for its board's port.

        Raises:
            LetGo: the run ended meanwhile.
            PoolError: it is not to be had; what was had of it is still held.
        """
        while not self._place:
            if time.monotonic() > self._until:
                raise self._busy()
            self._reserve_and_acquire()
        return self._appeared()

    def watch(self) -> None:
        """Answer questions of the run, and look at the place when labgrid says that it changed.

        Raises:
            LetGo: the run is over.
        """
        with self._child("monitor") as monitor:
            with suppress(CoordinatorGone):  # Then it is tried again at the end.
                self._cancel()  # It was for the queue: while it stands nobody else gets the place.
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
                    elif self._place.encode() in news:
                        self._checked()
                if line == "trouble":
                    if self._blind:  # The coordinator was gone, and may have given it away.
                        self._checked()
                    tell("told", **({"failure": failure(self._trouble)} if self._trouble else {}))

    def let_go(self) -> PoolError | None:
        """Cancel and release whatever is held; returns what went wrong before or with it."""
        try:
            self._cancel()
            if self._place:
                self._release()
        except PoolError as error:
            self._trouble = self._trouble or error
        return self._trouble

    @property
    def holds(self) -> bool:
        """Whether there is a reservation or a place to let go of."""
        return bool(self._token or self._place)

    def try_on(self) -> None:
        """Let go again and again, where the coordinator did not answer; nobody waits for it."""
        until = time.monotonic() + RELEASE_S
        while self.holds and time.monotonic() < until:
            time.sleep(_AGAIN_S)
            self.let_go()

    def _fitting(self) -> list[Place]:
        places = parse_places(self._labgrid.call("-v", "places"))
        fitting = [place for place in places if place.fits(self._wanted)]
        if fitting:
            return fitting
        known = ", ".join(printable(place.name, 60) for place in places[:20]) or "none"
        raise PlaceNotFound(
            f"the pool has no place {self._wanted}",
            place=str(self._wanted),
            hint=f"Places of the coordinator at {self._labgrid.coordinator}: {known}",
        )

    def _reserve_and_acquire(self) -> None:
        said = self._labgrid.call("reserve", *self._wanted.filters)
        self._token = parse_token(said)
        _, place = parse_reservation(said)
        if not place:
            self._fitting()  # One that does not exist would be waited for.
            place = self._allocated()
        self._acquire(place)

    def _allocated(self) -> str:
        """The place that the coordinator gives to the reservation, when its turn has come."""
        say_at = time.monotonic() + FIRST_S
        # It asks every second, which keeps the reservation: one that nobody asks for expires.
        with self._child("wait", self._token) as waiting:
            assert waiting.stdout is not None, "started with a pipe"
            said, handle = "", waiting.stdout.fileno()
            while True:
                self._lines.read(0.5, handle)
                if select.select([handle], [], [], 0)[0]:
                    data = os.read(handle, _CHUNK)
                    said = (said + data.decode(errors="replace"))[-2 * _CHUNK :]
                    if not data:
                        return self._given(said, waiting)
                if time.monotonic() > self._until:
                    raise self._busy()
                if time.monotonic() > say_at:
                    tell("waiting", text=self._waiting())
                    say_at = time.monotonic() + EVERY_S

    def _given(self, said: str, waiting: subprocess.Popen[bytes]) -> str:
        state, place = parse_reservation(said)
        if place:
            return place
        # Its error says whether the coordinator is there; else the reservation went away.
        self._labgrid.call("-v", "places")
        raise PoolError(
            f"the pool gave up the reservation of {self._wanted}: {state or 'it is gone'}",
            place=str(self._wanted),
            hint="Was it cancelled by hand, or the coordinator started anew? Try again.",
        )

    def _acquire(self, place: str) -> None:
        try:
            self._labgrid.call("acquire", place=place)
        except CoordinatorGone:
            self._place = place  # It may have got through.
            raise
        except PoolError as error:
            self._refused(place, error)
            return
        self._place = place

    def _refused(self, place: str, error: PoolError) -> None:
        """Whoever acquires without a reservation may have been faster: then queue once more."""
        shown = self._shown(place)
        holder = shown.place.holder
        if holder == str(self._labgrid.identity):
            self._place = place
        elif holder:
            self._cancel()
        else:
            raise ExporterGone(
                f"place {place} cannot be acquired: {error.what}",
                place=place,
                hint="Is its exporter up, and does another place hold its board? labgrid-client "
                f"-p {place} show",
            )

    def _appeared(self) -> Shown:
        until = time.monotonic() + APPEARS_S
        while True:
            shown = self._shown(self._place)
            serial = shown.serial
            if serial.unfit:
                raise _unnamed(self._place, serial)
            if serial.available and serial.host and serial.port:
                return shown
            if time.monotonic() > until:
                raise _unplugged(self._place, serial.exporter)
            self._lines.read(0.5)

    def _shown(self, place: str) -> Shown:
        shown = parse_shown(self._labgrid.call("show", place=place))
        if shown.place.name != place:
            other = printable(shown.place.name, 60)
            raise PoolError(
                f"labgrid was asked about place {place}, and answered about {other!r}", place=place
            )
        return shown

    def _checked(self) -> dict[str, Any]:
        """How the place is now. That it was lost is remembered; a board may come and go."""
        try:
            shown = self._shown(self._place)
            self._refuse_lost(shown)
        except PoolError as error:
            if isinstance(error, PlaceLost):
                self._trouble = error
            return {"failure": failure(error)}
        return {"shown": shown_fields(shown)}

    def _refuse_lost(self, shown: Shown) -> None:
        place, holder = shown.place.name, shown.place.holder
        own = str(self._labgrid.identity)
        if holder != own:
            now = printable(holder, 100) or "nobody"
            raise PlaceLost(
                f"place {place} was taken from this run ({own}): {now} holds it now",
                place=place,
                holder=holder,
                hint="Somebody released it by hand, or the coordinator was started anew. What "
                "was measured since may have met another user's work. Run it again.",
            )
        gone = [item.exporter for item in shown.resources if item.orphaned]
        if gone:
            raise ExporterGone(
                f"exporter {printable(gone[0], 60)} of place {place} is gone from the pool",
                place=place,
                holder=holder,
                hint="Look at labgrid-exporter on that machine, its network and its power.",
            )
        if not shown.serial.available:
            raise _unplugged(place, shown.serial.exporter)

    def _cancel(self) -> None:
        token, self._token = self._token, ""
        if token:
            try:
                self._labgrid.call("cancel-reservation", token)
            except CoordinatorGone:
                self._token = token
                raise
            except PoolError:
                pass  # It is gone already.

    def _release(self) -> None:
        """Release the place if it is still this run's; labgrid says nothing where it is not."""
        place, own = self._place, str(self._labgrid.identity)
        if self._blind:
            self._checked()
        try:
            self._labgrid.call("release-from", own, place=place)
        except CoordinatorGone:
            raise
        except PoolError:
            self._place = ""
            self._refuse_lost(self._shown(place))
            raise
        self._place = ""

    def _busy(self) -> PlaceBusy:
        holders = self._told()
        return PlaceBusy(
            f"no place {self._wanted} was free within {self._timeout_s:g} s: {holders}",
            place=str(self._wanted),
            holder=holders,
            hint="Wait for it, or allow more time with --hil-pool-timeout or --pool-timeout. A "
            "place whose run is dead: labgrid-client -p PLACE release --kick",
        )

    def _waiting(self) -> str:
        left = self._until - time.monotonic()
        return f"waiting up to {left:.0f} s for place {self._wanted}: {self._told()}"

    def _told(self) -> str:
        now = datetime.now()
        told = [place.told(now) for place in self._fitting()]
        return shortened("; ".join(told), 400)

    @contextmanager
    def _child(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """The client, running; it ends with this process, also where that is killed."""
        theirs, ours = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, ours)
            try:
                process = start(
                    supervised(self._labgrid.command(*words), theirs),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    environment=dict(self._labgrid.environment),
                    inherited=(theirs,),
                )
            finally:
                os.close(theirs)
            assert process.stdout is not None, "started with a pipe"
            stack.enter_context(process.stdout)
            stack.callback(end_group, process)
            yield process


def _news(handle: int) -> bytes:
    """What labgrid's monitor says; empty at its end."""
    time.sleep(0.05)  # Its lines come one by one.
    return os.read(handle, 65536)


def _unplugged(place: str, exporter: str) -> ExporterGone:
    return ExporterGone(
        f"the board of place {place} is not there: exporter {printable(exporter, 60)} has no port "
        "of it",
        place=place,
        hint="Is it plugged in at that machine, and is its power on? labgrid-client -v resources",
    )


def _unnamed(place: str, serial: Resource) -> PoolError:
    exporter = printable(serial.exporter, 60)
    return PoolError(
        f"exporter {exporter} of place {place} gives {serial.unfit!r} as its machine, which is no "
        "machine's name",
        place=place,
        hint="Start labgrid-exporter there with --hostname and the name that others reach it by.",
    )


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
    holder = Holder(labgrid, parse_place(asked["place"]), lines, timeout_s=asked["timeout_s"])
    failed: HilError | None = None
    try:
        tell("held", **shown_fields(holder.hold()))
        holder.watch()
    except LetGo:
        pass
    except (PoolError, RigError) as error:
        failed = error
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
