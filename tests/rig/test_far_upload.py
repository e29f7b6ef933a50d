"""Upload to a board on another machine; a script for ssh runs it by a shell, as sshd does."""

import json
import os
import subprocess
from dataclasses import replace

import pytest
from fakes.bench import NANO, BuiltBefore
from fakes.served import SINE, far_board

from harness.board.far import FarUpload
from harness.board.own import OwnFlash
from harness.board.registry import load_registry
from harness.board.rigfile import Deadlines, Plugged, parse_rig
from harness.errors import FlashFailed, RigError, ToolMissing, Where
from harness.pool.answers import Resource
from harness.project import find_project
from harness.rig.far import far_uploader, script
from harness.rig.open import RigOptions, open_board

PROJECT = find_project()
FIRMWARE = b"\x7fELF" + bytes(range(256)) * 64
SSH = """#!/bin/sh
for word in "$@"; do before=$host; host=$line; line=$word; done
echo "$host" >> {folder}/hosts
[ "$host" = off.example ] && {{ echo "ssh: connect to host off.example: timed out" >&2; exit 255; }}
TMPDIR={folder}/there exec sh -c "$line"
"""


@pytest.fixture(autouse=True)
def far(tmp_path, monkeypatch):
    """The far machine's folder."""
    (tmp_path / "there").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH.format(folder=tmp_path))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))
    return tmp_path / "there"


@pytest.fixture
def elf(tmp_path):
    path = tmp_path / "firmware.elf"
    path.write_bytes(FIRMWARE)
    return path


def uploader(*command, host=None, board=NANO, held=None):
    upload = FarUpload(command=command, host=host) if command else None
    url = "rfc2217://bench-2.example:4000"
    place = {"place": "left"} if held else {"port": url}
    plugged = Plugged(id="nano", kind="nano", upload=upload, **place)
    return far_uploader(board, plugged, url, held, Where(board="nano", port=url))


class AtPlace:
    """A place whose exporter has the port itself."""

    place = "left"
    serial = Resource(
        kind="NetworkSerialPort", exporter="bench", host="bench-3", there="/dev/ttyACM7"
    )


def test_the_firmware_arrives_whole_and_is_gone_afterwards(elf, far, tmp_path):
    copy = tmp_path / "a copy; touch injected $(touch injected)"
    uploader("cp", "{elf}", str(copy))(elf, timeout_s=30)
    assert copy.read_bytes() == FIRMWARE
    assert list(far.iterdir()) == [] and not list(tmp_path.glob("**/injected"))
    assert (tmp_path / "hosts").read_text() == "bench-2.example\n"


def test_a_place_says_machine_and_port(elf, tmp_path):
    told = tmp_path / "told"
    words = ("sh", "-c", 'echo "$1 $2 $(cat)" >$0', str(told), "{port}", "at={place}")
    uploader(*words, held=AtPlace)(elf, timeout_s=30)
    assert told.read_text() == "/dev/ttyACM7 at=left \n"  # Nothing of the file on its input.
    uploader(*words, host="me@jump", held=AtPlace)(elf, timeout_s=30)
    assert (tmp_path / "hosts").read_text() == "bench-3\nme@jump\n"


def test_a_boards_own_command_is_taken_where_it_names_the_port():
    own = replace(NANO, flash=OwnFlash(command=("esptool", "--port", "{port}", "{elf}")))
    assert uploader(board=own, held=AtPlace).command[2] == "/dev/ttyACM7"
    assert uploader(board=own) is None and uploader(held=AtPlace) is None


@pytest.mark.parametrize(
    ("command", "host", "what"),
    [
        (("sh", "-c", "echo error: no such chip; exit 4"), None, "ended with status 4"),
        (("sleep", "60"), None, "took longer than 1 s"),
        (("true",), "off.example", "could not begin: ssh failed"),
    ],
)
def test_an_upload_that_fails_says_where_and_what_it_said(elf, command, host, what):
    with pytest.raises(FlashFailed, match=f"upload at .*{what}.*board nano") as caught:
        uploader(*command, host=host)(elf, timeout_s=1 if "sleep" in command else 30)
    assert "The same by hand: ssh " in caught.value.hint
    assert ("no such chip" in caught.value.hint) == ("4" in what)


def test_a_file_that_did_not_arrive_whole_is_not_uploaded(elf, tmp_path):
    marker = tmp_path / "uploaded"
    line = script(("cp", "{elf}", str(marker)), len(FIRMWARE) + 1)
    done = subprocess.run(["sh", "-c", line], input=elf.read_bytes(), capture_output=True)
    assert done.returncode == 1 and b"did not arrive whole" in done.stderr
    assert not marker.exists()


def test_without_ssh_its_package_is_named(elf, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="ssh not found"):
        uploader("true")(elf, timeout_s=30)


def test_a_command_that_needs_what_is_not_known_is_refused():
    with pytest.raises(RigError, match=r"names \{port\}, which is not known"):
        uploader("x", "{port}")
    static = Resource(kind="NetworkSerialPort", exporter="bench", host="-oProxyCommand=x")
    with pytest.raises(RigError, match="is no machine for ssh"):
        uploader("x", held=type("Held", (), {"place": "left", "serial": static}))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('port = "socket://b:1"\nupload = { command = [] }', "command must not be empty"),
        ('port = "socket://b:1"\nupload = { command = ["{elv}"] }', r"\{elv\} is none of \{elf\}"),
        ('place = "a"\nupload = { command = ["x"], host = "-ox" }', "host must be HOST"),
        ('port = "/dev/ttyACM0"\nupload = { command = ["x"] }', "others are flashed here"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_by_the_rig_file(line, what):
    with pytest.raises(RigError, match=what):
        parse_rig(f"[boards.pico]\n{line}", load_registry())


def test_a_board_behind_a_url_is_uploaded_to_and_measured(elf, tmp_path, monkeypatch):
    class Built(BuiltBefore):
        def build(self, *given):
            return replace(super().build(*given), elf=elf)

    monkeypatch.setattr("harness.rig.open.Builder", Built)
    tries, copy = tmp_path / "tries", tmp_path / "copy"
    fails_once = f'[ -e {json.dumps(str(tries))} ] && cp "$1" "$2" || {{ touch "$3"; exit 1; }}'
    words = ("sh", "-c", fails_once, "sh", "{elf}", str(copy), str(tries))
    with far_board("socket") as (_, url):
        plugged = Plugged(
            id="nano",
            kind="nano",
            port=url,
            upload=FarUpload(command=words, host="bench"),
            deadlines=Deadlines(upload_s=30),
        )
        options = RigOptions(plugged=plugged, flash="always")
        with open_board(NANO, SINE, PROJECT, options) as opened:
            assert opened.comparison().mismatches == 0
            assert opened.flash.retries == 1 and opened.flash.port == url
    assert copy.read_bytes() == FIRMWARE
