"""What has to be fetched, and whether a registry answers: real servers on loopback."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.board.registry import load_registry
from harness.errors import ToolMissing
from harness.firmware.fetch import refuse_unfetchable, registry_answers
from harness.firmware.platformio import Job
from harness.firmware.tflm_library import Library
from harness.model.resolve import resolve_model
from harness.project import find_project

INI = (find_project().root / "platformio.ini").read_text()
EMULATED = Job(
    board=load_registry()["qemu-m4"],
    runtime="tflm",
    artifact=resolve_model("sine", find_project().artifacts),
    library=Library(name="lib", version="1", cannot=()),
)
REAL = replace(EMULATED, board=load_registry()["nano33ble"])


class NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """A registry that is there, whatever it has to say."""
    with HTTPServer(("127.0.0.1", 0), NotFound) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture
def nobody() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as freed:
        return f"http://127.0.0.1:{freed.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes a request and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_registry_that_says_anything_answers(server: str, nobody: str) -> None:
    assert registry_answers([nobody, server])


def test_no_server_a_silent_one_or_no_such_name_is_no_answer(nobody: str, silent: str) -> None:
    assert not registry_answers([nobody, "http://nohost.invalid"])
    assert not registry_answers([silent], within_s=0.2)


def library_in(work: Path, job: Job) -> None:
    manifest = work / "pio" / "libdeps" / job.env / "Chirale" / "library.properties"
    manifest.parent.mkdir(parents=True)
    manifest.touch()


def test_an_absent_library_is_refused_with_the_ways_to_name_a_folder(
    tmp_path: Path, nobody: str
) -> None:
    with pytest.raises(ToolMissing, match="lib 1 not found; runtime tflm on qemu-m4") as caught:
        refuse_unfetchable(EMULATED, INI, tmp_path, tmp_path, [nobody])
    for way in ("make bench TFLM=DIR", "--tflm DIR", "--hil-tflm=DIR", "HIL_TFLM"):
        assert way in str(caught.value)


def test_what_is_there_or_can_be_fetched_or_is_not_needed_is_not_refused(
    tmp_path: Path, nobody: str, server: str
) -> None:
    refuse_unfetchable(EMULATED, INI, tmp_path, tmp_path, [server])
    in_a_folder = replace(EMULATED, library=replace(EMULATED.library, folder=tmp_path))
    refuse_unfetchable(in_a_folder, INI, tmp_path, tmp_path, [nobody])
    generated = replace(EMULATED, runtime="aot", library=None)
    refuse_unfetchable(generated, INI, tmp_path, tmp_path, [nobody])
    library_in(tmp_path, EMULATED)
    refuse_unfetchable(EMULATED, INI, tmp_path, tmp_path, [nobody])


def test_an_absent_platform_is_refused_before_its_library(tmp_path: Path, nobody: str) -> None:
    library_in(tmp_path, REAL)
    with pytest.raises(ToolMissing, match="package nordicnrf52@9.5.0 not found"):
        refuse_unfetchable(REAL, INI, tmp_path, tmp_path, [nobody])
    manifest = tmp_path / "platforms" / "nordicnrf52@9.5.0" / "platform.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    refuse_unfetchable(REAL, INI, tmp_path, tmp_path, [nobody])
