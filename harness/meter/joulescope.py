"""Joulescopes (JS110, JS220, JS320), by their maker's pyjoulescope-driver.

The driver is a tree of topics: settings are published, and each stream of samples is a topic that
is subscribed to. Blocks carry the number of their first sample, from which gaps are found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from harness.board.meters import MeterSpec
from harness.errors import MeterError, RigError, Where, located
from harness.measure.energy_trace import NO_SAMPLE, Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.joulescope_signal import Signal
from harness.meter.meter import Identity
from harness.meter.recorder import Recorder
from harness.meter.stated import own_options, refuse_supply, stated_of
from harness.text import listed, printable

RATES_HZ = (1_000_000, 500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000)
"""That all models have: topic h/fs."""

CHANNELS = {"js110": 2}
"""Digital channels of models that have other than USUAL_CHANNELS."""

USUAL_CHANNELS = 4
_BEGIN_S = 5.0
_SILENT_S = 2.0
_LAG_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class JoulescopeOptions:
    """`rate_hz` is one of RATES_HZ, `current_range` a name of the driver's, such as `10 A`."""

    rate_hz: int = 100_000
    current_range: str = "auto"

    def __post_init__(self) -> None:
        if self.rate_hz not in RATES_HZ:
            raise RigError(
                f"rate_hz must be {listed([str(rate) for rate in RATES_HZ])}, not {self.rate_hz}"
            )


def open_driver(where: Where) -> Any:
    """The maker's driver, with no instrument open.

    Raises:
        MeterError: it is not installed, or does not start.
    """
    try:
        from pyjoulescope_driver import Driver
    except ImportError as error:
        raise MeterError(
            "pyjoulescope-driver is not installed; a meter of kind joulescope needs it",
            where=where,
            hint="Install it: python -m pip install 'tinyml-hil[joulescope]'",
        ) from error
    try:
        return Driver()
    except (RuntimeError, TimeoutError) as error:
        raise MeterError(
            f"its driver does not start: {printable(str(error))}", where=where
        ) from error


class JoulescopeMeter(ClosedAtEnd):
    """An open Joulescope: measures current and voltage, and is no supply."""

    def __init__(
        self,
        spec: MeterSpec,
        *,
        driver: Callable[[Where], Any] = open_driver,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._where = _where(spec)
        self._spec = spec
        refuse_supply(spec)
        self._options = own_options(spec, JoulescopeOptions)
        stated = stated_of(spec)
        # By itself it changes ranges, each of which has its own errors.
        self._stated = replace(stated, auto_range=self._options.current_range == "auto")
        self._clock, self._sleep = clock, sleep
        self._signals: dict[str, Signal] | None = None
        self._driver = driver(self._where)
        try:
            self._path = _found(self._driver, spec)
            self._ask("open", self._path, "defaults")
            for topic, value in range_settings(_model(self._path), self._options.current_range):
                self._publish(topic, value)
            self._publish("h/fs", self._options.rate_hz)
            self.identity = _identified(self._driver, self._path, stated.calibrated)
        except BaseException:
            self._driver.finalize()
            raise

    @staticmethod
    def look(spec: MeterSpec, *, driver: Callable[[Where], Any] = open_driver) -> Identity:
        """Which one it is; it is opened with its settings as they are.

        Raises:
            MeterError: as where it is opened.
        """
        refuse_supply(spec)
        own_options(spec, JoulescopeOptions)
        stated = stated_of(spec)
        opened = driver(_where(spec))
        try:
            path = _found(opened, spec)
            _asked(opened, spec, "open", path, "restore")
            identity = _identified(opened, path, stated.calibrated)
            _asked(opened, spec, "close", path)
            return identity
        finally:
            opened.finalize()

    def _ask(self, name: str, *values: Any) -> Any:
        return _asked(self._driver, self._spec, name, *values)

    def _publish(self, topic: str, value: Any) -> None:
        self._ask("publish", f"{self._path}/{topic}", value)

    def _topics(self) -> list[str]:
        gpi = [] if self._spec.pin is None else [f"s/gpi/{self._spec.pin}"]
        return ["s/i", "s/v", *gpi]

    def arm(self, volts: float | None = None) -> None:
        """Start the streams, and wait for the first current; `volts` it measures by itself."""
        if self._signals is not None:
            raise MeterError("the meter is armed already", where=self._where)
        signals = {topic: Signal(self._clock) for topic in self._topics()}
        for topic, signal in signals.items():
            self._ask("subscribe", f"{self._path}/{topic}/!data", "pub", signal.receive)
        self._signals = signals
        for topic in signals:
            self._publish(f"{topic}/ctrl", 1)
        if not signals["s/i"].begun.wait(_BEGIN_S):
            self._end()
            raise MeterError("the meter sends no samples", where=self._where, hint=NO_SAMPLE)

    def disarm(self) -> Trace:
        """Stop the streams."""
        if self._signals is None:
            raise MeterError("the meter is not armed", where=self._where)
        self._sleep(_LAG_S)
        signals = self._signals
        silent_s = self._clock() - signals["s/i"].last_s
        self._end()
        if silent_s > _SILENT_S:
            raise MeterError(
                f"the meter was lost while it sampled: the last one came {silent_s:.1f} s ago",
                where=self._where,
                hint="Was it unplugged?",
            )
        with located(self._where):
            return self._trace(signals)

    def _end(self) -> None:
        """Stop streams as far as the meter still answers."""
        signals, self._signals = self._signals or {}, None
        for topic, signal in signals.items():
            for call, values in (
                ("publish", (f"{self._path}/{topic}/ctrl", 0)),
                ("unsubscribe", (f"{self._path}/{topic}/!data", signal.receive)),
            ):
                try:
                    getattr(self._driver, call)(*values)
                except (RuntimeError, TimeoutError):
                    continue

    def _trace(self, signals: dict[str, Signal]) -> Trace:
        seconds, amps = signals["s/i"].samples()
        volts = signals["s/v"].at(seconds)
        pin = None if self._spec.pin is None else signals[f"s/gpi/{self._spec.pin}"].at(seconds)
        known = np.isfinite(amps) & np.isfinite(volts)
        if pin is not None:
            known &= np.isfinite(pin)
        recorder = Recorder()
        recorder.add(
            seconds[known] - seconds[0],
            amps[known],
            volts[known],
            None if pin is None else pin[known] > 0.5,
        )
        return recorder.trace((self._stated,), volts=None)

    def close(self) -> None:
        """Stop, and let the instrument and its driver go."""
        self._end()
        try:
            self._driver.close(self._path)
        except (RuntimeError, TimeoutError):
            pass  # Unplugged.
        finally:
            self._driver.finalize()


def _where(spec: MeterSpec) -> Where:
    return Where(meter=spec.name, port=spec.port)


def _asked(driver: Any, spec: MeterSpec, name: str, *values: Any) -> Any:
    """A call of the driver, whose errors are the meter's."""
    try:
        return getattr(driver, name)(*values)
    except (RuntimeError, TimeoutError, ValueError) as error:
        raise MeterError(
            f"the meter does not do as it is told: {printable(str(error), 200)}",
            where=_where(spec),
            hint="Does another program, such as the Joulescope UI, have it open?",
        ) from error


def _found(driver: Any, spec: MeterSpec) -> str:
    """The driver's path of the instrument, `u/js220/SERIAL`."""
    paths = [str(path) for path in _asked(driver, spec, "device_paths")]
    number = spec.serial_number
    fitting = [path for path in paths if number in (None, path.split("/")[-1])]
    if len(fitting) == 1:
        _refuse_channel(spec, _model(fitting[0]))
        return fitting[0]
    seen = listed([printable(path, 60) for path in paths], 10)
    raise MeterError(
        f"{len(fitting) or 'no'} Joulescopes have serial number {number}"
        if number
        else f"{len(fitting) or 'no'} Joulescopes are there",
        where=_where(spec),
        hint=f"Seen: {seen}. Name its serial_number in [boards.NAME.meter]."
        if paths
        else "Is it plugged in, and may your user open it? Its udev rules: docs/meters.md",
    )


def _model(path: str) -> str:
    return path.split("/")[-2]


def _refuse_channel(spec: MeterSpec, model: str) -> None:
    channels = CHANNELS.get(model, USUAL_CHANNELS)
    if spec.pin is not None and spec.pin >= channels:
        raise MeterError(f"a {model} has channels 0 to {channels - 1}", where=_where(spec))


def range_settings(model: str, current_range: str) -> tuple[tuple[str, str], ...]:
    """Topics and values that put an instrument into a range of current, or let it choose.

    The topic `s/i/range/mode` of a JS110 is of something else, the suppression of spikes; of the
    later ones it says whether that of `s/i/range/select` counts.
    """
    if model == "js110":
        return (("s/i/range/select", current_range), ("s/v/range/select", "15 V"))
    volts = ("s/v/range/mode", "auto")
    if current_range == "auto":
        return (("s/i/range/mode", "auto"), volts)
    return (("s/i/range/select", current_range), ("s/i/range/mode", "manual"), volts)


def _identified(driver: Any, path: str, calibrated: date | None) -> Identity:
    return Identity(
        kind=_model(path),
        serial_number=path.split("/")[-1],
        firmware=_firmware(driver, path),
        calibrated=calibrated,
    )


def _firmware(driver: Any, path: str) -> str | None:
    """Version as a.b.c; None where the model does not tell."""
    try:
        version = driver.query(f"{path}/c/fw/version")
    except (RuntimeError, TimeoutError):
        return None
    if isinstance(version, int):
        return f"{version >> 24}.{version >> 16 & 0xFF}.{version & 0xFFFF}"
    return printable(str(version), 40)
