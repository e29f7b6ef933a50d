"""An instrument whose program writes CSV files: one file, or the newest in a folder."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from harness import toml
from harness.board.meters import MeterSpec
from harness.errors import CannotTell, MeterError, RigError, Where
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.meter import Identity
from harness.meter.recorder import Recorder
from harness.meter.stated import UNITS, check_unit, own_options, refuse_supply, stated_of
from harness.text import listed, printable

MOST_BYTES = 2_000_000_000
MOST_ROWS = 100_000_000
MOST_LINE = 65_536
_ROWS = 200_000
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """How a CSV is to be read.

    `time`, `current`, `voltage` and `logic` are names of columns. `time_unit` is s, ms, us or ns,
    `current_unit` A, mA, uA or nA, `voltage_unit` V or mV. A `logic` column has the pin as 0 and 1,
    or a digit for each channel, channel 0 first. `pattern` says which files of a folder are looked
    at; a new one is waited for `wait_s` and taken once it has not changed for `settle_s`.
    """

    time: str
    current: str
    voltage: str | None = None
    logic: str | None = None
    time_unit: str = "s"
    current_unit: str = "A"
    voltage_unit: str = "V"
    separator: str = ","
    decimal: str = "."
    skip_lines: int = 0
    pattern: str = "*.csv"
    wait_s: float = 30.0
    settle_s: float = 0.5

    def __post_init__(self) -> None:
        toml.check_above_0(wait_s=self.wait_s, settle_s=self.settle_s)
        for name, base in (("time_unit", "s"), ("current_unit", "A"), ("voltage_unit", "V")):
            check_unit(name, getattr(self, name), base)
        if len(self.separator) != 1 or self.decimal not in (".", ",", ""):
            raise RigError("separator must be one character, decimal a point or a comma")
        if not 0 <= self.skip_lines <= 1000:
            raise RigError(f"skip_lines must be from 0 to 1000, not {self.skip_lines}")


def _factor(unit: str) -> float:
    return UNITS[unit[:-1]]


Stamp = tuple[int, int, int]
"""Of a file: when it was changed, its size and its inode."""


class CsvMeter(ClosedAtEnd):
    """Takes the file that has appeared or changed between arm and disarm.

    Args:
        spec: `path` is a file or a folder.
    """

    def __init__(
        self,
        spec: MeterSpec,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._where = Where(meter=spec.name)
        if spec.path is None:
            raise MeterError(
                "a meter of kind csv needs a path",
                where=self._where,
                hint='path = "FILE or FOLDER" in [boards.NAME.meter].',
            )
        self._spec = spec
        refuse_supply(spec)
        self._stated = stated_of(spec)
        self._options = own_options(spec, CsvOptions)
        self._path = Path(spec.path).expanduser()
        self._clock = clock
        self._sleep = sleep
        self._before: dict[Path, Stamp] | None = None
        self._volts = spec.volts
        self.identity = Identity(
            kind="csv", serial_number=spec.serial_number, calibrated=self._stated.calibrated
        )

    @staticmethod
    def look(spec: MeterSpec) -> Identity:
        """The instrument's name; whether files come is not known before a run.

        Raises:
            MeterError: the place where they are to come is not there, or not readable.
        """
        meter = CsvMeter(spec)
        meter._refuse_absent()
        return meter.identity

    def _refuse_absent(self) -> None:
        folder = self._path if self._path.is_dir() else self._path.parent
        if not folder.is_dir():
            raise MeterError(
                f"{printable(str(self._path))} is not there", where=self._where, hint=_WRITES
            )
        if not os.access(folder, os.R_OK | os.X_OK):
            raise MeterError(
                f"your user may not read {printable(str(folder))}", where=self._where, hint=_WRITES
            )

    def arm(self, volts: float | None = None) -> None:
        """Remember which files are there."""
        self._refuse_absent()
        self._volts = self._spec.volts if volts is None else volts
        self._before = self._stamps()

    def disarm(self) -> Trace:
        """Wait for the file, and read it."""
        if self._before is None:
            raise MeterError("the meter is not armed", where=self._where)
        before, self._before = self._before, None
        path = self._settled(before)
        try:
            return self._read(path)
        except CannotTell as error:
            raise CannotTell(
                f"{printable(str(path))}: {error.reason}", where=self._where, hint=error.hint
            ) from error

    def close(self) -> None:
        """Nothing is open between calls."""

    def _stamps(self) -> dict[Path, Stamp]:
        folder = self._path.is_dir()
        paths = sorted(self._path.glob(self._options.pattern)) if folder else [self._path]
        return {path: stamp for path in paths if (stamp := _stamp(path)) is not None}

    def _settled(self, before: dict[Path, Stamp]) -> Path:
        """The newest file that is not as it was, once it no longer changes."""
        deadline = self._clock() + self._options.wait_s
        last: tuple[Path, Stamp] | None = None
        since = self._clock()
        while self._clock() < deadline:
            new = {
                path: stamp for path, stamp in self._stamps().items() if before.get(path) != stamp
            }
            newest = max(new.items(), key=lambda item: item[1], default=None)
            if newest != last:
                last, since = newest, self._clock()
            elif last is not None and self._clock() - since >= self._options.settle_s:
                return last[0]
            self._sleep(_POLL_S)
        what = "still changes" if last else "was not written"
        raise MeterError(
            f"a new {printable(str(last[0] if last else self._path))} {what} "
            f"{self._options.wait_s:g} s after the windows",
            where=self._where,
            hint=_WRITES,
        )

    def _read(self, path: Path) -> Trace:
        recorder, rows = Recorder(), 0
        for table in self._tables(path):
            recorder.add(*self._samples(table))
            rows += len(table)
            if rows > MOST_ROWS:  # It grows as it is read.
                raise CannotTell(f"more than {MOST_ROWS} rows")
        return recorder.trace((self._stated,), volts=self._volts)

    def _tables(self, path: Path) -> Iterator[Any]:
        import pandas as pd  # 0.3 s

        options = self._options
        names = [options.time, options.current, options.voltage, options.logic]
        try:
            with (
                _opened(path) as file,
                pd.read_csv(
                    file,
                    sep=options.separator,
                    decimal=options.decimal or ".",
                    skiprows=options.skip_lines,
                    usecols=[name for name in names if name is not None],
                    dtype={options.logic: str} if options.logic else None,
                    chunksize=_ROWS,
                ) as tables,
            ):
                yield from tables
        except (OSError, ValueError) as error:  # Also pandas' own errors of parsing.
            raise CannotTell(
                printable(str(error), 300), hint=f"Columns that are read: {listed(_given(names))}."
            ) from error

    def _samples(self, table: Any) -> tuple[Any, Any, Any, Any]:
        options = self._options
        volts = options.voltage and _floats(table, options.voltage, _factor(options.voltage_unit))
        return (
            _floats(table, options.time, _factor(options.time_unit)),
            _floats(table, options.current, _factor(options.current_unit)),
            volts if options.voltage else None,
            self._pin(table) if options.logic else None,
        )

    def _pin(self, table: Any) -> NDArray[np.bool_]:
        """Channel `pin` of the digits in the logic column."""
        texts = table[self._options.logic].str.strip()
        channel = self._spec.pin or 0
        widths = texts.str.len()
        digits = texts if (widths == 1).all() else texts.str[channel]
        if not digits.isin(("0", "1")).all():
            raise CannotTell(
                f"column {printable(self._options.logic or '')} has no 0 or 1 for channel {channel}"
            )
        pin: NDArray[np.bool_] = (digits == "1").to_numpy()
        return pin


_WRITES = "Does the instrument's program record while the board runs, and into this place?"


def _opened(path: Path) -> TextIO:
    """The file, which stays the same one while it is read, whatever is put in its place.

    Raises:
        CannotTell: it is none, such as a pipe, or has no lines.
        OSError: it cannot be opened.
    """
    file = open(path, encoding="utf-8-sig", errors="replace", newline="", opener=_without_waiting)
    try:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise CannotTell("it is no file")
        if found.st_size > MOST_BYTES:
            raise CannotTell(f"larger than {MOST_BYTES} bytes")
        if found.st_size > MOST_LINE and "\n" not in file.read(MOST_LINE):
            raise CannotTell(f"no line of it ends within {MOST_LINE} characters")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Of a pipe, open waits for its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _given(names: list[str | None]) -> list[str]:
    return [printable(name, 60) for name in names if name is not None]


def _floats(table: Any, name: str, factor: float) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = table[name].to_numpy(dtype=float) * factor
    except (ValueError, TypeError, OverflowError) as error:
        raise CannotTell(
            f"column {printable(name, 60)} has what is no number: {printable(str(error), 100)}",
            hint="Which decimal sign does the file have (decimal), and which separator?",
        ) from error
    if not np.isfinite(values).all():
        raise CannotTell(f"column {printable(name, 60)} has an empty cell")
    return values
