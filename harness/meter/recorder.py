"""Keeps samples in bounded memory: where there are too many, neighbours are averaged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_trace import NO_SAMPLE, Trace
from harness.meter.stated import Stated

MOST_SAMPLES = 4_000_000
"""40 s at 100 kHz; about 100 MB where voltage and pin are sampled too."""

_GAP_STEPS = 1.5
"""A step of time longer than so many usual ones is a gap."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Recorder:
    """Samples as they come, in order of time.

    Args:
        most: samples that are kept. With more of them each two neighbours become one, their mean,
            which halves the rate; the pin of such a pair is that of its first.
    """

    def __init__(self, most: int = MOST_SAMPLES) -> None:
        self._most = max(2, most)
        self._chunks: list[NDArray[np.float64]] = []
        self._count = 0
        self._averaged = 1
        self._rest = np.empty((4, 0))

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        seconds: Floats,
        amps: Floats,
        volts: Floats | None = None,
        pin: Bools | None = None,
    ) -> None:
        """Keep samples, each of shape (n,); of one meter always the same ones are None."""
        missing = np.full(len(seconds), np.nan)
        rows = [seconds, amps, missing if volts is None else volts, missing if pin is None else pin]
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
        # What is left over has been averaged by the old factor: it is a sample of no new one.
        self._chunks = [_averaged(samples[:, :whole], 2)]
        self._count = whole // 2
        self._averaged *= 2

    def trace(
        self,
        stated: Stated,
        *,
        volts: float | None,
        rate_hz: float | None = None,
        gaps: tuple[tuple[float, float], ...] | None = None,
        lost: int = 0,
        simulated: bool = False,
    ) -> Trace:
        """All samples.

        Args:
            volts: where the meter did not sample it.
            rate_hz: of the instrument; None: by the usual step of time.
            gaps: None: where a step of time is longer than the usual ones.

        Raises:
            CannotTell: no sample, or no voltage is known.
        """
        if not self._count:
            raise CannotTell("the meter brought no sample", hint=NO_SAMPLE)
        seconds, amps, sampled, pin = np.hstack(self._chunks)
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
            pin=None if np.isnan(pin).any() else pin > 0.5,
            gaps=gaps,
            lost=lost,
            resolution_amps=stated.resolution_amps,
            gain_error=stated.gain_error,
            offset_amps=stated.offset_amps,
            volts_error=stated.volts_error,
            rate_hz=1 / step_s,
            simulated=simulated,
        )


def _averaged(samples: Floats, by: int) -> Floats:
    """Means of each `by` neighbours; of the pin the first."""
    if not samples.shape[1]:
        return samples
    groups = samples.reshape(4, -1, by)
    means: Floats = groups.mean(axis=2)
    means[3] = groups[3, :, 0]
    return means


def _usual_step(seconds: Floats) -> float:
    steps = np.diff(seconds)
    step = float(np.median(steps)) if len(steps) else 0.0
    if not step > 0:
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
