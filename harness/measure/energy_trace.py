"""What a meter sampled of a board's supply, and the windows of invokes in it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell

FoundBy = Literal["pin", "current"]

PerRange = float | NDArray[np.float64]
"""Of an instrument: one value, or one for each sample by the range that it was in."""


MOST = 1e4
"""Amperes or volts that no meter of a board measures."""

MOST_SECONDS = 1e10
"""Times since 1970, too, are below it."""

OTHER_RATE = 2.0
"""The usual step of time by the one that the meter's rate says."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Samples of one meter, between arm and disarm.

    Args:
        seconds: shape (n,), rising, on the meter's own clock: the middle of each sample.
        amps: shape (n,), the mean current of each sample.
        volts: shape (n,), or one value where the meter does not measure it.
        pin: shape (n,), the meter's digital channel that follows the board's pin; None without.
        gaps: (start_s, end_s) of each stretch without samples, in order, between two samples. One
            of unknown length ends where it starts.
        lost: samples that are missing in them.
        resolution_amps: smallest step of a sample.
        gain_error: bound of the relative error of the current, as 0.01, by the meter's data sheet
            or its calibration.
        offset_amps: bound of what the meter reads at no current. These three are one value each,
            or of shape (n,) for a meter that has other errors in each of its ranges.
        unsure_amps: what a sample is above another reading of it, of shape (n,): right after a
            change of range, above one that does not believe it. The mean of the right ones is
            anywhere within the mean of these, above or below.
        ranges: of shape (n,), which of its ranges the meter was in; None for one that has none, or
            does not tell.
        volts_error: bound of the relative error of the voltage.
        rate_hz: samples in a second, after any averaging.
        simulated: no instrument has measured it.

    Raises:
        CannotTell: shapes that do not fit, times that do not rise, a rate that they are not of,
            gaps that are in no order, or a value that is not finite, or beyond what any meter
            measures.
    """

    seconds: NDArray[np.float64]
    amps: NDArray[np.float64]
    volts: NDArray[np.float64] | float
    pin: NDArray[np.bool_] | None = None
    gaps: tuple[tuple[float, float], ...] = ()
    lost: int = 0
    resolution_amps: PerRange
    gain_error: PerRange
    offset_amps: PerRange
    unsure_amps: PerRange = 0.0
    ranges: NDArray[np.uint8] | None = None
    volts_error: float = 0.0
    rate_hz: float
    simulated: bool = False

    def __post_init__(self) -> None:
        shape = self.seconds.shape
        given = (self.amps, self.pin, self.volts, self.unsure_amps, self.ranges, *self.stated)
        arrays = [array for array in given if isinstance(array, np.ndarray)]
        if len(shape) != 1 or any(array.shape != shape for array in arrays):
            raise CannotTell("the meter's times, currents, voltages and pin have other lengths")
        if not shape[0]:
            raise CannotTell("the meter brought no sample", hint=NO_SAMPLE)
        if not (np.isfinite(self.seconds).all() and (np.diff(self.seconds) > 0).all()):
            raise CannotTell("the meter's times do not rise")
        if not (np.isfinite(self.amps).all() and np.isfinite(self.volts).all()):
            raise CannotTell("the meter brought a sample that is not a number")
        if max(np.abs(self.amps).max(), np.abs(self.volts).max()) > MOST:
            raise CannotTell(
                f"the meter brought a sample above {MOST:g} A or V",
                hint="In which units does it send? Say them in [boards.NAME.meter.options].",
            )
        bounds = (*self.stated, self.unsure_amps, self.volts_error)
        # Of no number, this is false.
        if not all((np.abs(bound) <= MOST).all() for bound in bounds):
            raise CannotTell(f"what is stated of the meter is not a number up to {MOST:g}")
        self._refuse_other_rate()
        if not (_in_order(self.gaps) and self.lost >= 0):
            raise CannotTell("the meter's gaps are no stretches of time in order")

    def _refuse_other_rate(self) -> None:
        if not (isfinite(self.rate_hz) and self.rate_hz > 0):
            raise CannotTell("the meter's rate is not known")
        if abs(self.seconds[[0, -1]]).max() > MOST_SECONDS:
            raise CannotTell(f"the meter's times are beyond {MOST_SECONDS:g} s")
        usual = float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else self.step_s
        if not 1 / OTHER_RATE < usual * self.rate_hz < OTHER_RATE:
            raise CannotTell(
                f"the meter says that it samples at {self.rate_hz:g} Hz, and its samples are "
                f"{usual:.3g} s apart"
            )

    @property
    def stated(self) -> tuple[PerRange, PerRange, PerRange]:
        """Resolution, gain error and offset."""
        return self.resolution_amps, self.gain_error, self.offset_amps

    @property
    def one_range(self) -> bool:
        """Whether gain and offset are off alike at every current: an offset cancels then."""
        return not any(isinstance(value, np.ndarray) for value in self.stated)

    @property
    def step_s(self) -> float:
        """Time from one sample to the next."""
        return 1 / self.rate_hz

    @property
    def watts(self) -> NDArray[np.float64]:
        """Power of each sample; shape (n,)."""
        return self.amps * self.volts

    def between(self, start_s: float, end_s: float) -> slice:
        """The samples whose middle lies in [start_s, end_s)."""
        first, last = np.searchsorted(self.seconds, (start_s, end_s))
        return slice(int(first), int(last))

    def gap_s(self, start_s: float, end_s: float) -> float:
        """Seconds of gaps within a stretch."""
        return sum(max(0.0, min(end, end_s) - max(begin, start_s)) for begin, end in self.gaps)

    def lost_between(self, start_s: float, end_s: float) -> int:
        """Samples that are missing within a stretch, by its gaps' share of the time lost."""
        return round(self.gap_s(start_s, end_s) * self.rate_hz)


def _in_order(gaps: tuple[tuple[float, float], ...]) -> bool:
    """Whether each ends where it starts or later, and starts where the one before ends or later."""
    try:
        edges = np.array(gaps, float).reshape(len(gaps), 2)
    except (TypeError, ValueError):
        return False
    return bool((np.diff(edges.ravel()) >= 0).all() and np.isfinite(edges).all())


NO_SAMPLE = "Is it switched on and connected, and does the time it is armed hold a sample?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of invokes on the meter's clock.

    `start_u_s` and `end_u_s` are standard uncertainties of its edges.
    """

    start_s: float
    end_s: float
    start_u_s: float
    end_u_s: float
    found_by: FoundBy

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s
