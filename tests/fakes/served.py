"""A virtual board behind a real RFC 2217 or raw TCP server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial
import serial.rfc2217

from harness.errors import Where
from harness.link.faults import Faults
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.virtual import VirtualProcess

SINE = resolve_model("sine", find_project().artifacts)
NO_FAULTS = Faults()


class PtySerial(serial.Serial):
    """A pty as a serial port: it has no modem lines, and their ioctls fail."""

    cts = dsr = ri = cd = property(lambda self: False)

    def _update_rts_state(self) -> None:
        pass

    _update_dtr_state = _update_break_state = _update_rts_state


class Server:
    """Passes bytes between one TCP client and a serial port; over RFC 2217 or as they are."""

    def __init__(self, port: str, *, rfc2217: bool) -> None:
        self._rfc2217 = rfc2217
        self._serial = PtySerial(port, timeout=0.02)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        self._manager: serial.rfc2217.PortManager | None = None
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept), threading.Thread(target=self._up)]
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def write(self, data: bytes) -> None:
        """What PortManager answers by itself goes this way too."""
        assert self._client is not None
        self._client.sendall(data)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            if self._rfc2217:
                self._manager = serial.rfc2217.PortManager(self._serial, self)
            with client:
                self._down(client)

    def _down(self, client: socket.socket) -> None:
        while not self._stopping:
            try:
                data = client.recv(4096)
            except OSError:
                return
            if not data:
                return
            plain = b"".join(self._manager.filter(data)) if self._manager else data
            self._serial.write(plain)

    def _up(self) -> None:
        while not self._stopping:
            data = self._serial.read(1)
            data += self._serial.read(self._serial.in_waiting)
            if data and self._client is not None:
                try:
                    self.write(b"".join(self._manager.escape(data)) if self._manager else data)
                except OSError:
                    pass

    def hang_up(self) -> None:
        """Close the client's connection and take no other."""
        for connection in (self._listener, self._client):
            if connection is not None:
                # Unlike close alone, this wakes the thread that waits on it.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def stop(self) -> None:
        self._stopping = True
        self.hang_up()
        for thread in self._threads:
            thread.join()
        self._serial.close()


@contextmanager
def far_board(scheme: str, faults: Faults = NO_FAULTS) -> Iterator[tuple[Server, str]]:
    with VirtualProcess(SINE, faults, where=Where(board="virtual")) as process:
        port = process.port
        process.stream.close()
        server = Server(port, rfc2217=scheme == "rfc2217")
        try:
            yield server, f"{scheme}://{server.address}"
        finally:
            server.stop()
