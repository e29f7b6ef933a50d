from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import Emulator
from harness.errors import StartFailed, ToolMissing, Where
from harness.link.streams import StreamClosed
from harness.rig.qemu import QEMU, QemuProcess, dies_with_parent, qemu_command

EMULATOR = Emulator(machine="mps2-an386", icount_shift=7)
WHERE = Where(board="qemu-m4", port="qemu:mps2-an386", model="sine_int8")


def test_command_boots_the_elf_and_counts_instructions() -> None:
    command = qemu_command(EMULATOR, Path("/b/fw.elf"), Path("/s"), "/bin/qemu")
    pairs = dict(zip(command[1::2], command[2::2], strict=True))
    assert command[0] == "/bin/qemu"
    assert pairs["-machine"] == "mps2-an386" and pairs["-kernel"] == "/b/fw.elf"
    assert pairs["-icount"] == "shift=7"
    # The CPU waits until somebody listens, so that no byte is lost; QMP does not.
    uart = "socket,id=uart,path=/s/uart,server=on,wait=on,mux=on"
    assert (pairs["-chardev"], pairs["-serial"]) == (uart, "chardev:uart")
    # A multiplexer eats its escape character, so it must be none that a byte can be.
    assert int(pairs["-echr"], 0) > 255
    assert pairs["-qmp"] == "unix:/s/qmp,server=on,wait=off"
    assert pairs["-display"] == pairs["-monitor"] == "none"


def test_where_time_does_not_count_bytes_for_the_board_go_through_the_console() -> None:
    files = (Path("/b/fw.elf"), Path("/s"), "/bin/qemu")
    command = qemu_command(EMULATOR, *files, counted=False)
    assert "-icount" not in command
    console = "socket,id=console,path=/s/console,server=on,wait=off"
    assert command.index(console) < command.index("-serial")
    assert "enable=on,target=native,chardev=console" in command
    other = qemu_command(replace(EMULATOR, machine="netduinoplus2"), *files, counted=False)
    assert "-icount" not in other and "-device" not in other


def test_emulator_is_told_to_die_with_its_parent_where_that_is_possible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "setpriv").write_text("#!/bin/sh\n")
    (tmp_path / "setpriv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dies_with_parent(["q", "-x"]) == [
        *(f"{tmp_path}/setpriv", "--pdeathsig", "KILL"),
        *("q", "-x"),
    ]
    monkeypatch.setenv("PATH", "/nonexistent")
    assert dies_with_parent(["q", "-x"]) == ["q", "-x"]


def test_missing_qemu_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing) as caught:
        with QemuProcess(EMULATOR, tmp_path / "fw.elf", where=WHERE):
            raise AssertionError("started")
    assert str(caught.value).startswith("qemu-system-arm not found; an emulated board needs it.")
    assert "sudo apt-get install" in str(caught.value) and "qemu-system-arm" in caught.value.install


def test_process_not_started_has_no_last_words(tmp_path: Path) -> None:
    process = QemuProcess(EMULATOR, tmp_path / "fw.elf", where=WHERE)
    assert process.last_words() == "emulator not running"
    process.stop()


# Never skipped where CI runs: make test installs QEMU, and without it that is an error.
needs_qemu = pytest.mark.skipif(
    shutil.which(QEMU) is None and not os.environ.get("CI"), reason="QEMU is not installed"
)


@needs_qemu
def test_emulator_that_ends_at_once_fails_the_start_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(StartFailed) as caught:
        with QemuProcess(replace(EMULATOR, machine="pdp11"), tmp_path / "x.elf", where=WHERE):
            raise AssertionError("started")
    text = str(caught.value)
    assert "did not open its serial port" in text and "x.elf" in text
    assert "emulator ended with status 1; it said:" in text and "pdp11" in text
    assert "(board qemu-m4, port qemu:mps2-an386, model sine_int8)" in text
    assert list(tmp_path.iterdir()) == []


@needs_qemu
def test_emulator_that_ends_later_closes_the_stream_with_its_words(tmp_path: Path) -> None:
    with QemuProcess(EMULATOR, tmp_path / "absent.elf", where=WHERE) as process:
        with pytest.raises(StreamClosed, match="(?s)ended with status 1; it said: .*absent.elf"):
            process.stream.read(60)
