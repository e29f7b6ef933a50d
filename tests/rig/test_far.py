"""Boards behind pyserial URLs: real RFC 2217 and raw TCP servers on loopback."""

import socket
import threading

import numpy as np
import pytest
from fakes.bench import NANO, BuiltBefore
from fakes.served import far_board

from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import PortLost, StaleFirmware, StartFailed, Where
from harness.link.faults import Faults
from harness.link.streams import open_serial
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.checks import checks_for
from harness.rig.open import RigOptions, open_board

PROJECT = find_project()
SINE = resolve_model("sine", PROJECT.artifacts)
VIRTUAL = load_registry()["virtual"]


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


def test_a_server_that_ends_the_connection_is_told_with_its_last_words():
    """As ser2net does, which opens the device only when a client is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            client, _ = listener.accept()
            with client:
                client.sendall(b"Device open failure: \x1bgone\r\n")
                client.shutdown(socket.SHUT_WR)
                client.recv(1000)

        server = threading.Thread(target=serve)
        server.start()
        url = f"rfc2217://127.0.0.1:{listener.getsockname()[1]}?timeout=0.2"
        said = r"the server ended the connection: Device open failure: \\x1bgone \("
        with pytest.raises(StartFailed, match=said):
            open_serial(url, where=Where(board="far"))
        server.join()


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
