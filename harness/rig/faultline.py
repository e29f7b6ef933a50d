"""An emulated board whose fault handler has no other UART than the board's."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from harness.link.streams import SocketStream, StreamClosed

_FAULT = re.compile(rb"\0(firmware fault: [ -~]*)\n\Z")
"""What the handler sends last: see `firmware/src/port/nrf51.cpp`. No answer ends like this: what
stands behind a byte 0 is a frame, which ends in one, or a line, and none begins so."""

_MOST_BYTES = 512


class FaultLineStream(SocketStream):
    """A UART by which a fault handler speaks too: its line is the end of the board.

    Args:
        end: ends the emulator, in which the board's code turns in a loop; given the line.
        last_words: as for `SocketStream`; asked after that.
    """

    def __init__(
        self, connection: socket.socket, last_words: Callable[[], str], end: Callable[[str], None]
    ) -> None:
        super().__init__(connection, last_words)
        self._end = end
        self._tail = b""

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        self._tail = (self._tail + data)[-_MOST_BYTES:]
        if data.endswith(b"\n") and (said := _FAULT.search(self._tail)):
            self._end(said[1].decode("ascii"))
            raise StreamClosed(self._last_words())
        return data
