"""A simulated PPK2 of ppk2lab that draws a load's current, with the errors of an instrument.

Commands, metadata and the bytes of the stream are ppk2lab's; only the samples are made all at once,
since its own profile is asked for each of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from fakes.instruments import PtyInstrument, in_background
from fakes.supply import Errors, Load, currents
from ppk2lab import PPK2
from ppk2lab.testing import ConstantProfile
from ppk2lab.transport.mock import FULL_SCALE_UA, MockTransport, SimulatedPPK2

from harness.board.meters import MeterSpec

PIN = 3


class LoadedPpk2(SimulatedPPK2):
    """Sends the samples of a load, as fast as they are read, and then idle."""

    def __init__(
        self, load: Load, errors: Errors | None = None, seed: int = 0, **more: Any
    ) -> None:
        super().__init__(profile=ConstantProfile(load.idle_amps * 1e6), **more)
        errors = errors or Errors(rate_hz=100e3)
        self._words = wire(load, errors, seed)
        self.load_s = len(self._words) / 100e3
        self._sent = 0
        self.unplug_after: int | None = None

    def _generate(self, n_samples: int) -> bytes:
        if self.unplug_after is not None and self._sent >= self.unplug_after:
            self.unplug()
        data = self._words[self._sent : self._sent + n_samples]
        self._sent += len(data)
        if len(data):
            self._counter = (int(data[-1]) >> 18) + 1 & 0x3F
            return data.tobytes()
        time.sleep(0.001)
        return super()._generate(10)


def wire(load: Load, errors: Errors, seed: int) -> np.ndarray:
    """The 32-bit words of a stream; those that are lost leave a step in the counter."""
    assert errors.rate_hz == 100e3
    seconds, amps = currents(load, errors, seed)
    micro = np.maximum(amps, 0.0) * 1e6
    full = np.array(FULL_SCALE_UA)
    readings = _readings(micro, errors)
    ranges = np.minimum((readings > full[:, np.newaxis]).sum(axis=0), len(full) - 1)
    read = readings[ranges, np.arange(len(micro))] + _spikes(ranges, errors) * full[ranges]
    codes = np.clip(np.round(read / full[ranges] * 0x3FFF), 0, 0x3FFF).astype(np.uint32)
    counter = np.arange(len(micro)) % 64
    logic = load.high(seconds).astype(np.uint32) << PIN
    words = codes | ranges.astype(np.uint32) << 14 | counter.astype(np.uint32) << 18 | logic << 24
    kept = np.ones(len(words), bool)
    for first, count in errors.lost:
        kept[first : first + count] = False
    return words.astype(np.uint32)[kept]


def _readings(micro: np.ndarray, errors: Errors) -> np.ndarray:
    """What each range makes of the currents; shape (ranges, samples)."""
    none = (0.0,) * len(FULL_SCALE_UA)
    gains = np.array(errors.range_gains or none)[:, np.newaxis]
    offsets = np.array(errors.range_offsets_amps or none)[:, np.newaxis]
    readings: np.ndarray = micro * (1 + gains) + offsets * 1e6
    return readings


def _spikes(ranges: np.ndarray, errors: Errors) -> np.ndarray:
    """Shares of the range's full scale that samples after its change are off."""
    off = np.zeros(len(ranges))
    (changes,) = np.nonzero(np.diff(ranges))
    for after, share in enumerate(errors.spikes, 1):
        at = changes + after
        off[at[at < len(off)]] = share
    return off


def opened(simulator: SimulatedPPK2) -> Callable[[MeterSpec], PPK2]:
    """What opens it, in the place of a real one."""

    def device(spec: MeterSpec) -> PPK2:
        return PPK2.open(simulator=simulator)

    return device


def at_port(simulators: dict[str, SimulatedPPK2]) -> Callable[[str], MockTransport]:
    """What ppk2lab opens at each path, in the place of a serial port."""
    return lambda path: MockTransport(simulators[path])


class AtPty:
    """A simulated instrument behind a pty: what opens `path` speaks to it as to a serial port."""

    def __init__(self, simulator: SimulatedPPK2) -> None:
        self._simulator = simulator
        self._pty = PtyInstrument()
        self.path = self._pty.path
        self._over = threading.Event()
        self._thread = in_background(self._serve)

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                if data := self._pty.hear(0.001):
                    self._simulator.handle_write(data)
                self._pty.send(self._simulator.read(8192, 0.001))

    def unplug(self) -> None:
        self._over.set()
        self._pty.unplug()
        self._thread.join(5.0)
