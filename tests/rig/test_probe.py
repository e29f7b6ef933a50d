"""Boards that a debug probe flashes and resets: pyOCD's command lines and errors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from harness.board.ports import SerialPort
from harness.board.registry import load_registry
from harness.errors import FlashFailed, RigError, Where
from harness.firmware.build import Builder
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.flash import PlatformioUploader, upload_config
from harness.rig.probe import advice, probe_uid, reset, reset_command

BOARD = load_registry()["nrf52840dk"]
HAS_PYOCD = importlib.util.find_spec("pyocd") is not None
REFUSED = (
    "no probe with this board's serial number" if HAS_PYOCD else "pip install 'tinyml-hil[probe]'"
)
"""What is said on a machine without this probe."""


@pytest.mark.parametrize(
    "serial_number, uid", [("000683123456", "683123456"), ("1050270048", "1050270048")]
)
def test_a_probe_is_named_as_pyocd_names_it(serial_number: str, uid: str) -> None:
    assert probe_uid(serial_number) == uid
    assert reset_command("nrf52840", serial_number)[-3:] == ["nrf52840", "--uid", uid]
    assert f"  --uid\n  {uid}\n" in upload_config(BOARD, "aot", serial_number)


def test_without_a_serial_number_the_only_probe_is_taken() -> None:
    assert "--uid" not in reset_command("nrf52840", None)
    assert "--uid" not in upload_config(BOARD, "aot", None)


@pytest.mark.parametrize(
    "said, cure",
    [
        ("/usr/bin/python3: No module named pyocd", "pip install 'tinyml-hil[probe]'"),
        ("No connected debug probes\n0001669 E No target device available", "`pyocd list`"),
        ("No connected debug probe matches unique ID '683'", "serial number"),
        ("0000881 W APPROTECT enabled: not automatically unlocking", "locked"),
    ],
)
def test_an_error_of_pyocds_says_what_to_do(said: str, cure: str) -> None:
    assert cure in advice(said)


def test_an_error_that_is_not_known_is_left_as_it_is() -> None:
    assert advice("SWD/JTAG communication failure (No ACK)") == ""


def test_a_reset_without_a_probe_is_an_error_that_says_so() -> None:
    with pytest.raises(RigError, match="pyOCD did not reset the board") as caught:
        reset(BOARD, "000683999999", timeout_s=60, where=Where(board=BOARD.id))
    assert REFUSED in caught.value.hint


def test_platformio_uploads_by_pyocd_and_its_error_says_what_to_do() -> None:
    project = find_project()
    firmware = Builder(project).build(BOARD, "aot", resolve_model("sine", project.artifacts))
    port = SerialPort(path="/dev/ttyACM7", usb="1366:1015", serial_number="000683999999")
    with pytest.raises(FlashFailed, match="upload ended with status 1") as caught:
        PlatformioUploader(project)(BOARD, firmware, port, 60)
    assert REFUSED in caught.value.hint
    log = Path(caught.value.hint.rpartition("Full log: ")[2]).read_text()
    assert ("683999999" if HAS_PYOCD else "pyocd") in log


@pytest.mark.skipif(not HAS_PYOCD, reason="pyOCD is not installed")
def test_pyocd_knows_the_chip() -> None:
    command = [sys.executable, "-m", "pyocd", "list", "--targets"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert BOARD.probe in done.stdout.split()
