"""Serial ports as this machine lists them, and which of them is a board."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import serial
from serial.tools import list_ports

from harness.board.registry import Board
from harness.board.rigfile import Plugged
from harness.errors import BoardNotFound, Where
from harness.names import is_serial_number
from harness.text import printable

LINKS = Path("/dev/serial")
POLL_S = 0.25
WATCH_S = 0.5
_SERIAL_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPort:
    """A port that is there now.

    `usb` is VID:PID in lower-case hex. `links` are its names under /dev/serial: by-id follows the
    device, by-path the socket it is plugged into. `socket` is that as the kernel names it: `1-1.2`.
    What the device says of itself is printable. `shared` says that another device, in another
    socket, has the same serial number, as cheap bridges do: then only the socket tells them apart.
    """

    path: str
    usb: str | None = None
    serial_number: str | None = None
    description: str = ""
    links: tuple[str, ...] = ()
    socket: str = ""
    shared: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        serial = f"serial number {self.serial_number}" if self.serial_number else ""
        serial += " (another device has it too)" if self.shared else ""
        words = (self.path, self.usb or "", serial, self.description, *self.links)
        return "  ".join(word for word in words if word)

    def named(self, name: str) -> bool:
        """Whether a path or link means this port."""
        return name == self.path or name in self.links


Listing = tuple[SerialPort, ...]


def list_serial_ports(links: Path = LINKS) -> Listing:
    """The ports that are there now."""
    named: dict[str, list[str]] = {}
    for link in sorted(links.glob("by-*/*")):
        named.setdefault(str(link.resolve()), []).append(str(link))
    listing = tuple(
        SerialPort(
            path=port.device,
            usb=None if port.vid is None else f"{port.vid:04x}:{port.pid:04x}",
            serial_number=printable(port.serial_number or "") or None,
            description="" if port.description in (None, "n/a") else printable(port.description),
            links=tuple(named.get(str(Path(port.device).resolve()), ())),
            socket=(getattr(port, "location", None) or "").partition(":")[0],
        )
        for port in sorted(list_ports.comports())
    )
    return tuple(replace(port, shared=_is_shared(port, listing)) for port in listing)


def _is_shared(port: SerialPort, listing: Listing) -> bool:
    """Whether a device in another socket has the port's serial number."""
    return any(
        same_serial(port.serial_number, other.serial_number) and port.socket != other.socket
        for other in listing
    )


def same_serial(one: str | None, other: str | None) -> bool:
    """Whether two serial numbers are the same one; bootloaders may pad it with zeros."""
    if not one or not other:
        return False
    return _digits(one) == _digits(other)


def _digits(serial_number: str) -> str:
    return serial_number.lower().zfill(_SERIAL_DIGITS)[-_SERIAL_DIGITS:]


def in_bootloader(board: Board, port: SerialPort) -> bool:
    """Whether the port is that of the board's bootloader, not of its firmware."""
    return port.usb in board.bootloader_usb


def again(before: SerialPort, listing: Listing) -> SerialPort | None:
    """The port now of the device that was at `before`, whatever its name and USB id; None if gone.

    By its serial number, or without one of its own by the USB socket it is plugged into; of a
    device with several ports the one with the same link. A port that is no USB device, such as a
    URL or the machine's own UART, is always there.
    """
    if before.usb is None:
        return before
    same = [port for port in listing if _same_device(before, port)]
    linked = [port for port in same if set(port.links) & set(before.links)]
    found = next(iter((*linked, *same)), None)
    # Where the other device of its number is away just now, the number is no more its own.
    return found and replace(found, shared=found.shared or before.shared)


def _same_device(one: SerialPort, other: SerialPort) -> bool:
    shared = one.shared or other.shared
    if shared and one.socket and other.socket:
        return one.socket == other.socket
    if one.serial_number and other.serial_number and not shared:
        return same_serial(one.serial_number, other.serial_number)
    sockets = {link for link in one.links if "/by-path/" in link}
    if sockets and other.links:
        return bool(sockets & set(other.links))
    return one.path == other.path


def find_port(
    board: Board,
    plugged: Plugged,
    listing: Listing,
    *,
    neighbours: tuple[Plugged, ...] = (),
) -> SerialPort:
    """The port of a board, which may be in its bootloader.

    By the rig file's port (a path, link or URL; one that is not listed is taken as it stands), else
    by its serial number, else by the USB ids in `boards.toml` if exactly one port has them that
    no neighbour in the rig file claims.

    Raises:
        BoardNotFound: no port, or several; lists all that were seen.
    """
    found = candidates(board, plugged, listing, neighbours=neighbours)
    if len(found) == 1:
        return found[0]
    if plugged.port is not None and not found:
        return SerialPort(path=plugged.port)
    by = _looked_for(board, plugged)
    likely = found or _unclaimed(listing, neighbours) or listing
    raise BoardNotFound(
        f"{len(found)} ports have {by}" if found else f"no port has {by}",
        where=Where(board=board.id),
        several=bool(found),
        hint=_how_to_choose(board, likely, listing),
    )


def _looked_for(board: Board, plugged: Plugged) -> str:
    if plugged.port is not None:
        return f"the serial number in {printable(plugged.port)}"
    if plugged.serial_number is not None:
        return f"serial number {plugged.serial_number}"
    usb = (*board.usb, *board.bootloader_usb)
    return f"the USB id {' or '.join(usb) or 'of this kind of board, which is not known'}"


def candidates(
    board: Board,
    plugged: Plugged,
    listing: Listing,
    *,
    neighbours: tuple[Plugged, ...] = (),
) -> Listing:
    """The listed ports that may be the board's: none, one, or several."""
    if plugged.port is not None:
        found = tuple(port for port in listing if port.named(plugged.port))
        by_number = "/by-id/" in plugged.port and any(port.shared for port in found)
        return _alike(found[0], listing) if by_number else found
    if plugged.serial_number is not None:
        number = plugged.serial_number
        return tuple(port for port in listing if same_serial(port.serial_number, number))
    usb = (*board.usb, *board.bootloader_usb)
    return tuple(port for port in listing if port.usb in usb and not _claimed(port, neighbours))


def _unclaimed(listing: Listing, neighbours: tuple[Plugged, ...]) -> Listing:
    """USB ports that are no other board's in the rig file."""
    return tuple(port for port in listing if port.usb and not _claimed(port, neighbours))


def _alike(one: SerialPort, listing: Listing) -> Listing:
    """The ports that a link by a serial number may mean: udev has it lead to either of them."""
    return tuple(port for port in listing if same_serial(port.serial_number, one.serial_number))


def _claimed(port: SerialPort, neighbours: tuple[Plugged, ...]) -> bool:
    return any(
        same_serial(port.serial_number, other.serial_number)
        or (other.port is not None and port.named(other.port))
        for other in neighbours
    )


def rig_lines(board_id: str, kind: str, port: SerialPort, listing: Listing) -> str:
    """Lines to paste into a rig file, which say that a board is at this port.

    They name the serial number, or the port if it has none, shares it with others, or has one that
    no rig file takes.
    """
    lines = [f"[boards.{board_id}]"] + ([f'kind = "{kind}"'] if kind != board_id else [])
    number = port.serial_number or ""
    if is_serial_number(number) and _sharing(number, listing) == 1:
        return "\n".join([*lines, f'serial_number = "{number}"'])
    place = json.dumps(_name_that_stays(port), ensure_ascii=False)  # TOML's escapes too.
    return "\n".join([*lines, f"port = {place}"])


def _name_that_stays(port: SerialPort) -> str:
    """The link by its socket, else another one of its own, else its path."""
    links = sorted(port.links, key=lambda link: "/by-path/" not in link)
    return next((link for link in links if "/by-path/" in link or not port.shared), port.path)


def _sharing(number: str, listing: Listing) -> int:
    """How many ports have a serial number."""
    return sum(same_serial(number, port.serial_number) for port in listing)


def _how_to_choose(board: Board, likely: Listing, listing: Listing) -> str:
    if not listing:
        return "No serial port is there at all. Is it plugged in, by a cable that carries data?"
    seen = "\n".join(f"  {port}" for port in listing)
    example = likely[0]
    path = _name_that_stays(example) if example.shared else example.path
    alike = (
        "Devices of one serial number are told apart by the socket that each is plugged into: "
        "leave them there.\n"
        if example.shared
        else ""
    )
    return (
        f"Seen were:\n{seen}\n{alike}"
        f"Say which it is: --hil-port {board.id}={path} (pytest), --port {path} "
        f"(hil), or in the rig file:\n{rig_lines(board.id, board.kind, example, listing)}"
    )


def touch_port(path: str, baud: int) -> None:
    """Open and close a port at the rate that starts the bootloader.

    Raises:
        OSError: it cannot be opened.
    """
    port = serial.Serial(path, baudrate=baud)
    # The board may be gone before it is let go, which is what the touch is for.
    with suppress(OSError):
        port.dtr = False
    with suppress(OSError):
        port.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Serial ports and clock of the machine that boards are plugged into; tests script them."""

    ports: Callable[[], Listing] = list_serial_ports
    touch: Callable[[str, int], None] = touch_port
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait_for(
        self, accept: Callable[[Listing], SerialPort | None], timeout_s: float
    ) -> SerialPort | None:
        """The first port that `accept` returns for a listing, polled; None when time is up."""
        deadline = self.clock() + timeout_s
        while (found := accept(self.ports())) is None and self.clock() < deadline:
            self.sleep(POLL_S)
        return found


THIS_MACHINE = Bench()


def kind_of(port: SerialPort, boards: Iterable[Board]) -> Board | None:
    """The board of `boards.toml` that has the port's USB id; None if none or several have it."""
    fitting = [
        board
        for board in boards
        if board.id == board.kind and port.usb in (*board.usb, *board.bootloader_usb)
    ]
    return fitting[0] if len(fitting) == 1 else None


def changes(before: Listing, after: Listing) -> list[tuple[str, SerialPort]]:
    """Ports that were `unplugged` and `plugged` in between two listings, in this order."""
    gone = [("unplugged", port) for port in before if port not in after]
    return gone + [("plugged", port) for port in after if port not in before]
