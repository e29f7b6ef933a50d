"""What went over USB, as QEMU's devices write it down: pcap files with Linux's usbmon packets.

It is how a hub tells that its power was switched, and a bridge that DTR, RTS, the rate or a break
were: QEMU itself passes none of that on to a socket. Formats: https://wiki.wireshark.org/USB,
Documentation/admin-guide/usbmon.rst (64 bytes before the data), USB 2.0 chapter 11.24 (hubs), and
drivers/usb/serial/ftdi_sio.h of Linux (the bridge's requests).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FILE_HEAD = 24
_RECORD = struct.Struct("<IIII")
_PACKET = 64
_TYPE, _TRANSFER, _SETUP = 8, 9, slice(40, 48)
_CONTROL = 2
_MOST_RECORD = 1 << 16

_CLEAR_FEATURE, _SET_FEATURE, _PORT_POWER = 1, 3, 8
_HUB_PORT, _VENDOR = 0x23, 0x40
_MODEM, _BAUD, _DATA = 1, 3, 4
_BREAK = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """A hub was told to switch a port."""

    port: int
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Modem:
    """A bridge was told to change lines; None leaves one as it is."""

    dtr: bool | None = None
    rts: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A bridge was told its rate."""

    baud: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A bridge was told to begin or end a break."""

    on: bool


Event = Power | Modem | Rate | Break


def event_of(setup: bytes) -> Event | None:
    """What a control request's eight bytes ask of a hub or an FTDI bridge; None for the rest."""
    kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
    if kind == _HUB_PORT and value == _PORT_POWER and request in (_CLEAR_FEATURE, _SET_FEATURE):
        return Power(port=index & 0xFF, on=request == _SET_FEATURE)
    if kind != _VENDOR:
        return None
    if request == _MODEM:
        return Modem(dtr=_line(value, 0), rts=_line(value, 1))
    if request == _BAUD:
        return Rate(baud=_baud(value, index))
    if request == _DATA:
        return Break(on=bool(value & _BREAK))
    return None


def _line(value: int, bit: int) -> bool | None:
    return bool(value >> bit & 1) if value >> bit + 8 & 1 else None


def _baud(value: int, index: int) -> int:
    """Of an FT232BM: 3 MHz over a divisor with eighths, whose code is in the upper bits."""
    eighths = (0, 4, 2, 1, 3, 5, 6, 7)[value >> 14 | (index & 1) << 2]
    divisor = value & 0x3FFF
    if divisor in (0, 1) and not eighths:
        return 3_000_000 if divisor == 0 else 2_000_000
    return round(24_000_000 / (8 * divisor + eighths))


def requests(data: bytes) -> Iterator[bytes]:
    """The control requests in the records of a pcap file, without its head."""
    at = 0
    while at + _RECORD.size <= len(data):
        length = _RECORD.unpack_from(data, at)[2]
        if not _PACKET <= length <= _MOST_RECORD:
            raise ValueError(f"a record of {length} bytes is none of usbmon's")
        packet = data[at + _RECORD.size : at + _RECORD.size + length]
        if packet[_TYPE] == ord("S") and packet[_TRANSFER] == _CONTROL:
            yield packet[_SETUP]
        at += _RECORD.size + length


def whole_records(data: bytes) -> int:
    """How many of the bytes are whole records: the file may be read while it is written."""
    at = 0
    while at + _RECORD.size <= len(data):
        length = _RECORD.unpack_from(data, at)[2]
        if at + _RECORD.size + length > len(data):
            break
        at += _RECORD.size + length
    return at


class Traffic:
    """A pcap file that is still being written, read on from where it was read before.

    QEMU begins it anew when its device is plugged in again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = _FILE_HEAD

    def events(self) -> list[Event]:
        """Those since the last time; none where there is no file yet."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._at:
                    self._at = _FILE_HEAD
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = whole_records(data)
        self._at += whole
        found = (event_of(setup) for setup in requests(data[:whole]))
        return [event for event in found if event is not None]
