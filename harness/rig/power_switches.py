"""What switches a board's power: a port of a hub by uhubctl, or a power resource of a pool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

from harness.board.ports import Listing, SerialPort, same_serial
from harness.board.power import HubPort, hub_port
from harness.board.rigfile import Plugged
from harness.errors import RigError, ToolMissing, Where
from harness.files import write_atomic
from harness.names import is_serial_number
from harness.pool.hold import Held
from harness.process import run_told
from harness.text import printable

UHUBCTL = "uhubctl"
INSTALL_UHUBCTL = "sudo apt-get install -y uhubctl"

_STATE = re.compile(r"^ *Port (\d+): ([0-9a-f]{4}) (.*)$", re.MULTILINE)


class Switch(Protocol):
    """What turns a board's power off and on."""

    @property
    def name(self) -> str:
        """In words, for the list of what was tried."""

    def off(self) -> None:
        """Raises RigError."""

    def on(self) -> None:
        """Raises RigError."""


class HubSwitch:
    """A port of a hub, by uhubctl.

    Args:
        socket: hub and port.
        name: in words.
    """

    def __init__(
        self, socket: tuple[str, int], name: str, *, timeout_s: float, where: Where
    ) -> None:
        self._socket = socket
        self.name = name
        self._timeout_s = timeout_s
        self._where = where

    def off(self) -> None:
        state = self._switch("off")
        if state is not None and "power" in state.split():
            hub, port = self._socket
            raise RigError(
                f"{UHUBCTL} could not switch port {port} of hub {hub} off: it is {state!r}",
                where=self._where,
                hint="This hub cannot switch the port; see the list of hubs that can, at "
                "https://github.com/mvp/uhubctl",
            )

    def on(self) -> None:
        self._switch("on")

    def _switch(self, action: str) -> str | None:
        """Switch; returns the port's state after it, as uhubctl says it."""
        hub, port = self._socket
        command = [UHUBCTL, "--location", hub, "--ports", str(port), "--action", action]
        try:
            status, said = run_told(command, timeout_s=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise RigError(
                f"{UHUBCTL} took longer than {self._timeout_s:g} s", where=self._where
            ) from None
        if status == 127 and UHUBCTL in said:
            raise ToolMissing(UHUBCTL, needed_for="the board's power", install=INSTALL_UHUBCTL)
        if status:
            raise RigError(
                f"{UHUBCTL} ended with status {status} for port {port} of hub {hub}",
                where=self._where,
                hint=f"It said: {printable(said, 400)}\n`{UHUBCTL}` alone lists the hubs that can "
                "switch; without root it needs the udev rules of `hil udev`.",
            )
        after = said.rpartition("New status")[2]
        states = {int(number): text for number, _, text in _STATE.findall(after)}
        return states.get(port)


class PoolSwitch:
    """A power resource of the board's place, by labgrid."""

    def __init__(self, held: Held, *, timeout_s: float) -> None:
        self._held = held
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return f"labgrid, place {self._held.place}"

    def off(self) -> None:
        self._held.power("off", timeout_s=self._timeout_s)

    def on(self) -> None:
        self._held.power("on", timeout_s=self._timeout_s)


def remember_socket(folder: Path, port: SerialPort) -> None:
    """Note which socket the board of a serial number is plugged into, for when it is gone."""
    number = port.serial_number or ""
    if is_serial_number(number) and not port.shared and hub_port(port.socket):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / number
        if not path.is_file() or path.read_text() != port.socket:
            write_atomic(path, port.socket.encode())


def find_socket(
    serial_number: str, listing: Listing, folder: Path, where: Where
) -> tuple[str, int]:
    """Hub and port of the board of a serial number: where it is, else where it was last.

    Raises:
        RigError: neither is known, another device is in its socket now, or several have the number.
    """
    here = [port for port in listing if same_serial(port.serial_number, serial_number)]
    if len(sockets := sorted({port.socket for port in here})) > 1:
        raise RigError(
            f"{len(sockets)} devices have serial number {serial_number}, in the sockets "
            f"{', '.join(sockets)}: which of them is to lose its power is not known",
            where=where,
            hint='Name hub and port: power = { uhubctl = "1-1", port = 2 }',
        )
    path = folder / serial_number
    socket = here[0].socket if here else path.read_text() if path.is_file() else ""
    found = hub_port(socket)
    if found is None:
        raise RigError(
            f"which hub port has the board of serial number {serial_number} is not known",
            where=where,
            hint="Plug it in and run it once: its socket is then remembered. Or name hub and port: "
            'power = { uhubctl = "1-1", port = 2 }',
        )
    others = [port for port in listing if port.socket == socket and port not in here]
    if others:
        raise RigError(
            f"another device is in the socket that the board was in last: {others[0]}",
            where=where,
            hint="Its power is left alone. Plug the board in, or name hub and port.",
        )
    return found


def switch_of(
    power: HubPort, plugged: Plugged, listing: Listing, folder: Path, where: Where
) -> HubSwitch:
    """uhubctl for a board of the rig file.

    Raises:
        RigError: as `find_socket`.
    """
    if power.port is not None:
        socket = (power.uhubctl, power.port)
    else:
        socket = find_socket(plugged.serial_number or "", listing, folder, where)
    hub, port = socket
    name = f"{UHUBCTL}, hub {hub} port {port}"
    return HubSwitch(socket, name, timeout_s=plugged.deadlines.power_s, where=where)
