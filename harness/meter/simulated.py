"""A meter that measures nothing: the current of a stated profile, for boards that draw none.

It shows the whole road from a board's windows to a table of energy without an instrument. Its
identity, its traces and what is made of them are marked as simulated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import toml
from harness.board.meters import MeterSpec
from harness.errors import MeterError, RigError, Where
from harness.measure.energy_trace import Trace
from harness.meter.closing import ClosedAtEnd
from harness.meter.meter import Identity
from harness.meter.stated import own_options, refuse_supply

Floats = NDArray[np.float64]

MOST_SAMPLES = 1_000_000
"""Of a longer trace the rate is lower."""

MOST_EDGES = 100_000

VOLTS = 3.3
"""Where neither the rig file nor `arm` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedOptions:
    """What a board would draw, and what an instrument would make of it.

    In a window `active_amps` flow, times `levels` in equal parts of each `period_s` if they are
    given; else `idle_amps`. Normal noise of `noise_amps` is added. Before the first edge and after
    the last one there are `lead_s` of idle where edges come with the board's own time.
    """

    idle_amps: float = 2e-3
    active_amps: float = 10e-3
    levels: tuple[float, ...] = ()
    period_s: float = 1e-3
    noise_amps: float = 50e-6
    rate_hz: float = 10_000.0
    lead_s: float = 0.5
    seed: int = 0
    resolution_amps: float = 1e-6
    gain_error: float = 0.01
    offset_amps: float = 1e-6

    def __post_init__(self) -> None:
        toml.check_above_0(rate_hz=self.rate_hz, period_s=self.period_s, lead_s=self.lead_s)
        for name in ("idle_amps", "active_amps", "noise_amps", "resolution_amps", "offset_amps"):
            if not 0 <= getattr(self, name) <= 100:
                raise RigError(f"{name} must be from 0 to 100, not {getattr(self, name):g}")
        if not 0 <= self.gain_error < 1 or not 0 <= self.seed < 2**32:
            raise RigError("gain_error must be from 0 to 1, seed from 0 to 2^32 - 1")


class SimulatedMeter(ClosedAtEnd):
    """Samples a profile that follows the edges it is told of by `mark`."""

    def __init__(self, spec: MeterSpec, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = Where(meter=spec.name)
        self._spec = spec
        refuse_supply(spec)
        self._options = own_options(spec, SimulatedOptions, stated=False)
        self._clock = clock
        self._armed_s: float | None = None
        self._volts = VOLTS
        self._edges: list[float] = []
        self._of_board: bool | None = None
        self.identity = Identity(kind="simulated", serial_number=spec.serial_number, simulated=True)

    @staticmethod
    def look(spec: MeterSpec) -> Identity:
        """The one there is.

        Raises:
            MeterError: the rig file says of it what cannot be.
        """
        return SimulatedMeter(spec).identity

    def arm(self, volts: float | None = None) -> None:
        """Take edges from now on."""
        if self._armed_s is not None:
            raise MeterError("the meter is armed already", where=self._where)
        self._volts = volts or self._spec.volts or VOLTS
        self._edges, self._of_board = [], None
        self._armed_s = self._clock()

    def mark(self, high: bool, *, at_s: float | None = None) -> None:
        """The board's pin has changed: now, or at a time of the board's own clock."""
        if self._armed_s is None:
            return
        of_board = at_s is not None
        second = self._clock() if at_s is None else at_s
        if high != (len(self._edges) % 2 == 0) or self._of_board not in (None, of_board):
            raise MeterError(
                "an edge of the pin is missing, or came by another clock", where=self._where
            )
        if (self._edges and second < self._edges[-1]) or len(self._edges) >= MOST_EDGES:
            raise MeterError("an edge of the pin lies before the last one", where=self._where)
        self._of_board = of_board
        self._edges.append(second)

    def disarm(self) -> Trace:
        """The profile, from arm until now or around the edges."""
        if self._armed_s is None:
            raise MeterError("the meter is not armed", where=self._where)
        begin_s, end_s, self._armed_s = self._armed_s, self._clock(), None
        if self._of_board:
            lead_s = self._options.lead_s
            begin_s, end_s = self._edges[0] - lead_s, self._edges[-1] + lead_s
        return self._trace(begin_s, end_s)

    def close(self) -> None:
        """Nothing is open."""

    def _trace(self, begin_s: float, end_s: float) -> Trace:
        options = self._options
        length_s = max(end_s - begin_s, 1 / options.rate_hz)
        rate_hz = min(options.rate_hz, MOST_SAMPLES / length_s)
        count = max(1, int(length_s * rate_hz))
        seconds: Floats = (np.arange(count, dtype=float) + 0.5) / rate_hz
        edges: Floats = np.array(self._edges, float) - begin_s
        return Trace(
            seconds=seconds,
            amps=self._amps(seconds, edges),
            volts=self._volts,
            pin=None if self._spec.pin is None else _high(seconds, edges),
            resolution_amps=options.resolution_amps,
            gain_error=options.gain_error,
            offset_amps=options.offset_amps,
            rate_hz=rate_hz,
            simulated=True,
        )

    def _amps(self, seconds: Floats, edges: Floats) -> Floats:
        options = self._options
        amps = np.where(_high(seconds, edges), options.active_amps, options.idle_amps)
        if options.levels and len(edges):
            begun = edges[np.maximum(np.searchsorted(edges, seconds, "right") - 1, 0)]
            part = ((seconds - begun) / options.period_s % 1 * len(options.levels)).astype(int)
            levels = np.array(options.levels)[part % len(options.levels)]
            amps = np.where(_high(seconds, edges), amps * levels, amps)
        noise = np.random.default_rng(options.seed).normal(0, options.noise_amps, len(seconds))
        step = options.resolution_amps
        sampled: Floats = amps + noise
        return np.round(sampled / step) * step if step else sampled


def _high(seconds: Floats, edges: Floats) -> NDArray[np.bool_]:
    """The pin: low before the first edge, changed by each."""
    high: NDArray[np.bool_] = np.searchsorted(edges, seconds, "right") % 2 == 1
    return high
