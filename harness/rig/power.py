"""Power of a board, switched and seen to be: its port has to go, and to come back.

Hubs say that a port is off and leave the power on, and kernels turn it on again behind uhubctl's
back (https://github.com/mvp/uhubctl, issues 90, 474 and its list of hubs). What uhubctl says is
therefore believed only where the board's port agrees.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.board.ports import POLL_S, Bench, Listing, SerialPort, again, same_serial
from harness.board.power import HubPort, hub_port
from harness.board.rigfile import Plugged
from harness.errors import ExporterGone, PowerFailed, RigError, ToolMissing, Where
from harness.files import write_atomic
from harness.names import is_serial_number
from harness.pool.hold import Held
from harness.process import run_told
from harness.text import printable

UHUBCTL = "uhubctl"
INSTALL_UHUBCTL = "sudo apt-get install -y uhubctl"
GOES_S = 5.0
"""For a port to vanish after its power was switched off; the kernel takes well under a second."""

LATE_S = 2.0
"""The same after a command that switched it off and on and has ended."""

_LOOKS_S = 0.02
_STATE = re.compile(r"^ *Port (\d+): ([0-9a-f]{4}) (.*)$", re.MULTILINE)


class Switch(Protocol):
    """What turns a board's power off and on."""

    @property
    def name(self) -> str:
        """In words, for the list of what was tried."""

    def off(self) -> None:
        """Raises RigError."""

    def on(self) -> None:
        """Raises RigError."""


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


class HubSwitch:
    """A port of a hub, by uhubctl.

    Args:
        socket: hub and port.
        name: in words.
    """

    def __init__(
        self, socket: tuple[str, int], name: str, *, timeout_s: float, where: Where
    ) -> None:
        self._socket = socket
        self.name = name
        self._timeout_s = timeout_s
        self._where = where

    def off(self) -> None:
        state = self._switch("off")
        if state is not None and "power" in state.split():
            hub, port = self._socket
            raise RigError(
                f"{UHUBCTL} could not switch port {port} of hub {hub} off: it is {state!r}",
                where=self._where,
                hint="This hub cannot switch the port; see the list of hubs that can, at "
                "https://github.com/mvp/uhubctl",
            )

    def on(self) -> None:
        self._switch("on")

    def _switch(self, action: str) -> str | None:
        """Switch; returns the port's state after it, as uhubctl says it."""
        hub, port = self._socket
        command = [UHUBCTL, "--location", hub, "--ports", str(port), "--action", action]
        try:
            status, said = run_told(command, timeout_s=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise RigError(
                f"{UHUBCTL} took longer than {self._timeout_s:g} s", where=self._where
            ) from None
        if status == 127 and UHUBCTL in said:
            raise ToolMissing(UHUBCTL, needed_for="the board's power", install=INSTALL_UHUBCTL)
        if status:
            raise RigError(
                f"{UHUBCTL} ended with status {status} for port {port} of hub {hub}",
                where=self._where,
                hint=f"It said: {printable(said, 400)}\n`{UHUBCTL}` alone lists the hubs that can "
                "switch; without root it needs the udev rules of `hil udev`.",
            )
        after = said.rpartition("New status")[2]
        states = {int(number): text for number, _, text in _STATE.findall(after)}
        return states.get(port)


class PoolSwitch:
    """A power resource of the board's place, by labgrid."""

    def __init__(self, held: Held, *, timeout_s: float) -> None:
        self._held = held
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return f"labgrid, place {self._held.place}"

    def off(self) -> None:
        self._held.power("off", timeout_s=self._timeout_s)

    def on(self) -> None:
        self._held.power("on", timeout_s=self._timeout_s)


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
    switch.off()
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


def remember_socket(folder: Path, port: SerialPort) -> None:
    """Note which socket the board of a serial number is plugged into, for when it is gone."""
    number = port.serial_number or ""
    if is_serial_number(number) and hub_port(port.socket):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / number
        if not path.is_file() or path.read_text() != port.socket:
            write_atomic(path, port.socket.encode())


def find_socket(
    serial_number: str, listing: Listing, folder: Path, where: Where
) -> tuple[str, int]:
    """Hub and port of the board of a serial number: where it is, else where it was last.

    Raises:
        RigError: neither is known, or another device is in its socket now.
    """
    here = [port for port in listing if same_serial(port.serial_number, serial_number)]
    path = folder / serial_number
    socket = here[0].socket if here else path.read_text() if path.is_file() else ""
    found = hub_port(socket)
    if found is None:
        raise RigError(
            f"which hub port has the board of serial number {serial_number} is not known",
            where=where,
            hint="Plug it in and run it once: its socket is then remembered. Or name hub and port: "
            'power = { uhubctl = "1-1", port = 2 }',
        )
    others = [port for port in listing if port.socket == socket and port not in here]
    if others:
        raise RigError(
            f"another device is in the socket that the board was in last: {others[0]}",
            where=where,
            hint="Its power is left alone. Plug the board in, or name hub and port.",
        )
    return found


def switch_of(
    power: HubPort, plugged: Plugged, listing: Listing, folder: Path, where: Where
) -> HubSwitch:
    """uhubctl for a board of the rig file.

    Raises:
        RigError: as `find_socket`.
    """
    if power.port is not None:
        socket = (power.uhubctl, power.port)
    else:
        socket = find_socket(plugged.serial_number or "", listing, folder, where)
    hub, port = socket
    name = f"{UHUBCTL}, hub {hub} port {port}"
    return HubSwitch(socket, name, timeout_s=plugged.deadlines.power_s, where=where)
