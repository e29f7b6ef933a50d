"""Boards behind pyserial URLs: real RFC 2217 and raw TCP servers on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import serial
import serial.rfc2217
from fakes.bench import NANO, BuiltBefore

from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import PortLost, StaleFirmware, StartFailed, Where
from harness.link.faults import Faults
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.checks import checks_for
from harness.rig.open import RigOptions, open_board
from harness.rig.virtual import VirtualProcess

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
VIRTUAL = load_registry()["virtual"]
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


@pytest.fixture(autouse=True)
def own_locks(monkeypatch, tmp_path):
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path))


@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_a_far_board_answers_as_a_near_one(scheme):
    with (
        far_board(scheme) as (_, url),
        open_board(VIRTUAL, SINE, PROJECT, RigOptions(port=url)) as opened,
    ):
        assert opened.comparison().mismatches == 0
        assert opened.comparison().samples == 256
        assert opened.port == url
        measured = opened.dut.measure(checks_for(SINE).inputs[:1], 500)
        assert len(measured.ticks) == 500
        assert opened.dut.link.stats.retries == 0
        assert opened.cold_ticks is None


@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_a_far_board_that_goes_away_is_one_error_naming_its_url(scheme):
    with (
        far_board(scheme) as (server, url),
        open_board(VIRTUAL, SINE, PROJECT, RigOptions(port=url)) as opened,
    ):
        server.hang_up()
        with pytest.raises(PortLost, match=f"during INFER .board virtual, port {url}"):
            for _ in range(3):
                opened.dut.infer(np.zeros(1, dtype=np.int8))


def real_at(url: str) -> RigOptions:
    """A real board of a rig file, behind a URL."""
    return RigOptions(plugged=Plugged(id="nano", kind="nano", port=url))


@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_a_real_far_board_with_the_very_build_is_used_as_it_is(scheme, monkeypatch):
    monkeypatch.setattr("harness.rig.open.Builder", BuiltBefore)
    with (
        far_board(scheme) as (_, url),
        open_board(NANO, SINE, PROJECT, real_at(url)) as opened,
    ):
        assert opened.comparison().mismatches == 0
        assert opened.port == url and opened.flash is None


def test_a_real_far_board_with_other_firmware_is_not_flashed_from_here(monkeypatch):
    monkeypatch.setattr("harness.rig.open.Builder", BuiltBefore)
    with (
        far_board("socket", Faults(wrong_model=True)) as (_, url),
        pytest.raises(StaleFirmware, match="model SHA-256") as caught,
        open_board(NANO, SINE, PROJECT, real_at(url)),
    ):
        raise AssertionError("opened")
    assert "Nothing is uploaded through a URL" in caught.value.hint
    assert "hil flash --board nano" in caught.value.hint


@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_a_url_nobody_listens_on_is_named(scheme):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"{scheme}://127.0.0.1:{port}"
    with (
        pytest.raises(StartFailed, match=f"cannot open the port.*port {url}"),
        open_board(VIRTUAL, SINE, PROJECT, RigOptions(port=url)),
    ):
        raise AssertionError("opened")
