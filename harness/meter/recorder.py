"""Keeps samples in bounded memory: where there are too many, neighbours are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_trace import NO_SAMPLE, PerRange, Trace
from harness.meter.stated import Stated

MOST_SAMPLES = 2_000_000
"""20 s at 100 kHz, in 96 MB; twice that while they are put together."""

_ROWS = 6
_RANGE = 4

_GAP_STEPS = 1.5
"""A step of time longer than so many usual ones is a gap."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Recorder:
    """Samples as they come, in order of time.

    Args:
        most: samples that are kept. With more of them each two neighbours become one, their mean,
            which halves the rate; the pin of all that become one is what most of them have, their
            range the highest.
    """

    def __init__(self, most: int = MOST_SAMPLES) -> None:
        self._most = max(2, most)
        self._chunks: list[NDArray[np.float64]] = []
        self._count = 0
        self._averaged = 1
        self._rest = np.empty((_ROWS, 0))

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        seconds: Floats,
        amps: Floats,
        volts: Floats | None = None,
        pin: Bools | None = None,
        ranges: NDArray[np.uint8] | None = None,
        unsure: Floats | None = None,
    ) -> None:
        """Keep samples, each of shape (n,); of one meter always the same ones are None.

        Args:
            unsure: by how much each differs from another reading of it, in amperes: see Trace.
        """
        missing = np.full(len(seconds), np.nan)
        given = (seconds, amps, volts, pin, ranges, unsure)
        rows = [missing if row is None else row for row in given]
        self._append(np.vstack([np.asarray(row, float) for row in rows]), self._averaged)
        while self._count > self._most:
            self._halve()

    def _append(self, samples: Floats, averaged: int) -> None:
        if averaged > 1:
            samples = np.hstack([self._rest, samples])
            whole = samples.shape[1] // averaged * averaged
            self._rest = samples[:, whole:]
            samples = _averaged(samples[:, :whole], averaged)
        self._chunks.append(samples)
        self._count += samples.shape[1]

    def _halve(self) -> None:
        samples = np.hstack(self._chunks)
        whole = self._count // 2 * 2
        # One that is left over stays as it is, with half the others' time.
        self._chunks = [_averaged(samples[:, :whole], 2), samples[:, whole:]]
        self._count = whole // 2 + self._count - whole
        self._averaged *= 2

    def trace(
        self,
        stated: Sequence[Stated],
        *,
        volts: float | None,
        rate_hz: float | None = None,
        gaps: tuple[tuple[float, float], ...] | None = None,
        lost: int = 0,
        simulated: bool = False,
    ) -> Trace:
        """All samples.

        Args:
            stated: of the instrument, or of each of its ranges.
            volts: where the meter did not sample it.
            rate_hz: of the instrument; None: by the usual step of time.
            gaps: None: where a step of time is longer than the usual ones.

        Raises:
            CannotTell: no sample, or no voltage is known.
        """
        if not self._count:
            raise CannotTell("the meter brought no sample", hint=NO_SAMPLE)
        seconds, amps, sampled, pin, ranges, unsure = np.hstack(self._chunks)
        if np.isnan(sampled).any() and volts is None:
            raise CannotTell(
                "the voltage of the board's supply is not known",
                hint="Say it in the rig file: volts = 3.3 in [boards.NAME.meter].",
            )
        step_s = _usual_step(seconds) if rate_hz is None else self._averaged / rate_hz
        if gaps is None:
            gaps, lost = _gaps(seconds, step_s, self._averaged)
        return Trace(
            seconds=seconds,
            amps=amps,
            volts=float(volts) if np.isnan(sampled).any() and volts is not None else sampled,
            pin=None if np.isnan(pin).any() else pin >= 0.5,
            gaps=gaps,
            lost=lost,
            resolution_amps=_per_range(stated, "resolution_amps", ranges),
            gain_error=_per_range(stated, "gain_error", ranges),
            offset_amps=_per_range(stated, "offset_amps", ranges),
            unsure_amps=unsure if np.nan_to_num(unsure).any() else 0.0,
            ranges=None if np.isnan(ranges).any() else ranges.astype(np.uint8),
            volts_error=max(each.volts_error for each in stated),
            rate_hz=1 / step_s,
            simulated=simulated,
        )


def _averaged(samples: Floats, by: int) -> Floats:
    """Means of each `by` neighbours; of the range the highest."""
    if not samples.shape[1]:
        return samples
    groups = samples.reshape(_ROWS, -1, by)
    means: Floats = groups.mean(axis=2)
    means[_RANGE] = groups[_RANGE].max(axis=1)
    return means


def _per_range(stated: Sequence[Stated], name: str, ranges: Floats) -> PerRange:
    """One value where all samples are of one range."""
    values = [getattr(each, name) for each in stated]
    if len(values) == 1 or np.isnan(ranges).any():
        one: float = max(values)
        return np.full(len(ranges), one) if any(each.auto_range for each in stated) else one
    indices = ranges.astype(int)
    each: Floats = np.array(values, float)[indices]
    return float(each[0]) if (indices == indices[0]).all() else each


def _usual_step(seconds: Floats) -> float:
    steps = np.diff(seconds)
    step = float(np.median(steps)) if len(steps) else 0.0
    if not 0 < step < np.inf or not np.isfinite(seconds).all():
        raise CannotTell("the meter's times do not rise", hint="Which column is the time?")
    return step


def _gaps(
    seconds: Floats, step_s: float, averaged: int
) -> tuple[tuple[tuple[float, float], ...], int]:
    """Stretches that have no samples, and how many the meter has lost in them."""
    steps = np.diff(seconds)
    (after,) = np.nonzero(steps > _GAP_STEPS * step_s)
    lost = int((np.round(steps[after] / step_s) - 1).clip(1).sum()) * averaged
    return tuple(_stretches(seconds, after, step_s)), lost


def _stretches(
    seconds: Floats, after: NDArray[np.intp], step_s: float
) -> Iterator[tuple[float, float]]:
    for index in after:
        yield float(seconds[index] + step_s / 2), float(seconds[index + 1] - step_s / 2)
