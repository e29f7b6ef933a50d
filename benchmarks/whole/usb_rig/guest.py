"""The guest at work: booted, asked through ssh, its USB changed through QMP, and ended."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whole.usb_rig.image import Image
from benchmarks.whole.usb_rig.machine import (
    Bridge,
    Hub,
    Places,
    bridge_arguments,
    machine_command,
    ssh_command,
    uart_arguments,
)
from harness.errors import RigError
from harness.process import end_group, start
from harness.rig.qemu import dies_with_parent
from harness.rig.qmp import Qmp, QmpError

BOOT_S = 300.0
CALL_S = 120.0
QMP_S = 10.0
MOST_SAID = 1 << 20
HOST = "10.0.2.2"
"""This machine, as the guest sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command in the guest ended, and what it wrote. Status 124: it took too long."""

    status: int
    text: str
    seconds: float

    def __contains__(self, part: str) -> bool:
        return part in self.text

    @property
    def told(self) -> str:
        """The end of it on one line, for a table."""
        return " ".join(self.text.split())[-300:]

    @property
    def end(self) -> str:
        """The last lines."""
        return "\n".join(self.text.strip().splitlines()[-12:])


class Running:
    """A command in the guest that goes on meanwhile."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        self._begun = time.monotonic()
        with log.open("wb") as output:
            self._process = start(command, stdout=output, stderr=output)

    @property
    def text(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace")[-MOST_SAID:]

    def wait(self, timeout_s: float) -> Said:
        """Its end."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = 124
        self.end()
        return Said(status=status, text=self.text, seconds=time.monotonic() - self._begun)

    def wait_for(self, part: str, timeout_s: float) -> bool:
        """Whether it wrote something in time, before it ended."""
        until = time.monotonic() + timeout_s
        while part not in self.text:
            if time.monotonic() > until or self._process.poll() is not None:
                return part in self.text
            time.sleep(0.05)
        return True

    def end(self) -> None:
        """End our side of it, and with it what runs in the guest where it has a terminal."""
        end_group(self._process)


class Guest:
    """A booted guest; `with` starts it and ends it, whatever happens.

    Args:
        forwarded: TCP ports of the guest that this machine is to reach.

    Raises on entry:
        RigError: it did not start, or did not come up within BOOT_S.
    """

    def __init__(
        self, image: Image, checkout: Path, hubs: tuple[Hub, ...], forwarded: tuple[int, ...] = ()
    ) -> None:
        self._image = image
        self._checkout = checkout
        self._hubs = hubs
        self._forwarded = forwarded
        self._stack = ExitStack()
        self._running = 0
        self.boot_s = 0.0

    def __enter__(self) -> Guest:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="usb-rig-")))
            ports = _free_ports(1 + len(self._forwarded))
            forwarded = dict(zip(ports[1:], self._forwarded, strict=True))
            self.places = Places(folder=folder, ssh_port=ports[0], forwarded=forwarded)
            self._boot(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def port_here(self, there: int) -> int:
        """The TCP port of this machine that leads to one of the guest."""
        return next(here for here, other in self.places.forwarded.items() if other == there)

    def run(self, line: str, *, user: str = "hil", timeout_s: float = CALL_S) -> Said:
        """Run a shell's command line in the guest."""
        return self.start(line, user=user).wait(timeout_s)

    def start(self, line: str, *, user: str = "hil") -> Running:
        """Start a shell's command line in the guest."""
        self._running += 1
        log = self.places.folder / f"said-{self._running}"
        running = Running(self._ssh(user, f"bash -lc {shlex.quote(line)}"), log)
        self._stack.callback(running.end)
        return running

    def need(self, line: str, *, user: str = "root", timeout_s: float = CALL_S) -> str:
        """What a command line wrote that has to end well.

        Raises:
            RigError: it did not.
        """
        said = self.run(line, user=user, timeout_s=timeout_s)
        if said.status:
            raise RigError(f"in the guest, status {said.status} of: {line}\n{said.end}")
        return said.text

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file of the guest, as root."""
        folder = shlex.quote(str(Path(path).parent))
        put = f"printf %s {shlex.quote(text)} >{path} && chmod {mode} {path}"
        self.need(f"mkdir -p {folder} && {put}")

    def plug(self, bridge: Bridge, socket: str | None = None) -> None:
        """Put a bridge into its socket, or another one."""
        self.qmp("chardev-add", uart_arguments(bridge, self.places))
        self.qmp("device_add", bridge_arguments(bridge, socket or bridge.socket, self.places))

    def unplug(self, bridge: Bridge) -> None:
        """Pull a bridge out; its UART is closed too."""
        self.qmp("device_del", {"id": bridge.name})
        until = time.monotonic() + QMP_S
        while True:  # The device may go a moment later.
            try:
                self.qmp("chardev-remove", {"id": f"{bridge.name}-uart"})
                return
            except RigError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def qmp(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Raises RigError where QEMU refuses."""
        try:
            return self._qmp.run(command, arguments, timeout_s=QMP_S)
        except QmpError as error:
            raise RigError(f"QEMU did not {command} {arguments}: {error}") from error

    def _ssh(self, user: str, *words: str) -> list[str]:
        return ssh_command(self._image, self.places, user, *words)

    def _boot(self, stack: ExitStack) -> None:
        begun = time.monotonic()
        command = machine_command(self._image, self._checkout, self.places, self._hubs)
        log = stack.enter_context((self.places.folder / "qemu.log").open("wb"))
        process = start(
            dies_with_parent(command),
            stdout=log,
            stderr=log,
            environment={**os.environ, "TMPDIR": str(self.places.folder)},
        )
        stack.callback(end_group, process)
        self._qmp = Qmp(self._connect(process, begun))
        stack.callback(self._qmp.close)
        self._qmp.greet(QMP_S)
        while "guest is up" not in self._console():
            self._refuse_late(process, begun)
            time.sleep(0.2)
        self.boot_s = time.monotonic() - begun

    def _connect(self, process: subprocess.Popen[bytes], begun: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(str(self.places.qmp))
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                self._refuse_late(process, begun)
            time.sleep(0.02)

    def _refuse_late(self, process: subprocess.Popen[bytes], begun: float) -> None:
        if process.poll() is None and time.monotonic() - begun < BOOT_S:
            return
        said = (self.places.folder / "qemu.log").read_text(errors="replace")
        what = f"the guest did not come up within {BOOT_S:g} s"
        raise RigError(f"{what}: {said[-500:]}\n{self._console()[-500:]}")

    def _console(self) -> str:
        console = self.places.console
        return console.read_text(errors="replace") if console.exists() else ""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [server.getsockname()[1] for server in servers]
