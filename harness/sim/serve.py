"""A simulated chip served on a pty, as a USB bridge serves a real board's UART."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import termios
import time
import tty
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from harness.files import write_atomic
from harness.sim.pause import Pause
from harness.sim.requests import Requests

CHUNK = 4096
MOST_UNREAD = 65536
"""Bytes for a host that does not read; the machine stands still meanwhile."""

BAUD = 115200
"""The pty's rate before a program sets one: most set this, and have no other one before it."""

SETTLED_S = 0.1
"""After so long, in real time, or when a byte comes, a chip is told that the port was opened or
closed or has another rate. How many changes are seen until then differs from run to run."""

LOOK_S = 0.01
"""Between two looks at who has the port open, while nothing else happens."""


class Simulated(Protocol):
    """A chip with its firmware."""

    def run(self) -> Pause:
        """Let time pass for a while, or until nothing happens any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A USB device as the host lists it: VID:PID in lower-case hex, and its serial number."""

    usb: str
    serial_number: str


class Wire(Protocol):
    """Where a chip's bytes come from and go to."""

    @property
    def shown(self) -> Shown | None:
        """The USB device that is plugged in now; None for none, and for the pins of a UART."""

    @property
    def timeless(self) -> bool:
        """Whether no simulated time passes for what hears the host, so that pieces do no harm."""

    def offer(self, data: bytes) -> None:
        """Bytes from the host: a whole request, see `harness.sim.requests`."""

    def take(self) -> bytes:
        """Bytes for the host since the last call."""

    def line(self, *, baud: int, open: bool) -> None:
        """A program has opened or closed the port, or changed its rate."""


_RATES = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if re.fullmatch(r"B[1-9]\d+", name)
}


class _Line:
    """What programs do with the pty's other end: whether it is open, and at which rate.

    Args:
        changed: told of a rate, and whether the port is open.
    """

    def __init__(self, master: int, changed: Callable[[int, bool], None]) -> None:
        self._master = master
        self._changed = changed
        self._poll = select.poll()
        self._poll.register(master, select.POLLIN)
        self.open = False
        self.waiting = False
        """Whether bytes wait to be read: a program may write and be gone before anybody looks."""
        self._baud = BAUD
        self._told = (BAUD, False)
        self._seen_at = 0.0

    def look(self, now: float) -> None:
        """See what has changed, and tell of it when it has stayed so for SETTLED_S."""
        events = sum(events for _, events in self._poll.poll(0))  # Of one descriptor.
        open, self.waiting = not events & select.POLLHUP, bool(events & select.POLLIN)
        baud = _RATES.get(termios.tcgetattr(self._master)[5], self._baud)
        if (open, baud) != (self.open, self._baud):
            self.open, self._baud, self._seen_at = open, baud, now
        if now - self._seen_at >= SETTLED_S:
            self.tell()

    def tell(self) -> None:
        """Tell of what has changed. A rate that was set by a program that is gone was set by one
        that had the port open: that is how uploaders ask for a bootloader.
        """
        if self._told == (self._baud, self.open):
            return
        (was, _), self._told = self._told, (self._baud, self.open)
        if not self.open and self._baud != was:
            self._changed(self._baud, True)
        self._changed(self._baud, self.open)


class Server:
    """Runs a machine and moves its bytes, until `stop_fd` closes.

    Args:
        master: of the pty.
        stop_fd: closes when the process that started this one ends.
        changed: told of each other device that is plugged in.
        clock: real seconds, monotonic.
    """

    def __init__(
        self,
        machine: Simulated,
        wire: Wire,
        master: int,
        stop_fd: int,
        changed: Callable[[Shown | None], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        os.set_blocking(master, False)
        self._machine = machine
        self._wire = wire
        self._master = master
        self._stop = stop_fd
        self._line = _Line(master, self._set_line)
        self._requests = Requests()
        self._clock = clock
        self._unread = b""
        self._changed = changed
        self._shown: Shown | None = None
        self._last: Shown | None = None

    def run(self) -> None:
        """Serve.

        Raises:
            SimulationError: the firmware did what the simulated chip cannot.
        """
        pause = Pause.BUSY
        while self._look(waits=pause is Pause.IDLE):
            if len(self._unread) < MOST_UNREAD:
                pause = self._machine.run()
                self._unread += self._wire.take()
                self._look_at_device()

    def _look_at_device(self) -> None:
        """What a device has said is not read from another one, a bootloader, in its place."""
        shown = self._wire.shown
        if shown == self._shown:
            return
        if shown is not None and self._last not in (None, shown):
            self._unread = b""
            self._requests.rest()
            termios.tcflush(self._master, termios.TCIOFLUSH)
        self._shown, self._last = shown, shown or self._last
        self._changed(shown)

    def _look(self, *, waits: bool) -> bool:
        """Move bytes; returns whether to go on. Waits for something to do if the machine does."""
        self._line.look(self._clock())
        reads = [self._master] if self._line.open or self._line.waiting else []
        writes = [self._master] if self._line.open and self._unread else []
        waits = waits or len(self._unread) >= MOST_UNREAD
        readable, writable, _ = select.select(
            [*reads, self._stop], writes, [], LOOK_S if waits else 0
        )
        if self._stop in readable and not os.read(self._stop, CHUNK):
            return False
        if writable:
            self._unread = self._unread[os.write(self._master, self._unread) :]
        if self._master in readable:
            self._line.look(self._clock())  # It may have changed just before these bytes.
            if self._line.open:  # What a program wrote before it closed the port comes first.
                self._line.tell()
            self._requests.add(self._read(), self._clock())
        self._offer()
        return True

    def _offer(self) -> None:
        """Hand on what is whole."""
        if self._wire.timeless:
            self._offer_all()
        for request in self._requests.whole(self._clock()):
            self._wire.offer(request)

    def _offer_all(self) -> None:
        if data := self._requests.rest():
            self._wire.offer(data)

    def _set_line(self, baud: int, open: bool) -> None:
        """Another program, or another rate: what was sent before is all that will come of it."""
        self._offer_all()
        self._wire.line(baud=baud, open=open)

    def _read(self) -> bytes:
        try:
            return os.read(self._master, CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:  # Nobody has the port open any more.
                raise
            return b""


def serve(machine: Simulated, wire: Wire, *, stop_fd: int, listing: Path | None = None) -> None:
    """Open a pty, print its path, and serve the machine on it.

    Args:
        listing: a file that is kept as `write_listing` writes it, for a machine with USB.
    """
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        _set_rate(slave)
        path = os.ttyname(slave)
        print(path, flush=True)
        os.close(slave)

        def changed(shown: Shown | None) -> None:
            if listing is not None:
                write_listing(listing, path, shown)

        Server(machine, wire, master, stop_fd, changed).run()
    finally:
        os.close(master)


def _set_rate(slave: int) -> None:
    attributes = termios.tcgetattr(slave)
    attributes[4] = attributes[5] = getattr(termios, f"B{BAUD}")
    termios.tcsetattr(slave, termios.TCSANOW, attributes)


def write_listing(file: Path, path: str, shown: Shown | None) -> None:
    """Say in a file which port is there, as a list of none or one."""
    ports = [] if shown is None else [{"path": path, **asdict(shown)}]
    write_atomic(file, json.dumps(ports).encode())
