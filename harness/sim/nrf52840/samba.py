"""The protocol of the Nano 33 BLE's bootloader: SAM-BA with Arduino's extensions I, K, X, Y and Z.

As Arduino's fork of bossac speaks it (src/Samba.cpp of its branch `nrf`) and as captures of its
`--debug` show the board's answers. Addresses of flash are those within the application.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Callable
from typing import Protocol

from harness.sim.errors import SimulationError

VERSION = b"Arduino Bootloader (SAM-BA extended) 2.0 [Arduino:IKXYZ]"
CHIP = b"nRF52840-QIAA"
BUFFER = 8192
"""Bytes of RAM that S writes to and Y copies from."""

_END = b"\n\r"
_MOST = 32
"""Bytes of a command; more without a `#` are none."""
_COMMAND = re.compile(rb"([A-Z])(?:([0-9A-Fa-f]{1,8})(?:,([0-9A-Fa-f]{1,8}))?)?\Z")


class Flash(Protocol):
    """The part of the flash that holds the application."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Its bytes."""

    def erase(self, offset: int) -> None:
        """All bits from there on are 1."""

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`."""


class SamBa:
    """The bootloader's end of the wire.

    What is no command is dropped up to the next `#`, without an answer: the uploader's deadline
    ends that. So are commands that read memory, which its uploader sends to other chips only.
    """

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._buffer = bytearray(BUFFER)
        self._from = 0
        self._said = bytearray()
        self._acts: dict[tuple[bytes, int], Callable[..., bytes]] = {
            **{(b"N", 0): lambda: _END, (b"V", 0): lambda: VERSION + _END},
            **{(b"I", 0): lambda: CHIP + _END, (b"K", 0): self._reset},
            **{(b"X", 1): self._erase, (b"S", 2): self._expect_data, (b"W", 2): self._write_word},
            **{(b"Y", 2): self._copy, (b"Z", 2): self._checksum},
        }
        self._data_to: tuple[int, int] | None = None
        self.reset_asked = False
        """Whether it was told to start the application; nothing is read after that."""

    def feed(self, data: bytes) -> bytes:
        """Bytes from the uploader; returns the answers."""
        self._said += data
        answers = b""
        while self._said and not self.reset_asked:
            if self._data_to is not None:
                if not self._take_data(*self._data_to):
                    break
                continue
            command, end, rest = self._said.partition(b"#")
            if not end:
                del self._said[:-_MOST]
                break
            self._said = rest
            answers += self._answer(bytes(command))
        return answers

    def _take_data(self, to: int, size: int) -> bool:
        """The bytes that follow S, all at once."""
        if len(self._said) < size:
            return False
        self._buffer[to : to + size] = self._said[:size]
        del self._said[:size]
        self._data_to = None
        return True

    def _answer(self, command: bytes) -> bytes:
        found = _COMMAND.search(command)
        if found is None:
            return b""
        name, *texts = found.groups()
        arguments = [int(text, 16) for text in texts if text]
        act = self._acts.get((name, len(arguments)))
        try:
            return act(*arguments) if act is not None else b""
        except SimulationError:
            return b""

    def _reset(self) -> bytes:
        self.reset_asked = True
        return b""

    def _erase(self, start: int) -> bytes:
        self._flash.erase(_within(start, 0, self._flash.size))
        return b"X" + _END

    def _expect_data(self, to: int, size: int) -> bytes:
        _within(to, size, BUFFER)
        if size:
            self._data_to = to, size
        return b""

    def _write_word(self, to: int, value: int) -> bytes:
        """The uploader sets up a routine of its own, which this chip does not run."""
        to = _within(to, 4, BUFFER)
        self._buffer[to : to + 4] = value.to_bytes(4, "little")
        return b""

    def _copy(self, at: int, size: int) -> bytes:
        """To flash; a size of 0 says from where in the buffer the next ones copy."""
        if size:
            _within(self._from, size, BUFFER)
            data = bytes(self._buffer[self._from : self._from + size])
            self._flash.program(_within(at, size, self._flash.size), data)
        else:
            self._from = _within(at, 0, BUFFER)
        return b"Y" + _END

    def _checksum(self, at: int, size: int) -> bytes:
        """CRC-16 of the CCITT, beginning with 0."""
        data = self._flash.read(_within(at, size, self._flash.size), size)
        return b"Z%08X#" % crc_hqx(data, 0) + _END


def _within(at: int, size: int, room: int) -> int:
    if at + size > room:
        raise SimulationError(f"{size} bytes at 0x{at:x} are not within {room}")
    return at
