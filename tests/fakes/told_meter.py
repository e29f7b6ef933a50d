"""A meter without an instrument: its time is what it is told, its currents what it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.errors import MeterError, Where
from harness.measure.energy import Trace
from harness.meter.meter import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Currents:
    """Of a board, and what its instrument makes of them."""

    volts: float = 3.0
    idle_amps: float = 2e-3
    active_amps: float = 12e-3
    noise_amps: float = 1e-5
    gain_error: float = 0.0
    resolution_amps: float = 1e-7
    rate_hz: float = 10e3


class ToldMeter:
    """Idle while `sleep` is called, active for every window that it is told of.

    Args:
        fails_at: the capture, counted from 1, in which it is unplugged.
        loses: windows that its channel does not see, of every capture.
    """

    def __init__(
        self,
        currents: Currents = Currents(),
        *,
        pin: bool = True,
        fails_at: int | None = None,
        loses: int = 0,
        serial_number: str = "M1",
        simulated: bool = True,
    ) -> None:
        self.identity = Identity(
            kind="told", serial_number=serial_number, firmware="1", simulated=simulated
        )
        self._currents = currents
        self._pin = pin
        self._fails_at = fails_at
        self._loses = loses
        self._simulated = simulated
        self._stretches: list[tuple[float, bool]] | None = None
        self._up_s = 0.0
        self.captures = 0
        self.closed = False

    def arm(self, volts: float | None = None) -> None:
        assert self._stretches is None, "armed twice"
        self._stretches = []
        self.captures += 1

    def sleep(self, seconds: float) -> None:
        if self._stretches is not None:
            self._stretches.append((seconds, False))

    def mark(self, high: bool, *, at_s: float | None = None) -> None:
        assert self._stretches is not None and at_s is not None, "armed, and on the board's clock"
        if high:
            self._up_s = at_s
        else:
            self._stretches.append((at_s - self._up_s, True))

    def disarm(self) -> Trace:
        assert self._stretches is not None, "not armed"
        stretches, self._stretches = self._stretches, None
        if self.captures == self._fails_at:
            raise MeterError("the meter is gone", where=Where(meter="told M1"), hint="Plug it in.")
        return self._trace(stretches)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> ToldMeter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _trace(self, stretches: list[tuple[float, bool]]) -> Trace:
        given = self._currents
        step = 1 / given.rate_hz
        ends = np.cumsum([length for length, _ in stretches])
        seconds = np.arange(int(ends[-1] * given.rate_hz)) * step + step / 2
        high = np.array([active for _, active in stretches])[np.searchsorted(ends, seconds)]
        rng = np.random.default_rng(self.captures)
        amps = np.where(high, given.active_amps, given.idle_amps)
        amps = amps + rng.normal(0, given.noise_amps, len(seconds))
        for begin, end in list(zip(np.append(0, ends), ends, strict=False))[
            1 : 2 * self._loses : 2
        ]:
            high &= ~((begin <= seconds) & (seconds < end))
        return Trace(
            seconds=seconds,
            amps=amps,
            volts=given.volts,
            pin=high if self._pin else None,
            resolution_amps=given.resolution_amps,
            gain_error=given.gain_error,
            offset_amps=0.0,
            rate_hz=given.rate_hz,
            simulated=self._simulated,
        )
