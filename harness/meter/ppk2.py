"""Nordic's Power Profiler Kit II, by ppk2lab.

Of the two kept libraries ppk2lab is the one that sees lost samples (by the counter in each), has
tests and a simulated instrument, and is released (0.5.1, August 2026); ppk2-api (0.9.2, June 2023,
GPL) ignores the counter and has neither.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.meters import MeterSpec
from harness.errors import CannotTell, MeterError, RigError, Where, located
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.meter import Identity
from harness.meter.recorder import Recorder
from harness.meter.stated import Stated, own_options
from harness.text import printable

Floats = NDArray[np.float64]

RATE_HZ = 100_000.0
RANGES = 5
CHANNELS = 8

SETTLE = 3
"""Samples after a change of range that are not current, as ppk2lab's own filter has it."""

_CODES = 1 << 14
_BEGIN_S = 5.0
_IDLE_S = 2.0
"""A PPK2 sends 400 kB/s all the time: after so long without any it is gone."""

_LAG_S = 0.5
"""How long what was sampled before the end may take to arrive."""

_END_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ppk2Options:
    """How a PPK2 is wired, and what is known of its errors.

    `mode` is ampere (the board has its own supply, which flows through the meter) or source (the
    meter is the supply, of the rig file's `volts`). `power` switches the meter's output on: by
    default in source mode; in ampere mode it is left as it is. `gain_error`, `offset_amps` and
    `resolution_amps` stand in the place of what Nordic gives as typical for each range, and
    `calibrated` says when they were found. `volts_error` is the bound of the relative error of the
    supply, which a PPK2 does not measure.
    """

    mode: str = "ampere"
    power: bool | None = None
    resolution_amps: float | None = None
    gain_error: float | None = None
    offset_amps: float | None = None
    volts_error: float = 0.02
    calibrated: date | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("ampere", "source"):
            raise RigError(f"mode must be ampere or source, not {printable(self.mode, 20)!r}")


def open_device(spec: MeterSpec) -> Any:
    """The instrument by its serial number or port, or the only one there is.

    Raises:
        MeterError: ppk2lab is not installed; none or several are there, or another program has it.
    """
    where = Where(meter=spec.name, port=spec.port)
    try:
        from ppk2lab import PPK2, Ppk2labError
    except ImportError as error:
        raise MeterError(
            "ppk2lab is not installed; a meter of kind ppk2 needs it",
            where=where,
            hint="Install it: python -m pip install 'tinyml-hil[ppk2]' (Python 3.11 or newer)",
        ) from error
    try:
        # Said, so that no variable of the environment puts a simulated one in its place.
        return PPK2.open(serial_number=spec.serial_number, port=spec.port, simulate=False)
    except Ppk2labError as error:
        raise _told(error, where) from error


def _told(error: Any, where: Where) -> MeterError:
    """An error of ppk2lab, with its remedy."""
    return MeterError(printable(error.message, 300), where=where, hint=error.remediation)


class Ppk2Meter(ClosedAtEnd):
    """An open PPK2. What it sources it stops to source when it is closed."""

    def __init__(
        self,
        spec: MeterSpec,
        *,
        device: Callable[[MeterSpec], Any] = open_device,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where = Where(meter=spec.name, port=spec.port)
        self._spec = spec
        self._options = own_options(spec, Ppk2Options, stated=False)
        if spec.volts is None:
            raise MeterError(
                "the voltage of the board's supply is not known, and a PPK2 does not measure it",
                where=self._where,
                hint="Say it in the rig file: volts = 3.3 in [boards.NAME.meter].",
            )
        if spec.pin is not None and spec.pin >= CHANNELS:
            raise MeterError(f"a PPK2 has channels 0 to {CHANNELS - 1}", where=self._where)
        self._clock = clock
        self._capture: Capture | None = None
        self._device = device(spec)
        try:
            self._set_up(spec.volts)
            self.identity = self._identified()
        except BaseException:
            self._device.close()
            raise

    def _identified(self) -> Identity:
        info, metadata = self._device.info, self._device.metadata
        revision = getattr(metadata, "hw", None)
        return Identity(
            kind="ppk2",
            serial_number=info.serial_number or self._spec.serial_number,
            firmware=info.firmware_version or (f"hardware {revision}" if revision else None),
            calibrated=self._options.calibrated,
            simulated=bool(info.simulated),
        )

    def _set_up(self, volts: float) -> None:
        """Mode, voltage and power, as the rig file has them."""
        from ppk2lab import Mode, Ppk2labError

        source = self._options.mode == "source"
        try:
            self._device.set_mode(Mode.SOURCE if source else Mode.AMPERE)
            # In ampere mode it is what the currents are corrected by.
            self._device.set_source_voltage_mv(round(volts * 1000))
            power = source if self._options.power is None else self._options.power
            if power or self._options.power is not None:
                self._device.set_dut_power(power)
        except Ppk2labError as error:
            raise _told(error, self._where) from error

    def arm(self, volts: float | None = None) -> None:
        """Start the stream, and wait for its first sample.

        Raises:
            MeterError: as the protocol says; or `volts` are above the rig file's.
        """
        if self._capture is not None:
            raise MeterError("the meter is armed already", where=self._where)
        most = self._spec.volts or 0.0
        if volts is not None and volts > most:
            raise MeterError(
                f"{volts:g} V are above the {most:g} V of the rig file",
                where=self._where,
                hint="Raise volts in [boards.NAME.meter] only if the board stands it.",
            )
        volts = most if volts is None else volts
        if volts != most:
            self._set_up(volts)
        capture = Capture(self._device, volts, self._spec.pin, self._clock)
        capture.start()
        begun = capture.begun.wait(_BEGIN_S)
        if not begun or not isinstance(capture.failure, (CannotTell, type(None))):
            capture.stop()
            raise self._lost(capture.failure, "the meter sends no samples")
        self._capture = capture

    def disarm(self) -> Trace:
        """Stop the stream."""
        if self._capture is None:
            raise MeterError("the meter is not armed", where=self._where)
        capture, self._capture = self._capture, None
        capture.stop()
        with located(self._where):
            if isinstance(capture.failure, CannotTell):
                raise capture.failure
            if capture.failure is not None:
                raise self._lost(capture.failure, "the meter was lost while it sampled")
            return replace(capture.trace(self._stated()), simulated=self.identity.simulated)

    def _lost(self, failure: Exception | None, what: str) -> MeterError:
        told = getattr(failure, "message", None) or str(failure or "nothing came in time")
        hint = getattr(failure, "remediation", "") or "Was it unplugged?"
        return MeterError(f"{what}: {printable(told, 200)}", where=self._where, hint=hint)

    def _stated(self) -> tuple[Stated, ...]:
        """Of each range: as the rig file says, else as Nordic has it, by ppk2lab."""
        from ppk2lab.capture.stats import RANGE_RESOLUTION_UA, RANGE_TYPICAL_ACCURACY

        options = self._options
        pairs = zip(RANGE_RESOLUTION_UA, RANGE_TYPICAL_ACCURACY, strict=True)
        return tuple(
            Stated(
                resolution_amps=_or(options.resolution_amps, step_ua * 1e-6),
                gain_error=_or(options.gain_error, accuracy),
                # What a sample may be off without a reading is not given: its resolution at most.
                offset_amps=_or(options.offset_amps, step_ua * 1e-6),
                volts_error=options.volts_error,
            )
            for step_ua, accuracy in pairs
        )

    def close(self) -> None:
        """Stop, switch off what was switched on, and let the port go."""
        if self._capture is not None:
            capture, self._capture = self._capture, None
            capture.stop()
        self._device.close()


def _or(said: float | None, otherwise: float) -> float:
    return otherwise if said is None else said


class Capture:
    """A thread that takes the samples of one stream.

    Args:
        volts: by which currents are corrected, and those of the trace.
        pin: the digital channel that is kept.
    """

    def __init__(
        self, device: Any, volts: float, pin: int | None, clock: Callable[[], float]
    ) -> None:
        self.taken_s = 0.0
        self.begun = threading.Event()
        self.failure: Exception | None = None
        self._device = device
        self._volts = volts
        self._pin = pin
        self._clock = clock
        self._begun_s = 0.0
        self._until_s = self._at_most_s = inf
        self._amps = current_table(device.calibration, volts)
        self._settling = Settling()
        self._recorder = Recorder()
        self._gaps: list[tuple[float, float]] = []
        self._lost = 0
        self._thread = threading.Thread(target=self._take, name="meter-ppk2", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the stream once it has brought all up to now, and wait for the thread."""
        # A meter that has lost samples unseen is behind the clock, and stays so.
        self._at_most_s = self._clock() + _LAG_S
        self._until_s = self._clock() - self._begun_s
        self._thread.join(_END_S)
        if self._thread.is_alive() and self.failure is None:
            self.failure = TimeoutError(f"its stream did not end within {_END_S:g} s")

    def ended(self) -> bool:
        """Whether the stream has failed."""
        return self.failure is not None

    def trace(self, stated: tuple[Stated, ...]) -> Trace:
        """What was taken."""
        return self._recorder.trace(
            stated,
            volts=self._volts,
            rate_hz=RATE_HZ,
            gaps=tuple(self._gaps),
            lost=self._lost,
        )

    def _take(self) -> None:
        try:
            with self._device.stream(idle_timeout_s=_IDLE_S) as events:
                for event in events:
                    self._keep(event)
                    self._note_begun()
                    if self.taken_s >= self._until_s or self._clock() > self._at_most_s:
                        break
        except Exception as error:  # Told by arm and disarm, in the thread that asks.
            self.failure = error
            self.begun.set()

    def _note_begun(self) -> None:
        if not self.begun.is_set():
            self._begun_s = self._clock() - self.taken_s
            self.begun.set()

    def _keep(self, event: Any) -> None:
        if hasattr(event, "words"):
            self._keep_samples(event.start_index, np.frombuffer(event.words, np.uint32))
        else:
            self._keep_gap(event.index, event.missing)

    def _keep_samples(self, first: int, words: NDArray[np.uint32]) -> None:
        codes, ranges = words % _CODES, (words >> 14 & 7).astype(np.uint8)
        if ((codes == _CODES - 1) & (ranges == RANGES - 1)).any():
            raise CannotTell(
                "the current is above what the meter measures", hint="A PPK2 measures up to 1 A."
            )
        amps = self._amps[ranges, codes]
        if np.isnan(amps).any():
            raise CannotTell(
                f"the meter has no calibration for range {int(ranges[np.isnan(amps)][0])}",
                hint="See what it says of itself: ppk2lab doctor --json",
            )
        self.taken_s = (first + len(words)) / RATE_HZ
        settled = self._settling.settled(amps, ranges)
        self._recorder.add(
            (np.arange(len(words), dtype=float) + first + 0.5) / RATE_HZ,
            settled,
            None,
            None if self._pin is None else (words >> (24 + self._pin)) & 1 == 1,
            ranges,
            # What was drawn right after a change of range is between what was sampled and held.
            np.abs(amps - settled),
        )

    def _keep_gap(self, index: int, missing: int | None) -> None:
        """One of unknown length ends where it starts: harness.measure.energy_trace."""
        self._settling = Settling()
        self._gaps.append((index / RATE_HZ, (index + (missing or 0)) / RATE_HZ))
        self._lost += missing or 0


def current_table(calibration: Any, volts: float) -> Floats:
    """Amperes of each range and code, by ppk2lab's own conversion; NaN where it has none.

    To look a block of samples up in it takes a hundredth of the time of converting each.

    Returns:
        Shape (8, 16384).
    """
    table = np.full((8, _CODES), np.nan)
    for number, constants in enumerate(calibration.ranges):
        if constants is not None:
            convert = constants.convert
            table[number] = [convert(code, volts * 1000) * 1e-6 for code in range(_CODES)]
    return table


class Settling:
    """Holds the current over the samples right after a change of range, across blocks."""

    def __init__(self) -> None:
        self._range: int | None = None
        self._held = np.nan
        self._since = SETTLE

    def settled(self, amps: Floats, ranges: NDArray[np.uint8]) -> Floats:
        """The same currents, those that are none replaced by the last one before."""
        index = np.arange(len(amps))
        before = np.concatenate(([ranges[0] if self._range is None else self._range], ranges[:-1]))
        changes = np.where(ranges != before, index, -1 - self._since)
        since = index - np.maximum.accumulate(changes)
        last = np.maximum.accumulate(np.where(since >= SETTLE, index, -1))
        held: Floats = np.where(last < 0, self._held, amps[last])
        self._range, self._since = int(ranges[-1]), min(SETTLE, int(since[-1]))
        self._held = float(held[-1])
        return held
