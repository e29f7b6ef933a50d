"""QEMU as a board: its UART is a unix socket, and its clock counts instructions."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.board.registry import Emulator
from harness.errors import RigError, StartFailed, ToolMissing, Where
from harness.link.streams import SocketStream, connect_unix
from harness.process import LastWords, end_group, start

QEMU = "qemu-system-arm"
START_S = 10.0
ANSWER_S = 5.0
"""Time limit of a QMP command; a stopped QEMU never answers."""
_CONSOLE_MACHINES = ("mps2-",)
"""Machines whose firmware also reads from QEMU's semihosting console."""

_CONSOLE_WANTED = "loader,addr=0x3ffffc,data=0x434c4948,data-len=4"
"""Tells that firmware to do so: see `firmware/src/port/mps2.cpp`."""

_WAITING = "QEMU waiting for connection"


def qemu_command(
    emulator: Emulator, elf: Path, folder: Path, qemu: str, *, counted: bool = True
) -> list[str]:
    """Command line that boots `elf` with its UART and QMP on sockets in `folder`.

    `wait=on` holds the CPU until the UART is connected, so that no byte is lost at start. `mux=on`
    puts a buffer of 32 bytes before the UART, which holds one: the guest then finds the next byte
    without waiting for QEMU's main loop, and batches run three times as fast. A multiplexer also
    looks for an escape character; no byte equals 0x100.

    Args:
        counted: count instructions, which makes latency exact. Without, code runs several times as
            fast, and bytes for a board with a console (`has_console`) cross a thousand at a time:
            each one for its UART takes an iteration of QEMU's main loop.
    """
    command = [
        qemu,
        *("-machine", emulator.machine),
        *("-kernel", str(elf)),
        *("-display", "none"),
        *("-monitor", "none"),
        *("-audiodev", "none,id=none"),
        *("-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
    ]
    semihosting = "enable=on,target=native"
    uart = f"socket,id=uart,path={folder / 'uart'},server=on,wait=on"
    if has_console(emulator, counted=counted):
        # First, so that it listens when the UART does.
        console = f"socket,id=console,path={folder / 'console'},server=on,wait=off"
        command += ["-chardev", console, "-device", _CONSOLE_WANTED]
        semihosting += ",chardev=console"
    elif counted:
        command += ["-icount", f"shift={emulator.icount_shift}"]
    command += ["-semihosting-config", semihosting]
    command += ["-chardev", f"{uart},mux=on", "-serial", "chardev:uart", "-echr", "0x100"]
    return command


def has_console(emulator: Emulator, *, counted: bool) -> bool:
    """Whether bytes for the board go through the semihosting console instead of its UART."""
    return not counted and emulator.machine.startswith(_CONSOLE_MACHINES)


def dies_with_parent(command: list[str]) -> list[str]:
    """The command run by `setpriv --pdeathsig`, where that exists (Linux).

    The kernel then ends the emulator when the harness is killed, even by `kill -9`.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


class QemuProcess:
    """A running emulator; `with` starts and stops it.

    Args:
        where: put into errors; its port becomes `qemu:MACHINE`.
        counted: as for `qemu_command`.
        answer_s: how long a QMP command may take.

    Raises on entry:
        ToolMissing: QEMU is not installed.
        StartFailed: it ended, or did not open its UART, within START_S.
    """

    def __init__(
        self,
        emulator: Emulator,
        elf: Path,
        *,
        where: Where,
        counted: bool = True,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._emulator = emulator
        self._elf = elf
        self._counted = counted
        self._where = where
        self._answer_s = answer_s
        self._clock = clock
        self._sleep = sleep
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said: LastWords | None = None
        self._stream: SocketStream | None = None

    def __enter__(self) -> QemuProcess:
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise ToolMissing(
                QEMU, needed_for="an emulated board", install=f"sudo apt-get install {QEMU}"
            )
        try:
            # Not in the project: a unix socket's path must be shorter than 108 bytes.
            self._folder = Path(tempfile.mkdtemp(prefix="hil-qemu-"))
            command = qemu_command(
                self._emulator, self._elf, self._folder, qemu, counted=self._counted
            )
            self._process = start(
                dies_with_parent(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self._said = LastWords(self._process.stdout)
            self._stream = self._connect()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def stream(self) -> SocketStream:
        """The board's UART."""
        assert self._stream is not None, "not started"
        return self._stream

    def reopen(self) -> SocketStream:
        """Connect to the UART again after the connection was lost.

        Raises:
            StartFailed: QEMU has ended.
        """
        self._stream = self._connect()
        return self._stream

    def stop(self) -> None:
        """End QEMU and remove its sockets. Idempotent."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        try:
            if self._stream is not None:
                self._stream.close()
            if self._process is not None:
                end_group(self._process)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def last_words(self) -> str:
        """Exit status, if it ended, and the last output of QEMU and the firmware's handlers."""
        if self._process is None or self._said is None or self._folder is None:
            return "emulator not running"
        # The socket closes a moment before the process is gone.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        code = self._process.poll()
        state = "emulator still runs" if code is None else f"emulator ended with status {code}"
        lines = self._said.text(0.0 if code is None else 0.2).splitlines()
        said = "\n".join(line for line in lines if _WAITING not in line).strip()
        return f"{state}; it said: {said}" if said else state

    def power_cycle(self) -> None:
        """Reset the whole machine through QMP, as unplugging a board would.

        Raises:
            RigError: QEMU does not answer within ANSWER_S.
        """
        self.qmp("system_reset")

    def qmp(self, command: str, arguments: dict[str, object] | None = None) -> Any:
        """Run one QMP command on a connection of its own and return its answer.

        Raises:
            RigError: QEMU refused it or does not answer within ANSWER_S.
        """
        import asyncio  # with QMP's package 0.1 s: only where they run

        from qemu.qmp import QMPClient, QMPError

        assert self._folder is not None, "not started"
        path = str(self._folder / "qmp")

        async def talk() -> Any:
            client = QMPClient("hil")
            await client.connect(path)
            try:
                return await client.execute(command, arguments)
            finally:
                await client.disconnect()

        try:
            return asyncio.run(asyncio.wait_for(talk(), self._answer_s))
        except (QMPError, OSError, asyncio.TimeoutError) as error:
            why = str(error) or f"no answer within {self._answer_s:g} s"
            raise RigError(
                f"QEMU did not run {command}: {why}; {self.last_words()}", where=self._where
            ) from error

    def _connect(self) -> SocketStream:
        assert self._process is not None and self._folder is not None
        deadline = self._clock() + START_S
        uart = self._folder / "uart"
        console = has_console(self._emulator, counted=self._counted)
        inward = self._folder / "console" if console else None
        while self._clock() < deadline:
            try:
                return connect_unix(uart, last_words=self.last_words, inward=inward)
            except OSError:
                pass
            if self._process.poll() is not None:
                break
            self._sleep(0.002)
        raise StartFailed(
            f"emulator did not open its serial port: {self.last_words()}",
            where=self._where,
            hint=f"Command: {' '.join(map(str, self._process.args))}",  # type: ignore[arg-type]
        )
