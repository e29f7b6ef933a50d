"""pyserial's RFC 2217 client, where a server that hangs up is told, and all is closed."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Any

import serial.rfc2217

from harness.text import printable

UNREAD_BYTES = 1 << 20
"""What may wait before anybody reads it; pyserial has no bound."""

MOST_SAID = 200
"""Characters of a server's last words."""

HEARD_S = 1.0
"""For reading what a server said that has hung up: it is here already."""


class Rfc2217(serial.rfc2217.Serial):  # type: ignore[misc]
    """Ends as pyserial's own does where a server hangs up, without a traceback of its thread.

    ser2net takes a client first and opens the device then; of one that is not there it says so and
    hangs up, of which pyserial says that the server knows no RFC 2217.
    """

    _socket: Any
    _read_buffer: Any
    _thread: Any

    def open(self) -> None:
        """Raises OSError, which has the server's last words if it has hung up."""
        try:
            super().open()
        except OSError as error:
            if said := self._last_words():
                raise OSError(said) from error
            raise
        self._read_buffer.maxsize = UNREAD_BYTES

    def close(self) -> None:
        connection = self._socket
        super().close()
        if connection is not None:  # One that the other end has closed is not closed by pyserial.
            connection.close()

    def _internal_raw_write(self, data: bytes) -> None:
        try:
            super()._internal_raw_write(data)
        except OSError:  # The server hung up: what it said before is read, then all is closed.
            reader = self._thread
            if reader not in (None, threading.current_thread()):
                reader.join(HEARD_S)
            raise

    def _telnet_read_loop(self) -> None:
        try:
            super()._telnet_read_loop()
        except OSError:  # It was answering an option when the server hung up.
            with suppress(queue.Full):
                self._read_buffer.put_nowait(None)

    def _last_words(self) -> str:
        came = list(self._read_buffer.queue) if self._read_buffer is not None else []
        if None not in came:
            return ""
        said = b"".join(came[: min(came.index(None), MOST_SAID)]).decode(errors="replace").strip()
        return "the server ended the connection" + (f": {printable(said)}" if said else "")
