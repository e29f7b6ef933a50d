"""Power of a board, switched and seen to be: its port has to go, and to come back.

Hubs say that a port is off and leave the power on, and kernels turn it on again behind uhubctl's
back (https://github.com/mvp/uhubctl, issues 90, 474 and its list of hubs). What uhubctl says is
therefore believed only where the board's port agrees.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from harness.board.ports import POLL_S, Bench, Listing, SerialPort, again
from harness.errors import ExporterGone, PowerFailed, RigError, Where
from harness.pool.hold import Held
from harness.rig.power_switches import UHUBCTL, Switch
from harness.text import printable

GOES_S = 5.0
"""For a port to vanish after its power was switched off; the kernel takes well under a second."""

LATE_S = 2.0
"""The same after a command that switched it off and on and has ended."""

_LOOKS_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycled:
    """A power cycle as the board's port showed it, seconds from off and from on.

    `problem` says in words why it was none, or why that is not known; empty where it was seen.
    `also_gone` are other boards' ports that went at the same time.
    """

    gone_s: float | None = None
    back_s: float | None = None
    problem: str = ""
    also_gone: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.problem:
            text = self.problem
        elif self.gone_s is None or self.back_s is None:
            text = "its port appeared"
        else:
            text = f"its port went after {self.gone_s:.1f} s, and was back after {self.back_s:.1f}"
        others = f"; these went too: {', '.join(self.also_gone)}" if self.also_gone else ""
        return text + others


OFF_S = 2.0
"""How long the power stays off, where nobody says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A board's port, watched while its power is switched.

    `before` is None where it is not there, `stays` True where it need not go. `find` looks for it
    in a listing.
    """

    before: SerialPort | None
    bench: Bench
    where: Where
    port_s: float
    stays: bool = False
    find: Callable[[Listing], SerialPort | None] = lambda listing: None

    @property
    def shows(self) -> bool:
        """Whether the port tells of the power: it is one of USB, and here."""
        return self.before is not None and self.before.usb is not None and not self.stays

    def gone(self, listing: Listing) -> bool:
        """Whether the board's port is not among these."""
        return self.before is not None and again(self.before, listing) is None

    def others_gone(self, before: Listing, listing: Listing) -> tuple[str, ...]:
        """USB devices that are not there any more, beside the board."""
        return tuple(
            str(port.serial_number or port.path)
            for port in before
            if port.usb is not None and port != self.before and again(port, listing) is None
        )

    def wait_gone(self, timeout_s: float) -> float | None:
        """Seconds until the port was gone; None if it stayed."""
        begun, bench = self.bench.clock(), self.bench
        while not self.gone(bench.ports()):
            if bench.clock() - begun >= timeout_s:
                return None
            bench.sleep(POLL_S)
        return bench.clock() - begun

    def wait_back(self) -> float | None:
        """Seconds until it is there; None if it did not come within its deadline."""
        begun = self.bench.clock()
        found = self.bench.wait_for(self._back, self.port_s)
        return None if found is None else self.bench.clock() - begun

    def _back(self, listing: Listing) -> SerialPort | None:
        return self.find(listing) if self.before is None else again(self.before, listing)


def cycle(switch: Switch, watched: Watched, *, off_s: float) -> Cycled:
    """Turn the power off and on; its port has to go in between, and to come back.

    Raises:
        PowerFailed: it did not go, or did not come back.
        RigError: the power could not be switched.
    """
    listing = watched.bench.ports()
    begun = watched.bench.clock()
    _turn_off(switch)
    try:
        gone_s = watched.wait_gone(GOES_S) if watched.shows else None
        if gone_s is not None:
            gone_s = watched.bench.clock() - begun
        watched.bench.sleep(off_s)
        dark = watched.bench.ports()
    finally:
        switch.on()
    others = watched.others_gone(listing, dark)
    if not watched.shows:
        return _unseen(watched, others)
    if gone_s is None:
        raise _lied(switch.name, watched, others)
    if not watched.gone(dark):
        return Cycled(gone_s=gone_s, back_s=0.0, also_gone=others, problem=_BY_ITSELF)
    return _returned(switch.name, watched, gone_s, others)


def _turn_off(switch: Switch) -> None:
    """Turn the power off. What failed may have turned it off all the same: then it is turned on."""
    try:
        switch.off()
    except RigError:
        with suppress(RigError):
            switch.on()
        raise


_BY_ITSELF = (
    "its port came back while the power was to be off: the hub, or the kernel, turned it on again"
)


def cycle_by_command(command: str, act: Callable[[], None], watched: Watched) -> Cycled:
    """Run a command that turns the power off and on again, and watch the port meanwhile.

    Raises:
        RigError: as `act`.
    """
    with _Watch(watched) as watch:
        act()
    if not watched.shows:
        return _unseen(watched, ())
    gone_s = watch.gone_s if watch.gone_s is not None else watched.wait_gone(LATE_S)
    if gone_s is None:
        return Cycled(problem=f"its port never went away: did `{printable(command, 60)}` do it?")
    back_s = watched.wait_back()
    if back_s is None:
        return Cycled(gone_s=gone_s, problem=_not_back(watched))
    return Cycled(gone_s=gone_s, back_s=back_s)


class _Watch:
    """Looks for the port by a thread of its own, in real time, while a command runs."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.gone_s: float | None = None

    def __enter__(self) -> _Watch:
        if self._watched.shows:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._watched.shows:
            self._thread.join()

    def _look(self) -> None:
        begun = time.monotonic()
        while self.gone_s is None and not self._done.wait(_LOOKS_S):
            if self._watched.gone(self._watched.bench.ports()):
                self.gone_s = time.monotonic() - begun


def _unseen(watched: Watched, others: tuple[str, ...]) -> Cycled:
    if watched.before is None:
        return Cycled(also_gone=others)
    why = (
        "its port has a supply of its own"
        if watched.stays
        else "its port is no USB device that is looked at"
    )
    return Cycled(problem=f"whether its power went is not seen: {why}", also_gone=others)


def _returned(name: str, watched: Watched, gone_s: float, others: tuple[str, ...]) -> Cycled:
    back_s = watched.wait_back()
    if back_s is not None:
        return Cycled(gone_s=gone_s, back_s=back_s, also_gone=others)
    raise PowerFailed(
        str(Cycled(gone_s=gone_s, problem=_not_back(watched), also_gone=others)),
        where=watched.where,
        hint=f"It was switched by {name}. Is the power on? `{UHUBCTL}` alone shows it. A board "
        "that takes longer has a longer deadlines.port_s.",
    )


def _not_back(watched: Watched) -> str:
    return f"its port did not come back within {watched.port_s:g} s of the power"


def _lied(name: str, watched: Watched, others: tuple[str, ...]) -> PowerFailed:
    port = watched.before.path if watched.before else ""
    said = f"the power was switched off ({name}), and port {port} is still there after {GOES_S:g} s"
    return PowerFailed(
        str(Cycled(problem=f"{said}: the power stayed on", also_gone=others)),
        where=watched.where,
        hint="Many hubs say that a port is off and leave its power on; others switch another port. "
        "Is it the right hub and port? A port with a supply of its own needs `port_stays = true`.",
    )


def pool_watch(held: Held, bench: Bench, *, where: Where, port_s: float, stays: bool) -> Watched:
    """The port of a board of a pool: its exporter tells whether it is there."""
    port = SerialPort(path=f"labgrid:{held.place}", usb=held.serial.there or None)

    def ports() -> Listing:
        try:
            held.check()
        except ExporterGone:
            return ()
        return (port,)

    far = Bench(ports=ports, clock=bench.clock, sleep=bench.sleep)
    return Watched(before=port, bench=far, where=where, port_s=port_s, stays=stays)
