"""Where the lines of an instrument come from: a serial port, a URL, or a program."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import serial

from harness import toml
from harness.board.meters import MeterSpec
from harness.errors import MeterError, RigError, Where
from harness.holders import keep_others_out, why_not
from harness.meter.stated import check_unit
from harness.process import end_group, start
from harness.text import printable

READ_S = 0.05
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesOptions:
    """How lines come and what stands in them.

    They come from the meter's port (a path, or a URL such as socket://HOST:PORT) at `baud`, or are
    what `command` writes, a list of words. `begin` is sent as a line when the meter is armed, `end`
    when it is disarmed. Fields are time, voltage, current and, if there is a fourth one, the pin as
    0 or 1; an empty voltage stands for `volts` of the rig file. Times that start again at
    `time_wraps` go on. After disarm lines are waited for `lag_s`, since they take a while to come.
    """

    baud: int = 115200
    command: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""
    separator: str = ","
    time_unit: str = "s"
    voltage_unit: str = "V"
    current_unit: str = "A"
    time_wraps: float | None = None
    lag_s: float = 0.2

    def __post_init__(self) -> None:
        toml.check_above_0(baud=self.baud, time_wraps=self.time_wraps)
        for name, base in (("time_unit", "s"), ("voltage_unit", "V"), ("current_unit", "A")):
            check_unit(name, getattr(self, name), base)
        if len(self.separator) != 1 or self.separator.isalnum():
            raise RigError("separator must be one character that is no letter or digit")
        if not 0 <= self.lag_s <= 10:
            raise RigError(f"lag_s must be from 0 to 10, not {self.lag_s:g}")


class Source(Protocol):
    """Bytes of an instrument. All raise OSError when it is gone."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; b"" if nothing did in time."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class PortSource:
    """A serial port or a pyserial URL."""

    def __init__(self, port: str, baud: int) -> None:
        local = {} if "://" in port else {"exclusive": True, "write_timeout": 2.0}
        self._port = serial.serial_for_url(port, baudrate=baud, timeout=READ_S, **local)
        if local:
            keep_others_out(self._port.fileno())

    def read(self, timeout_s: float) -> bytes:
        try:
            # Of a URL pyserial does not know how much waits: this returns after its own time-out.
            data: bytes = self._port.read(_CHUNK)
        except TypeError as error:  # As pyserial's for a port closed by another thread.
            raise OSError("it was closed") from error
        return data

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def close(self) -> None:
        self._port.close()


class CommandSource:
    """A program that writes the lines, and reads what is sent; it ends when this is closed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = start(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._out, self._in = self._process.stdout, self._process.stdin

    def read(self, timeout_s: float) -> bytes:
        if not select.select([self._out], [], [], timeout_s)[0]:
            return b""
        data = os.read(self._out.fileno(), _CHUNK)
        if not data:
            raise OSError(f"the command ended with status {self._process.wait(2.0)}")
        return data

    def write(self, data: bytes) -> None:
        self._in.write(data)

    def close(self) -> None:
        end_group(self._process)
        self._out.close()
        self._in.close()


def open_source(spec: MeterSpec, options: LinesOptions) -> Source:
    """The port or the command that a rig file names.

    Raises:
        MeterError: neither or both are named, or it cannot be opened.
    """
    where = Where(meter=spec.name, port=spec.port)
    if (spec.port is None) == (not options.command):
        raise MeterError(
            "a meter of kind lines needs either a port or a command",
            where=where,
            hint='port = "/dev/ttyUSB0" or "socket://HOST:PORT", or command = ["PROGRAM", "ARG"].',
        )
    try:
        if spec.port is not None:
            return PortSource(spec.port, options.baud)
        return CommandSource(options.command)
    except (OSError, ValueError) as error:
        raise MeterError(
            f"cannot open the meter: {printable(str(error), 200)}",
            where=where,
            hint=why_not(spec.port, error) if spec.port else "Is it installed, and may it run?",
        ) from error
