"""Sockets and serial ports as streams of bytes."""

from __future__ import annotations

import select
import socket
import termios
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import serial

from harness.errors import (
    StartFailed,
    Where,
)
from harness.holders import keep_others_out, why_not

CHUNK = 65536


POLL_S = 0.01


WRITE_S = 2.0
"""A local port that takes no bytes for this long is lost."""


RFC2217 = "rfc2217://"

SOCKET_WRITE_S = 20.0
"""The same for a socket: an emulator reads only when its firmware does, which may be computing."""


class StreamClosed(Exception):
    """The other end of a byte stream went away."""


class ByteStream(Protocol):
    """The bytes below a link. Both calls raise StreamClosed when the other end is gone."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, waiting at most `timeout_s` for the first byte; b"" if none did."""

    def write(self, data: bytes) -> None:
        """Queue all bytes."""

    def close(self) -> None:
        """Close the port. Idempotent."""


@runtime_checkable
class Rated(Protocol):
    """A byte stream whose rate can be changed."""

    def set_baud(self, baud: int) -> bool:
        """Change the rate of this end; False if it has no such rate."""


class SocketStream:
    """A connected stream socket, such as an emulator's UART.

    Args:
        last_words: asked when the other end has closed, for what is known of the reason.
    """

    def __init__(
        self,
        connection: socket.socket,
        last_words: Callable[[], str] = str,
    ) -> None:
        self._socket = connection
        self._last_words = last_words
        # Reads wait by poll. A board that reads nothing any more must not block a write for ever.
        self._socket.settimeout(SOCKET_WRITE_S)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def read(self, timeout_s: float) -> bytes:
        try:
            if not self._poll.poll(max(0.0, timeout_s) * 1000):
                return b""
            data = self._socket.recv(CHUNK)
        except OSError as error:
            raise StreamClosed(self._last_words() or str(error)) from error
        if not data:
            raise StreamClosed(self._last_words() or "closed by the other end")
        return data

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise StreamClosed(self._last_words() or str(error)) from error

    def close(self) -> None:
        self._socket.close()


class SerialStream:
    """A pyserial port, opened by name or URL with a time-out of POLL_S for each of its reads.

    The time-out is never changed: over RFC 2217 that negotiates the port anew and takes 100 ms.
    """

    def __init__(
        self, port: serial.SerialBase, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._port = port
        self._clock = clock

    def read(self, timeout_s: float) -> bytes:
        deadline = self._clock() + timeout_s
        try:
            while True:
                data: bytes = self._port.read(self._port.in_waiting or 1)
                if data or self._clock() >= deadline:
                    rest: bytes = self._port.read(self._port.in_waiting)
                    return data + rest
        except (OSError, TypeError) as error:
            # pyserial's SerialException is an OSError; a port closed under it raises TypeError.
            raise StreamClosed(str(error)) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, TypeError) as error:
            raise StreamClosed(str(error)) from error

    def set_baud(self, baud: int) -> bool:
        try:
            self._port.baudrate = baud
        except (ValueError, serial.SerialException, termios.error):
            return False  # Or the port is gone: the next write tells.
        except (OSError, TypeError) as error:
            raise StreamClosed(str(error)) from error
        return True

    def pulse_reset(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Reset a board whose reset pin hangs on DTR or RTS, without starting its bootloader.

        On an ESP32, RTS alone pulls EN low and DTR alone pulls GPIO0 low, as esptool does it; on
        an AVR the falling DTR resets. Both lines end as opening the port left them.

        Raises:
            StreamClosed: the port is gone, or has no such lines.
        """
        try:
            self._port.dtr, self._port.rts = False, True
            sleep(0.1)
            self._port.rts = False
            sleep(0.05)
            self._port.dtr, self._port.rts = True, True
        except (OSError, TypeError) as error:
            raise StreamClosed(str(error)) from error

    def close(self) -> None:
        # pyserial forgets to close a socket that the other end has closed.
        connection = getattr(self._port, "_socket", None)
        self._port.close()
        if connection is not None:
            connection.close()


USB_PACKET = 64
"""Bytes of a full packet of USB full speed."""


def padded(data: bytes) -> bytes:
    """Data for a board's own USB: with bytes in front that it ignores, up to full packets.

    mbed's USB stack asks for a packet's size only after it has let the next one in: if that is
    shorter, the end of the one before it is lost, each time that the same lengths are sent.
    The bytes stand in front, since a board takes what follows a `00` for a frame, also text.
    """
    ignored = b"\0" if data.startswith(b"\0") else b"\r"
    return ignored * (-len(data) % USB_PACKET) + data


def without_options(error: Exception) -> str:
    """What pyserial says, without the state of all its telnet options that ends some of it."""
    return str(error).partition(" [we-")[0]


def _pyserial(port: str, **how: Any) -> Any:
    if port.lower().startswith(RFC2217):
        from harness.link.rfc2217 import Rfc2217

        return Rfc2217(port, **how)
    return serial.serial_for_url(port, **how)


def _opened(port: str, baud: int) -> Any:
    """pyserial's port, open.

    Raises:
        OSError, ValueError: it cannot be opened.
    """
    # pyserial's RFC 2217 client knows neither of these.
    local = {} if "://" in port else {"exclusive": True, "write_timeout": WRITE_S}
    try:
        with warnings.catch_warnings():
            # pyserial starts its RFC 2217 reader in ways that Python has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            opened = _pyserial(port, baudrate=baud, timeout=POLL_S, **local)
        if port.lower().startswith("socket://"):
            opened.write_timeout = SOCKET_WRITE_S
        if local:
            keep_others_out(opened.fileno())
    except termios.error as error:  # No OSError: the port went away while it was opened.
        raise OSError(*error.args) from error
    return opened


def open_serial(port: str, *, where: Where, baud: int = 115200) -> SerialStream:
    """Open a serial port by path or pyserial URL, a path for this process alone.

    Raises:
        StartFailed: the port is absent, busy or not a serial port.
    """
    try:
        return SerialStream(_opened(port, baud))
    except (OSError, ValueError) as error:
        raise StartFailed(
            f"cannot open the port: {without_options(error)}",
            where=replace(where, port=port),
            hint=why_not(port, error),
        ) from error
