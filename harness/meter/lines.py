"""Any instrument that sends lines of `seconds,volts,amperes[,pin]`: over a port, TCP or a pipe."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import serial

from harness import toml
from harness.board.meters import MeterSpec
from harness.errors import CannotTell, MeterError, RigError, Where, located, said_by
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.meter import Identity
from harness.meter.recorder import Recorder
from harness.meter.stated import UNITS, check_unit, own_options, stated_of
from harness.process import end_group, start
from harness.text import printable

MOST_LINE = 200
"""Bytes of a line; what is longer are no lines."""

MOST_STRANGE = 20
"""Lines in a row that are no numbers."""

_READ_S = 0.05
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
        self._port = serial.serial_for_url(port, baudrate=baud, timeout=_READ_S, **local)

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
            hint="Is it plugged in, is your user in its group, does another program hold it?",
        ) from error


class LinesMeter(ClosedAtEnd):
    """Reads lines all the time, and keeps those between arm and disarm."""

    def __init__(
        self,
        spec: MeterSpec,
        *,
        source: Callable[[MeterSpec, LinesOptions], Source] = open_source,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._where = Where(meter=spec.name, port=spec.port)
        self._spec = spec
        self._stated = stated_of(spec)
        self._options = own_options(spec, LinesOptions)
        self._sleep = sleep
        self._volts = spec.volts
        self._parser: Parser | None = None
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._untold: CannotTell | None = None
        self._over = threading.Event()
        self._source = source(spec, self._options)
        self._thread = threading.Thread(target=self._read, name="meter-lines", daemon=True)
        self._thread.start()
        self.identity = Identity(
            kind="lines", serial_number=spec.serial_number, calibrated=self._stated.calibrated
        )

    @property
    def taken(self) -> Recorder:
        """What has come since it was armed."""
        return self._parser.recorder if self._parser is not None else Recorder()

    def arm(self, volts: float | None = None) -> None:
        """Keep what comes from now on."""
        if self._parser is not None:
            raise MeterError("the meter is armed already", where=self._where)
        self._volts = self._spec.volts if volts is None else volts
        self._refuse_lost()
        self._send(self._options.begin)
        with self._lock:
            self._untold = None
            self._parser = Parser(self._options)

    def disarm(self) -> Trace:
        """What has come since."""
        if self._parser is None:
            raise MeterError("the meter is not armed", where=self._where)
        self._sleep(self._options.lag_s)
        with self._lock:
            parser, self._parser = self._parser, None
        self._refuse_lost()
        self._send(self._options.end)
        with located(self._where):
            if self._untold is not None:
                raise self._untold
            return parser.recorder.trace((self._stated,), volts=self._volts)

    def close(self) -> None:
        """End reading, and let the port or command go."""
        self._over.set()
        self._thread.join(2.0)
        self._source.close()

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                data = self._source.read(_READ_S)
                with self._lock:
                    self._feed(data)
        except Exception as error:  # Told by arm and disarm, in the thread that asks.
            self._failure = error

    def _feed(self, data: bytes) -> None:
        """What cannot be told of one capture is no reason not to begin another one."""
        if self._parser is None or self._untold is not None:
            return
        try:
            self._parser.feed(data)
        except CannotTell as error:
            self._untold = error

    def _send(self, text: str) -> None:
        try:
            if text:
                self._source.write(f"{text}\n".encode())
        except OSError as error:
            self._failure = error
            self._refuse_lost()

    def _refuse_lost(self) -> None:
        error = self._failure
        if error is None:
            return
        raise MeterError(
            f"the meter was lost while it sampled: {printable(str(error), 200)}",
            where=self._where,
            hint="Was it unplugged, or its program ended?",
        ) from error


class Parser:
    """Lines of numbers from pieces of bytes, into a recorder."""

    def __init__(self, options: LinesOptions) -> None:
        self.recorder = Recorder()
        self._separator = options.separator.encode()
        self._factors = [
            UNITS[unit[:-1]]
            for unit in (options.time_unit, options.voltage_unit, options.current_unit)
        ]
        self._wraps = options.time_wraps
        self._added = 0.0
        self._last = -np.inf
        self._rest: bytes | None = None
        self._strange = 0

    def feed(self, data: bytes) -> None:
        """Take a piece; the first line of all may be half a one, and is left out.

        Raises:
            CannotTell: these are no lines, or no numbers.
        """
        if self._rest is None:
            _, found, data = data.partition(b"\n")
            if not found:
                return
            self._rest = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MOST_LINE:
            raise CannotTell(
                f"the meter sends no lines: {len(self._rest)} bytes without an end of one",
                hint="Is its baud rate the one of the rig file?",
            )
        rows = [row for line in lines if (row := self._row(line)) is not None]
        if rows:
            self._keep(rows)

    def _row(self, line: bytes) -> tuple[float, float, float, float] | None:
        """Time, voltage, current and pin; None for a line that is no numbers, as a heading."""
        fields = line.strip().split(self._separator)
        try:
            seconds, amps = float(fields[0]), float(fields[2])
            volts = float(fields[1]) if fields[1].strip() else np.nan
            pin = float(fields[3]) if len(fields) > 3 else np.nan
        except (ValueError, IndexError):
            self._strange += 1
            if self._strange > MOST_STRANGE:
                raise CannotTell(
                    f"the meter sends lines that are no numbers: {said_by(line)}",
                    hint="Wanted are seconds, volts and amperes, with the rig file's separator.",
                ) from None
            return None
        self._strange = 0
        return self._unwrapped(seconds), volts, amps, pin

    def _unwrapped(self, seconds: float) -> float:
        if self._wraps is not None and seconds < self._last - self._wraps / 2:
            self._added += self._wraps
        self._last = seconds
        return seconds + self._added

    def _keep(self, rows: list[tuple[float, float, float, float]]) -> None:
        seconds, volts, amps, pin = np.array(rows).T
        by_time, by_volts, by_amps = self._factors
        self.recorder.add(
            seconds * by_time,
            amps * by_amps,
            None if np.isnan(volts).all() else volts * by_volts,
            None if np.isnan(pin).all() else pin > 0.5,
        )
