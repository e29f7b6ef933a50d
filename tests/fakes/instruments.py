"""Instruments that send lines: over a pty and over TCP, and what they would send of a load."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from fakes.supply import Errors, Load, currents

STATED = {"resolution_amps": 1e-7, "gain_error": 0.01, "offset_amps": 1e-6}


def lines_of(load: Load, errors: Errors, seed: int = 0) -> bytes:
    """`seconds,volts,amperes,pin` of each sample, those lost left out."""
    seconds, amps = currents(load, errors, seed)
    high = load.high(seconds)
    lost = {at for first, count in errors.lost for at in range(first, first + count)}
    return b"".join(
        b"%.6f,%.4f,%.9f,%d\n" % (second, load.volts, amp, pin)
        for number, (second, amp, pin) in enumerate(zip(seconds, amps, high, strict=True))
        if number not in lost
    )


class PtyInstrument:
    """A serial port: `path` is the harness's end."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        self.heard = b""

    def send(self, data: bytes) -> None:
        """Until the other end has taken it."""
        while data:
            data = data[os.write(self._ours, data) :]

    def hear(self, timeout_s: float = 5.0) -> bytes:
        """What was sent to it; b"" if nothing was."""
        heard, _, _ = select.select([self._ours], [], [], timeout_s)
        return os.read(self._ours, 100) if heard else b""

    def unplug(self) -> None:
        for handle in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(handle)


@contextmanager
def pty_instrument() -> Iterator[PtyInstrument]:
    instrument = PtyInstrument()
    try:
        yield instrument
    finally:
        instrument.unplug()


class TcpInstrument:
    """A server that sends to whoever connects; `url` as pyserial takes it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(10)
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._connection: socket.socket | None = None

    def send(self, data: bytes) -> None:
        if self._connection is None:
            self._connection, _ = self._server.accept()
        self._connection.sendall(data)

    def unplug(self) -> None:
        for end in (self._connection, self._server):
            if end is not None:
                end.close()


@contextmanager
def tcp_instrument() -> Iterator[TcpInstrument]:
    instrument = TcpInstrument()
    try:
        yield instrument
    finally:
        instrument.unplug()


def until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
