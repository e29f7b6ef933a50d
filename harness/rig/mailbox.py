"""Bytes for an emulated board by memory that it shares with the harness, without its UART."""

from __future__ import annotations

import mmap
import os
import socket
import tempfile
import time
from collections.abc import Callable
from typing import IO

from harness.link.streams import WRITE_S, SocketStream, StreamClosed

ADDRESSES = {"mps2-an385": 0x21000000, "mps2-an386": 0x21000000, "mps2-an500": 0x60000000}
"""Where machines have the memory that is shared; their firmware uses none of it otherwise."""

MEMORY_BYTES = 16 << 20
"""Of that memory in these machines. A page that nobody has written takes no room."""

# As in firmware/src/port/mps2.cpp: two indices that only grow, modulo 2^32, then the bytes.
_HEAD, _TAIL = 0, 1
_RING_AT = 4096
_RING_BYTES = 65536


class Mailbox:
    """The memory, and what is put into it. The firmware takes it out, and may write anything."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._file = _memory_file()
        self._file.truncate(MEMORY_BYTES)
        self._map = mmap.mmap(self._file.fileno(), _RING_AT + _RING_BYTES)
        self._words = memoryview(self._map).cast("I")
        self._head = 0

    @property
    def fd(self) -> int:
        """The memory's file, for QEMU to open."""
        return self._file.fileno()

    def put(self, data: bytes) -> None:
        """Put in all bytes, waiting for room.

        Raises:
            TimeoutError: the firmware took nothing for WRITE_S.
        """
        while data:
            room = self._wait_for_room()
            at = self._head % _RING_BYTES
            chunk = data[: min(room, _RING_BYTES - at)]
            self._map[_RING_AT + at : _RING_AT + at + len(chunk)] = chunk
            self._head = (self._head + len(chunk)) % 2**32
            self._words[_HEAD] = self._head
            data = data[len(chunk) :]

    def close(self) -> None:
        """Let the memory go. Idempotent."""
        self._words.release()
        self._map.close()
        self._file.close()

    def _room(self) -> int:
        """Free bytes; none if the firmware's index is one that cannot be."""
        return max(0, _RING_BYTES - (self._head - self._words[_TAIL]) % 2**32)

    def _wait_for_room(self) -> int:
        deadline = self._clock() + WRITE_S
        while not (room := self._room()):
            if self._clock() > deadline:
                raise TimeoutError(f"the board took none of its bytes for {WRITE_S:g} s")
            self._sleep(0.001)
        return room


class MailboxStream(SocketStream):
    """A UART of which only the bytes from the board are used; those for it go by the mailbox."""

    def __init__(
        self, connection: socket.socket, last_words: Callable[[], str], mailbox: Mailbox
    ) -> None:
        super().__init__(connection, last_words)
        self._mailbox = mailbox

    def write(self, data: bytes) -> None:
        try:
            self._mailbox.put(data)
        except TimeoutError as error:
            raise StreamClosed(str(error)) from error
        super().write(b"\0")  # Wakes the board.


def _memory_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("hil-mailbox"), "r+b")
    return tempfile.TemporaryFile()
