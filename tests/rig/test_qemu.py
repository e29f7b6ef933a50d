from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import QEMU, Emulator, load_registry
from harness.errors import RigError, StartFailed, ToolMissing, Where
from harness.link.streams import StreamClosed
from harness.rig.qemu import QemuProcess, Wires, dies_with_parent, installed_qemu, qemu_command

EMULATOR = Emulator(machine="mps2-an386", icount_shift=7)
WHERE = Where(board="qemu-m4", port="qemu:mps2-an386", model="sine_int8")
WIRES = Wires(uart=7, qmp=8)


def test_command_boots_the_elf_and_counts_instructions() -> None:
    command = qemu_command(EMULATOR, Path("/b/fw.elf"), WIRES, "/bin/qemu")
    assert command[:2] == ["/bin/qemu", "-nodefaults"]
    options = [" ".join(pair) for pair in zip(command[2::2], command[3::2], strict=True)]
    assert {"-machine mps2-an386", "-kernel /b/fw.elf", "-icount shift=7"} <= {*options}
    assert {"-chardev socket,id=uart,fd=7,mux=on", "-serial chardev:uart"} <= {*options}
    assert {"-chardev socket,id=qmp,fd=8", "-mon chardev=qmp,mode=control"} <= {*options}
    # A multiplexer eats its escape character, so it must be none that a byte can be.
    assert int(command[command.index("-echr") + 1], 0) > 255


@pytest.mark.parametrize("counted", [True, False])
def test_firmware_gets_no_semihosting_no_network_and_a_sandbox(counted: bool) -> None:
    command = qemu_command(EMULATOR, Path("/fw"), WIRES, "q", counted=counted)
    assert not any("semihosting" in word for word in command)
    assert command[command.index("-nic") + 1] == "none"
    sandbox = command[command.index("-sandbox") + 1].split(",")
    denied = ("obsolete", "elevateprivileges", "spawn", "resourcecontrol")
    assert sandbox == ["on", *(f"{what}=deny" for what in denied)]


def test_where_time_does_not_count_bytes_for_the_board_go_through_shared_memory() -> None:
    wires = replace(WIRES, mailbox=9)
    command = qemu_command(EMULATOR, Path("/fw"), wires, "q", counted=False)
    assert "-icount" not in command and "mps2-an386,memory-backend=mailbox" in command
    assert "loader,addr=0x3ffffc,data=0x21000000,data-len=4" in command
    assert command[command.index("-object") + 1].endswith("share=on,mem-path=/dev/fd/9")


def test_emulator_is_told_to_die_with_its_parent_where_that_is_possible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if setpriv := shutil.which("setpriv"):
        command = dies_with_parent(["echo", "a b"])
        assert command[:3] == [setpriv, "--pdeathsig", "KILL"]
        assert subprocess.run(command, capture_output=True).stdout == b"a b\n"
        # Of another process than the one that is to be its parent: not run at all.
        orphan = subprocess.run(["/bin/sh", "-c", '"$@"; :', "sh", *command], capture_output=True)
        assert orphan.stdout == b""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert dies_with_parent(["q", "-x"]) == ["q", "-x"]


def test_missing_qemu_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing) as caught:
        with QemuProcess(EMULATOR, tmp_path / "fw.elf", where=WHERE):
            raise AssertionError("started")
    assert str(caught.value).startswith("qemu-system-arm not found; an emulated board needs it.")
    assert "sudo apt-get install" in str(caught.value) and "qemu-system-arm" in caught.value.install


def test_another_machine_has_its_own_qemu_package_and_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    emulator = load_registry()["qemu-rv32"].emulator
    assert emulator is not None
    command = qemu_command(emulator, Path("/fw"), WIRES, "q")
    assert command[-len(emulator.arguments) :] == list(emulator.arguments) and emulator.arguments
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="qemu-system-riscv32 .*\n.*install qemu-system-misc"):
        installed_qemu(emulator)


def test_a_machine_with_one_uart_has_no_second_and_no_multiplexer_where_a_fifo_waits() -> None:
    emulator = load_registry()["qemu-microbit"].emulator
    assert emulator is not None
    command = qemu_command(emulator, Path("/fw"), WIRES, "q")
    assert command.count("-serial") == 1 and "socket,id=uart,fd=7" in command


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
    assert "emulator does not run" in text and "x.elf" in text
    assert "emulator ended with status 1; it said:" in text and "pdp11" in text
    assert "(board qemu-m4, port qemu:mps2-an386, model sine_int8)" in text
    assert list(tmp_path.iterdir()) == []


@needs_qemu
def test_absent_firmware_fails_the_start_with_qemus_words(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="(?s)ended with status 1; it said: .*absent.elf"):
        with QemuProcess(EMULATOR, tmp_path / "absent.elf", where=WHERE):
            raise AssertionError("started")


# Thumb code that makes three semihosting calls, steps over those that nobody answers, and says so.
CALLS = """
    .syntax unified
    .cpu cortex-m3
    .thumb
    .word 0x20400000, reset + 1, fault + 1, fault + 1, fault + 1, fault + 1, fault + 1
    .word 0, 0, 0, 0, fault + 1, fault + 1, 0, fault + 1, fault + 1
fault:
    ldr r0, [sp, #24]
    adds r0, #2
    str r0, [sp, #24]
    bx lr
reset:
    movs r0, #0x12
    ldr r1, =system
    bkpt 0xab
    movs r0, #0x01
    ldr r1, =open
    bkpt 0xab
    movs r0, #0x0e
    ldr r1, =remove
    bkpt 0xab
    ldr r1, =0x40004000
    movs r0, #1
    str r0, [r1, #8]
    movs r0, #0x21
    str r0, [r1]
here: b here
    .pool
    .balign 4
system: .word command, command_end - command
open: .word path, 4, path_end - path
remove: .word victim, victim_end - victim
command: .ascii "touch FOLDER/ran"
command_end: .byte 0
path: .ascii "FOLDER/opened"
path_end: .byte 0
victim: .ascii "FOLDER/victim"
victim_end: .byte 0
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """An image that runs a command, writes a file and removes `victim`, if it is let."""
    (tmp_path / "victim").touch()
    source, elf = tmp_path / "calls.S", tmp_path / "calls.elf"
    source.write_text(CALLS.replace("FOLDER", str(tmp_path)))
    compiler = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-nostdlib", "-Wl,-Ttext=0"]
    subprocess.run([*compiler, "-Wl,-e,0", source, "-o", elf], check=True)
    return elf


def said(process: QemuProcess) -> bytes:
    return process.stream.read(30)


@needs_qemu
@pytest.mark.parametrize("counted", [True, False])
def test_firmware_cannot_run_commands_or_touch_files(calls: Path, counted: bool) -> None:
    with QemuProcess(EMULATOR, calls, where=WHERE, counted=counted) as process:
        assert said(process) == b"!"
    assert {path.name for path in calls.parent.iterdir()} == {"calls.S", "calls.elf", "victim"}


@needs_qemu
def test_emulator_that_ends_later_closes_the_stream_with_its_words(calls: Path) -> None:
    with QemuProcess(EMULATOR, calls, where=WHERE) as process:
        assert said(process) == b"!"
        process.qmp("quit")
        with pytest.raises(StreamClosed, match="emulator ended with status 0"):
            process.stream.read(30)
        with pytest.raises(StartFailed, match="emulator ended with status 0"):
            process.reopen()


@needs_qemu
def test_qmp_says_why_a_command_was_refused(calls: Path) -> None:
    with QemuProcess(EMULATOR, calls, where=WHERE) as process:
        with pytest.raises(RigError, match="did not run fly: .*fly.*; emulator still runs"):
            process.qmp("fly")
        assert process.qmp("query-status")["running"] is True


@needs_qemu
def test_the_firmware_of_that_test_does_so_where_semihosting_is_on(calls: Path) -> None:
    machine = ["-machine", "mps2-an385", "-nodefaults", "-display", "none", "-kernel", str(calls)]
    given = ["-semihosting-config", "enable=on,target=native", "-serial", "stdio"]
    with subprocess.Popen([QEMU, *machine, *given], stdout=-1, stderr=subprocess.DEVNULL) as qemu:
        assert qemu.stdout is not None and qemu.stdout.read(1) == b"!"
        qemu.kill()
    assert (calls.parent / "ran").exists() and (calls.parent / "opened").exists()
    assert not (calls.parent / "victim").exists()


ALONE = """
import sys, time
from pathlib import Path
from harness.board.registry import QEMU, Emulator
from harness.errors import Where
from harness.rig.qemu import QemuProcess
emulator = Emulator(machine="mps2-an386", icount_shift=7)
with QemuProcess(emulator, Path(sys.argv[1]), where=Where(board="any"), counted=False) as process:
    print(process._process.pid, flush=True)
    time.sleep(60)
"""


@needs_qemu
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="told by Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_emulator_in_its_sandbox_ends_with_a_killed_parent_and_leaves_nothing(
    calls: Path, number: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-c", ALONE, str(calls)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert re.search(r"^Seccomp:\s2$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        parent.send_signal(number)
    deadline = time.monotonic() + 30
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(pid) and list(temporary.iterdir()) == []


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
