"""Lines of `seconds,volts,amperes[,pin]` read as numbers."""

from __future__ import annotations

import numpy as np

from harness.errors import CannotTell, said_by
from harness.meter.lines_source import LinesOptions
from harness.meter.recorder import Recorder
from harness.meter.stated import UNITS

MOST_LINE = 200
"""Bytes of a line; what is longer are no lines."""

MOST_STRANGE = 20
"""Lines in a row that are no numbers."""


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
