"""One stream of a Joulescope's samples, from the driver's blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_trace import NO_SAMPLE

Floats = NDArray[np.float64]

MOST_SAMPLES = 10_000_000
"""Of one signal: 100 s at 100 kHz."""


class Signal:
    """The blocks of one stream, from the driver's own thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.begun = threading.Event()
        self.last_s = clock()
        # The driver knows it again by its address: a bound method is another one each time.
        self.receive = self._take
        self._clock = clock
        self._blocks: list[tuple[float, float, NDArray[Any]]] = []
        self._count = 0

    def _take(self, topic: str, block: Any) -> None:
        """Keep a block: its first sample's time, the step of time, and its values."""
        values = block["data"]
        if values is None or not len(values) or self._count > MOST_SAMPLES:
            return
        if values.dtype == np.uint8:  # A digital channel: eight samples in each byte.
            values = np.unpackbits(values, bitorder="little")
        rate = block["sample_rate"]
        self._blocks.append((block["sample_id"] / rate, block["decimate_factor"] / rate, values))
        self._count += len(values)
        self.last_s = self._clock()
        self.begun.set()

    def samples(self) -> tuple[Floats, Floats]:
        """Times of the middle of each sample, and their values.

        Raises:
            CannotTell: there are none, or more than are kept.
        """
        if not self._blocks:
            raise CannotTell("the meter brought no sample", hint=NO_SAMPLE)
        if self._count > MOST_SAMPLES:
            raise CannotTell(
                f"the meter brought more than {MOST_SAMPLES} samples", hint="Lower its rate_hz."
            )
        whole = [
            (first, step, values[: self._most(number)])
            for number, (first, step, values) in enumerate(self._blocks)
        ]
        seconds = [first + (np.arange(len(v)) + 0.5) * step for first, step, v in whole]
        return np.concatenate(seconds), np.concatenate([v.astype(float) for _, _, v in whole])

    def _most(self, number: int) -> int | None:
        """Samples of a block before the next one: whole bytes of a channel may have more bits."""
        if number + 1 == len(self._blocks):
            return None
        first, step, _ = self._blocks[number]
        return max(0, round((self._blocks[number + 1][0] - first) / step))

    def at(self, seconds: Floats) -> Floats:
        """The value of the sample that each time lies in; NaN where it was lost."""
        own, values = self.samples()
        step = self._blocks[0][1]
        index = np.searchsorted(own, seconds - step / 2).clip(0, len(own) - 1)
        near = np.abs(own[index] - seconds) <= 0.75 * step
        found: Floats = np.where(near, values[index], np.nan)
        return found
