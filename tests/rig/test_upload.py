"""Uploads by a command that the board names: real programs, and what may not be put into them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.bench import NANO

from harness.board.own import OwnBuild, OwnFlash
from harness.board.ports import SerialPort
from harness.board.registry import Board
from harness.errors import FlashFailed, RigError
from harness.firmware.build import Firmware
from harness.project import Project
from harness.rig.flash import PlatformioUploader
from harness.rig.upload import CommandUploader, upload_by, uploader_for

PORT = SerialPort(path="/dev/ttyACM7", usb="2341:805a", serial_number="00A1B")
WRITE = "import json, sys; json.dump(sys.argv[1:], open('said.json', 'w'))"
NOTED = (sys.executable, "-c", WRITE, "-p{port}", "{serial_number}", "{probe_uid}", "{elf}")


def own(home: Path, *command: str) -> Board:
    return replace(NANO, home=str(home), flash=OwnFlash(command=command))


def upload(board: Board, folder: Path, port: SerialPort = PORT, timeout_s: float = 30) -> None:
    elf = folder / "firmware.elf"
    elf.write_bytes(b"elf")
    firmware = Firmware(
        elf=elf, build_id="00ff", runtime="aot", sections=(), compiler="gcc", flags=""
    )
    CommandUploader(Project(root=folder, state=folder / "state"))(board, firmware, port, timeout_s)


def test_a_boards_own_command_uploads_in_its_folder(tmp_path: Path) -> None:
    upload(own(tmp_path, *NOTED), tmp_path)
    said = json.loads((tmp_path / "said.json").read_text())
    assert said == ["-p/dev/ttyACM7", "00A1B", "A1B", str(tmp_path / "firmware.elf")]


def test_a_command_that_fails_shows_its_words(tmp_path: Path) -> None:
    script = "print('error: target is locked'); raise SystemExit(4)"
    with pytest.raises(FlashFailed, match="ended with status 4") as caught:
        upload(own(tmp_path, sys.executable, "-c", script), tmp_path)
    assert "error: target is locked" in caught.value.hint


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    script = "import time; time.sleep(60)"
    with pytest.raises(FlashFailed, match="took longer than 0.2 s"):
        upload(own(tmp_path, sys.executable, "-c", script), tmp_path, timeout_s=0.2)


@pytest.mark.parametrize(
    "port, named",
    [
        (replace(PORT, path="/dev/tty;reboot"), "the port '/dev/tty;reboot' cannot be given"),
        (replace(PORT, serial_number="--erase"), "the serial number '--erase' cannot be given"),
        (replace(PORT, serial_number="a\x1b[2J"), "cannot be given to an uploader"),
        (replace(PORT, serial_number=None), "names its USB serial number, which is not known"),
    ],
)
def test_what_a_device_says_of_itself_is_checked(
    port: SerialPort, named: str, tmp_path: Path
) -> None:
    with pytest.raises(RigError) as caught:
        upload(own(tmp_path, *NOTED), tmp_path, port)
    assert named in str(caught.value) and "\x1b" not in str(caught.value)
    assert not (tmp_path / "said.json").exists()


def test_firmware_that_is_not_ours_is_flashed_by_a_probe(tmp_path: Path) -> None:
    build = OwnBuild(command=("make",), elf="e")
    board = replace(NANO, home=str(tmp_path), build=build, env={}, runtimes=("aot",))
    probed = upload_by(replace(board, probe="nrf52840"), tmp_path / "e", PORT).command
    assert probed[1:5] == ["-m", "pyocd", "load", "--no-wait"]
    assert probed[5:] == ["--target", "nrf52840", "--uid", "A1B", str(tmp_path / "e")]
    with pytest.raises(FlashFailed, match="nothing says how the board is flashed"):
        upload_by(board, tmp_path / "e", PORT)


def test_other_boards_are_flashed_by_platformio(tmp_path: Path) -> None:
    project = Project(root=tmp_path, state=tmp_path)
    assert isinstance(uploader_for(NANO, project), PlatformioUploader)
    assert isinstance(uploader_for(own(tmp_path, "x"), project), CommandUploader)
