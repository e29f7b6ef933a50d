"""What switches a board's power, as a rig file says it: a port of a hub, by uhubctl."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import RigError
from harness.toml import check_above_0

BY_SERIAL_NUMBER = "serial_number"
MOST_PORTS = 32
_LOCATION = re.compile(r"\d{1,3}(?:-\d{1,3}(?:\.\d{1,3}){0,6})?")
_SOCKET = re.compile(r"(\d{1,3}(?:-\d{1,3}(?:\.\d{1,3}){0,5})?)[-.](\d{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPort:
    """A port of a hub that can switch its power.

    `uhubctl` is the hub's location as uhubctl lists it, such as `1-1.4`, and `port` its number; or
    `serial_number`: the socket that the board of the rig file's serial number is plugged into.
    `off_s` is how long the power stays off. `port_stays` says that the board's serial port does not
    go with its power, as that of a bridge or debugger that has a supply of its own.
    """

    uhubctl: str
    port: int | None = None
    off_s: float = 2.0
    port_stays: bool = False

    def __post_init__(self) -> None:
        check_above_0(off_s=self.off_s)
        if self.uhubctl == BY_SERIAL_NUMBER:
            if self.port is not None:
                raise RigError("port is found by the serial number: leave it out")
        elif not _LOCATION.fullmatch(self.uhubctl):
            raise RigError(
                f"uhubctl must be a hub's location, such as 1-1.4, or {BY_SERIAL_NUMBER}"
            )
        elif self.port is None or not 0 < self.port <= MOST_PORTS:
            raise RigError(f"port must be the number of the hub's port, 1 to {MOST_PORTS}")

    def __str__(self) -> str:
        if self.port is None:
            return "uhubctl, by its serial number"
        return f"uhubctl, hub {self.uhubctl} port {self.port}"


def hub_port(socket: str) -> tuple[str, int] | None:
    """Hub and port of a USB socket, such as `1-1.4.2`: (`1-1.4`, 2); None if it is none."""
    found = _SOCKET.fullmatch(socket)
    return (found[1], int(found[2])) if found else None
