"""Nordic's Power Profiler Kit II, by ppk2lab.

Of the two kept libraries ppk2lab is the one that sees lost samples (by the counter in each), has
tests and a simulated instrument, and is released (0.5.1, August 2026); ppk2-api (0.9.2, June 2023,
GPL) ignores the counter and has neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from harness.board.meters import MeterSpec
from harness.errors import CannotTell, MeterError, RigError, Where, located
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.meter import Identity
from harness.meter.ppk2_capture import Capture
from harness.meter.stated import Stated, own_options
from harness.text import printable

CHANNELS = 8
AMPERE, SOURCE = "ampere", "source"

_BEGIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ppk2Options:
    """How a PPK2 is wired, and what is known of its errors.

    `mode` is ampere (the board has its own supply, which flows through the meter) or source (the
    meter is the supply, of the rig file's `volts`); by default as the rig file's `supply` says.
    `power` switches the meter's output on: by
    default in source mode; in ampere mode it is left as it is. `gain_error`, `offset_amps` and
    `resolution_amps` stand in the place of what Nordic gives as typical for each range, and
    `calibrated` says when they were found. `volts_error` is the bound of the relative error of the
    supply, which a PPK2 does not measure.
    """

    mode: str | None = None
    power: bool | None = None
    resolution_amps: float | None = None
    gain_error: float | None = None
    offset_amps: float | None = None
    volts_error: float = 0.02
    calibrated: date | None = None

    def __post_init__(self) -> None:
        if self.mode not in (AMPERE, SOURCE, None):
            raise RigError(
                f"mode must be {AMPERE} or {SOURCE}, not {printable(self.mode or '', 20)!r}"
            )


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
        self._options = _options_of(spec)
        self._volts = _volts_of(spec)
        self._clock = clock
        self._capture: Capture | None = None
        self._device = device(spec)
        try:
            self._set_up(self._volts)
            self.identity = _identified(self._device, spec, self._options)
        except BaseException:
            self._device.close()
            raise

    @staticmethod
    def look(spec: MeterSpec, *, device: Callable[[MeterSpec], Any] = open_device) -> Identity:
        """Which one it is, by what it answers; nothing is switched.

        Raises:
            MeterError: as where it is opened.
        """
        options = _options_of(spec)
        _volts_of(spec)
        found = device(spec)
        try:
            return _identified(found, spec, options)
        finally:
            found.close()

    def _set_up(self, volts: float) -> None:
        """Mode, voltage and power, as the rig file has them."""
        from ppk2lab import Mode, Ppk2labError

        source = self._spec.powers
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
        most = self._volts
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


def _options_of(spec: MeterSpec) -> Ppk2Options:
    if spec.pin is not None and spec.pin >= CHANNELS:
        raise MeterError(
            f"a PPK2 has channels 0 to {CHANNELS - 1}", where=Where(meter=spec.name, port=spec.port)
        )
    options = own_options(spec, Ppk2Options, stated=False)
    if spec.supply and options.mode == AMPERE:
        raise MeterError(
            "it is no supply in mode ampere",
            where=Where(meter=spec.name, port=spec.port),
            hint="Leave out mode, or supply = true.",
        )
    return options


def _volts_of(spec: MeterSpec) -> float:
    if spec.volts is None:
        raise MeterError(
            "the voltage of the board's supply is not known, and a PPK2 does not measure it",
            where=Where(meter=spec.name, port=spec.port),
            hint="Say it in the rig file: volts = 3.3 in [boards.NAME.meter].",
        )
    return spec.volts


def _identified(device: Any, spec: MeterSpec, options: Ppk2Options) -> Identity:
    info, metadata = device.info, device.metadata
    revision = getattr(metadata, "hw", None)
    return Identity(
        kind="ppk2",
        serial_number=info.serial_number or spec.serial_number,
        firmware=info.firmware_version or (f"hardware {revision}" if revision else None),
        calibrated=options.calibrated,
        simulated=bool(info.simulated),
    )


def _or(said: float | None, otherwise: float) -> float:
    return otherwise if said is None else said
