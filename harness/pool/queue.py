"""A place of a pool that is queued for: reserved, allocated, and acquired."""

from __future__ import annotations

import os
import select
import subprocess
import time
from datetime import datetime

from harness.board.place import PlaceSpec
from harness.errors import CoordinatorGone, ExporterGone, PlaceBusy, PlaceNotFound, PoolError
from harness.pool.answers import Place, parse_places, parse_reservation, parse_token
from harness.pool.labgrid import Labgrid
from harness.pool.looking import shown_of
from harness.pool.messages import Lines, tell
from harness.text import printable, shortened

FIRST_S, EVERY_S = 2.0, 30.0
"""Who holds the place is said when a wait lasts this long, and then every so often."""

_CHUNK = 4096


class Queue:
    """Gets one place. `place` is what was acquired, empty before.

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
        self.place = ""

    @property
    def reserved(self) -> bool:
        """Whether there is a reservation to cancel."""
        return bool(self._token)

    def acquire(self) -> str:
        """Reserve the place, wait for it, and acquire it; returns its name.

        Raises:
            LetGo: the run ended meanwhile.
            PoolError: it is not to be had; what was had of it is still held.
        """
        while not self.place:
            if time.monotonic() > self._until:
                raise self._busy()
            self._reserve_and_acquire()
        return self.place

    def cancel(self) -> None:
        """Cancel the reservation, if there is one.

        Raises:
            CoordinatorGone: it does not answer; the reservation may still be there.
        """
        token, self._token = self._token, ""
        if token:
            try:
                self._labgrid.call("cancel-reservation", token)
            except CoordinatorGone:
                self._token = token
                raise
            except PoolError:
                pass  # It is gone already.

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
        with self._labgrid.running("wait", self._token) as waiting:
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
            self.place = place  # It may have got through.
            raise
        except PoolError as error:
            self._refused(place, error)
            return
        self.place = place

    def _refused(self, place: str, error: PoolError) -> None:
        """Whoever acquires without a reservation may have been faster: then queue once more."""
        shown = shown_of(self._labgrid, place)
        holder = shown.place.holder
        if holder == str(self._labgrid.identity):
            self.place = place
        elif holder:
            self.cancel()
        else:
            raise ExporterGone(
                f"place {place} cannot be acquired: {error.what}",
                place=place,
                hint="Is its exporter up, and does another place hold its board? labgrid-client "
                f"-p {place} show",
            )

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
