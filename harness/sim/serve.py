"""A simulated chip served on a pty, as a USB bridge serves a real board's UART."""

from __future__ import annotations

import os
import select
import tty
from typing import Protocol

from harness.sim.machine import Machine, Pause

CHUNK = 4096
MOST_UNREAD = 65536
"""Bytes for a host that does not read; the machine stands still meanwhile."""


class Wire(Protocol):
    """Where a chip's bytes come from and go to."""

    def offer(self, data: bytes) -> None:
        """Bytes from the host."""

    def take(self) -> bytes:
        """Bytes for the host since the last call."""


class Server:
    """Runs a machine and moves its bytes, until `stop_fd` closes.

    Args:
        master: of the pty.
        stop_fd: closes when the process that started this one ends.
    """

    def __init__(self, machine: Machine, wire: Wire, master: int, stop_fd: int) -> None:
        os.set_blocking(master, False)
        self._machine = machine
        self._wire = wire
        self._master = master
        self._stop = stop_fd
        self._unread = b""

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

    def _look(self, *, waits: bool) -> bool:
        """Move bytes; returns whether to go on. Waits for something to do if the machine does."""
        writes = [self._master] if self._unread else []
        waits = waits or len(self._unread) >= MOST_UNREAD
        readable, writable, _ = select.select(
            [self._master, self._stop], writes, [], None if waits else 0
        )
        if self._stop in readable and not os.read(self._stop, CHUNK):
            return False
        if writable:
            self._unread = self._unread[os.write(self._master, self._unread) :]
        if self._master in readable:
            self._wire.offer(os.read(self._master, CHUNK))
        return True


def serve(machine: Machine, wire: Wire, *, stop_fd: int) -> None:
    """Open a pty, print its path, and serve the machine on it. Both ends stay open."""
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        print(os.ttyname(slave), flush=True)
        Server(machine, wire, master, stop_fd).run()
    finally:
        os.close(master)
        os.close(slave)
