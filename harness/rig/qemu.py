"""QEMU as a board: its UART is a socket, and its clock counts instructions.

The firmware in it is not trusted: no semihosting, by which it could open files and run commands on
this machine, no network, and a sandbox around QEMU itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.board.registry import Emulator
from harness.errors import RigError, StartFailed, ToolMissing, Where
from harness.link.streams import SocketStream
from harness.process import LastWords, end_group, start
from harness.rig.counting import InvokeCounter
from harness.rig.faultline import FaultLineStream
from harness.rig.mailbox import ADDRESSES, MEMORY_BYTES, Mailbox, MailboxStream
from harness.rig.qmp import Qmp, QmpError

START_S = 10.0
ANSWER_S = 5.0
"""Time limit of a QMP command; a stopped QEMU never answers."""

ENDING_S = 0.2
"""A socket closes a moment before its process is gone."""

SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
"""QEMU's own system call filter: no programs, no other user, no priorities."""

_MAILBOX_WORD = "loader,addr=0x3ffffc,data={:#x},data-len=4"
"""Tells the firmware where the mailbox is: see `firmware/src/port/mps2.cpp`."""

_NO_NETWORK = "has no peer"
"""A warning: the machine's network chip is connected to nothing, as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """File descriptors that QEMU inherits: sockets for the UART and QMP, memory to share, and a
    file for what a plugin counts."""

    uart: int
    qmp: int
    mailbox: int | None = None
    counts: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """Those that there are."""
        found = (self.uart, self.qmp, self.mailbox, self.counts)
        return tuple(fd for fd in found if fd is not None)


def qemu_command(
    emulator: Emulator,
    elf: Path,
    wires: Wires,
    qemu: str,
    *,
    counted: bool = True,
    sandbox: tuple[str, ...] = SANDBOX,
) -> list[str]:
    """Command line that boots `elf` with its UART and QMP on inherited sockets.

    `mux=on` puts a buffer of 32 bytes before the UART, which holds one: the guest then finds the
    next byte without waiting for QEMU's main loop, and batches run three times as fast. A
    multiplexer also looks for an escape character; no byte equals 0x100. What the second UART says,
    QEMU says: the words of the firmware's fault handlers, after which the watchdog ends it. Where
    there is none, `FaultLineStream` finds them among what the first one says.

    Args:
        wires: with a mailbox only for a machine of `ADDRESSES`.
        counted: count instructions, which makes latency exact. Without, code runs several times as
            fast.
    """
    command = [
        *(qemu, "-nodefaults", *sandbox),
        *("-machine", emulator.machine + (",memory-backend=mailbox" if wires.mailbox else "")),
        *("-kernel", str(elf)),
        *("-display", "none"),
        *("-audiodev", "none,id=none"),
        *("-nic", "none"),
        *("-action", "watchdog=poweroff"),
        *("-chardev", f"socket,id=qmp,fd={wires.qmp}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=uart,fd={wires.uart}{',mux=on' if emulator.mux else ''}"),
        *("-serial", "chardev:uart", "-echr", "0x100"),
    ]
    if emulator.fault_uart:
        command += ["-chardev", "file,id=faults,path=/dev/fd/1", "-serial", "chardev:faults"]
    if wires.mailbox is not None:
        memory = f"memory-backend-file,id=mailbox,size={MEMORY_BYTES},share=on"
        command += ["-object", f"{memory},mem-path=/dev/fd/{wires.mailbox}"]
        command += ["-device", _MAILBOX_WORD.format(ADDRESSES[emulator.machine])]
    if counted:
        command += ["-icount", f"shift={emulator.icount_shift}"]
    return command + list(emulator.arguments)


def installed_qemu(emulator: Emulator) -> str:
    """Path of the QEMU that has the emulator's machine.

    Raises:
        ToolMissing: it is not installed.
    """
    qemu = shutil.which(emulator.program)
    if qemu is None:
        raise ToolMissing(
            emulator.program,
            needed_for="an emulated board",
            install=f"sudo apt-get install {emulator.package}",
        )
    return qemu


@cache
def sandbox_of(qemu: str) -> tuple[str, ...]:
    """SANDBOX, or nothing if this QEMU was built without it, as all are that are not for Linux."""
    if not sys.platform.startswith("linux"):
        return ()
    command = [qemu, *SANDBOX, "-version"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=START_S)
    except (OSError, subprocess.TimeoutExpired):
        return SANDBOX
    return () if done.returncode else SANDBOX


_STILL_CHILD = 'test "$PPID" = "$0" && exec "$@"'


def dies_with_parent(command: list[str]) -> list[str]:
    """The command run by `setpriv --pdeathsig`, where that exists (Linux).

    The kernel then ends the emulator when the harness is killed, even by `kill -9`, and with the
    thread that starts it: no thread of the harness but the main one does. It is not started where
    the harness was killed before the kernel was asked for that.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return command
    shell = ["/bin/sh", "-c", _STILL_CHILD, str(os.getpid())]
    return [setpriv, "--pdeathsig", "KILL", *shell, *command]


class QemuProcess:
    """A running emulator; `with` starts and stops it.

    Args:
        where: put into errors; its port becomes `qemu:MACHINE`.
        counted: as for `qemu_command`.
        much: a lot is sent to the board, such as a model: through memory, where the machine has
            some for that, since QEMU takes 0.1 ms for each byte of a UART while it counts.
        counter: counts the instructions of each invoke.
        answer_s: how long a QMP command may take.

    Raises on entry:
        ToolMissing: QEMU is not installed.
        StartFailed: it ended, or did not run, within START_S.
    """

    def __init__(
        self,
        emulator: Emulator,
        elf: Path,
        *,
        where: Where,
        counted: bool = True,
        much: bool = False,
        counter: InvokeCounter | None = None,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._emulator = emulator
        self._elf = elf
        self._counted = counted
        self._much = much or not counted
        self._counter = counter
        self._where = where
        self._answer_s = answer_s
        self._clock = clock
        self._sleep = sleep
        self._process: subprocess.Popen[bytes] | None = None
        self._said: LastWords | None = None
        self._fault = ""
        self._mailbox: Mailbox | None = None
        self._uart: socket.socket | None = None
        self._qmp: Qmp | None = None
        self._stream: SocketStream | None = None
        self._open = ExitStack()

    def __enter__(self) -> QemuProcess:
        try:
            self._start(installed_qemu(self._emulator))
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
        """A new stream to the UART, after the one before was lost.

        Raises:
            StartFailed: QEMU has ended.
        """
        self._stream = self._connect()
        return self._stream

    def uart(self) -> socket.socket:
        """The UART itself, for another process to have: the caller closes it."""
        assert self._uart is not None, "not started"
        return self._uart.dup()

    def restart(self) -> None:
        """Start QEMU anew after it ended, as by a fault, with the same firmware; then `reopen`.

        Raises:
            RigError: it has not ended: what it hangs in would be lost.
            ToolMissing: QEMU is not installed any more.
        """
        assert self._process is not None, "not started"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_S)
        if self._process.poll() is None:
            raise RigError("QEMU still runs", where=self._where)
        self.stop()
        self._fault = ""
        self._mailbox = None
        self._start(installed_qemu(self._emulator))

    def stop(self) -> None:
        """End QEMU and close its sockets. Idempotent."""
        self._open.close()

    def last_words(self) -> str:
        """Exit status, if it ended, and the last output of QEMU and the firmware's handlers."""
        if self._process is None or self._said is None:
            return "emulator not running"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_S)
        code = self._process.poll()
        state = "emulator still runs" if code is None else f"emulator ended with status {code}"
        lines = self._said.text(0.0 if code is None else ENDING_S).splitlines()
        said = self._fault or "\n".join(line for line in lines if _NO_NETWORK not in line).strip()
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
        assert self._qmp is not None, "not started"
        try:
            return self._qmp.run(command, arguments, timeout_s=self._answer_s)
        except QmpError as error:
            raise RigError(
                f"QEMU did not run {command}: {error}; {self.last_words()}", where=self._where
            ) from error

    def _start(self, qemu: str) -> None:
        with ExitStack() as theirs:
            uart, qmp = (self._socket(theirs) for _ in range(2))
            self._uart, self._qmp = uart[0], Qmp(qmp[0], self._clock)
            if self._much and self._emulator.machine in ADDRESSES:
                self._mailbox = Mailbox(self._clock, self._sleep)
                self._open.callback(self._mailbox.close)
            wires = Wires(
                uart=uart[1].fileno(),
                qmp=qmp[1].fileno(),
                mailbox=self._mailbox.fd if self._mailbox else None,
                counts=self._counter.fd if self._counter else None,
            )
            command = qemu_command(
                *(self._emulator, self._elf, wires, qemu),
                counted=self._counted,
                sandbox=sandbox_of(qemu),
            )
            if self._counter is not None:
                command += self._counter.option
            self._process = start(
                dies_with_parent(command),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                inherited=wires.all,
            )
            self._open.callback(end_group, self._process)
        self._said = LastWords(self._process.stdout)

    def _end_with(self, fault: str) -> None:
        assert self._process is not None
        self._fault = fault
        end_group(self._process)

    def _socket(self, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
        """A connected pair: our end, and that for QEMU, which only it keeps open."""
        ours, given = socket.socketpair()
        self._open.enter_context(ours)
        return ours, theirs.enter_context(given)

    def _connect(self) -> SocketStream:
        assert self._process is not None and self._qmp is not None
        try:
            self._qmp.greet(START_S)
            if self._process.poll() is not None:
                raise QmpError("it has ended")
        except QmpError as error:
            raise StartFailed(
                f"emulator does not run ({error}): {self.last_words()}",
                where=self._where,
                hint=f"Command: {shlex.join(self._process.args)}",  # type: ignore[arg-type]
            ) from error
        # A duplicate: whoever closes the stream does not close the only connection there is.
        connection = self.uart()
        stream: SocketStream
        if self._mailbox is not None:
            stream = MailboxStream(connection, self.last_words, self._mailbox)
        elif not self._emulator.fault_uart:
            stream = FaultLineStream(connection, self.last_words, self._end_with)
        else:
            stream = SocketStream(connection, self.last_words)
        self._open.callback(stream.close)
        return stream
