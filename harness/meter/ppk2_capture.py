"""The samples of a PPK2's stream: its words made currents, by a thread that takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_trace import Trace
from harness.meter.recorder import Recorder
from harness.meter.stated import Stated

Floats = NDArray[np.float64]

RATE_HZ = 100_000.0
RANGES = 5

SETTLE = 3
"""Samples after a change of range that may not be current, as Nordic's program and ppk2lab have it.

Neither says how far off they are. Nordic's puts a running mean in their place (`getAdcResult` of
its pc-nrfconnect-ppk), ppk2lab on request what was read before. Both delay steps, which is good for
a picture; but what lasts less than 30 us and crosses ranges is lost of a sum. So the samples are
kept as they are sent, and what they are above the held ones is kept as what is not known of them.
"""

_CODES = 1 << 14
_IDLE_S = 2.0
"""A PPK2 sends 400 kB/s all the time: after so long without any it is gone."""

_LAG_S = 0.5
"""How long what was sampled before the end may take to arrive."""

_END_S = 5.0


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
        other = np.where(
            (codes == _CODES - 1) & (ranges < RANGES - 1),
            # At the end of a range that it leaves next: there was more, up to what follows.
            np.maximum(amps, following(amps, codes < _CODES - 1)),
            self._settling.settled(amps, ranges),
        )
        self._recorder.add(
            (np.arange(len(words), dtype=float) + first + 0.5) / RATE_HZ,
            amps,
            None,
            None if self._pin is None else (words >> (24 + self._pin)) & 1 == 1,
            ranges,
            np.where(chained(ranges), np.abs(amps - other), amps - other),
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


def following(amps: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """Of each current the first one from it on that is wanted; itself where there is none."""
    own = np.arange(len(amps))
    at = np.minimum.accumulate(np.where(wanted, own, len(amps))[::-1])[::-1]
    found: Floats = amps[np.where(at < len(amps), at, own)]
    return found


def chained(ranges: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Samples right after changes of range that follow each other before either has settled.

    What holding adds of one change it takes away of the next, but not of these.
    """
    changes = np.flatnonzero(np.diff(ranges)) + 1
    close = np.diff(changes) <= SETTLE
    ends = np.array([False])
    several = changes[np.append(close, ends) | np.append(ends, close)] if len(changes) else changes
    found = np.zeros(len(ranges) + SETTLE, bool)
    for after in range(SETTLE):
        found[several + after] = True
    return found[: len(ranges)]


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
