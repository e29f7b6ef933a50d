"""Currents of a board with known energy, and what an instrument with known errors makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.measure.energy import Trace

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A board: idle, then `windows` windows of `inferences` invokes each with idle in between.

    `levels` are the relative currents of an invoke's equal parts, above idle; their mean is 1.
    """

    volts: float = 3.0
    idle_amps: float = 2e-3
    active_amps: float = 12e-3
    inference_s: float = 0.01
    inferences: int = 50
    windows: int = 2
    gap_s: float = 0.25
    first_s: float = 0.25
    levels: tuple[float, ...] = (1.0,)

    @property
    def length_s(self) -> float:
        return self.inference_s * self.inferences

    @property
    def total_s(self) -> float:
        return self.first_s + self.windows * (self.length_s + self.gap_s)

    @property
    def gross_j(self) -> float:
        return self.active_amps * self.volts * self.inference_s

    @property
    def net_j(self) -> float:
        return (self.active_amps - self.idle_amps) * self.volts * self.inference_s

    def starts(self) -> list[float]:
        step = self.length_s + self.gap_s
        return [self.first_s + number * step for number in range(self.windows)]

    def charge(self, seconds: Floats) -> Floats:
        """Charge drawn until each time, exactly."""
        above = sum((self._above(seconds - start) for start in self.starts()), np.zeros(1))
        return self.idle_amps * seconds + (self.active_amps - self.idle_amps) * above

    def _above(self, since: Floats) -> Floats:
        since = np.clip(since, 0, self.length_s) / self.inference_s
        whole, rest = np.floor(since), since % 1
        parts = len(self.levels)
        sums = np.concatenate(([0.0], np.cumsum(self.levels))) / parts
        return (whole + np.interp(rest, np.linspace(0, 1, parts + 1), sums)) * self.inference_s

    def high(self, seconds: Floats) -> NDArray[np.bool_]:
        """The board's pin."""
        starts = self.starts()
        return np.any([(s <= seconds) & (seconds < s + self.length_s) for s in starts], axis=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """What is wrong with an instrument: as it is, and within which bounds its maker states it.

    `range_gains` and `range_offsets_amps` are those of each range of an instrument that has ranges,
    besides `gain` and `offset_amps` of all. After a change of range its first samples are off by
    `spikes`, each by its share of what the new range measures at most.
    """

    rate_hz: float = 10e3
    gain: float = 0.0
    gain_error: float = 0.0
    offset_amps: float = 0.0
    offset_bound: float = 0.0
    resolution_amps: float = 0.0
    noise_amps: float = 0.0
    correlated: float = 0.0
    drift_amps: float = 0.0
    lost: tuple[tuple[int, int], ...] = ()
    phase: float = 0.0
    range_gains: tuple[float, ...] = ()
    range_offsets_amps: tuple[float, ...] = ()
    spikes: tuple[float, ...] = ()


def currents(load: Load, errors: Errors, seed: int = 0) -> tuple[Floats, Floats]:
    """Times and currents as the instrument has them, before any is lost."""
    rng = np.random.default_rng(seed)
    step = 1 / errors.rate_hz
    count = int(load.total_s * errors.rate_hz)
    bounds = (np.arange(count + 1) + errors.phase) * step
    amps = np.diff(load.charge(bounds)) / step
    noise = rng.normal(0, errors.noise_amps, count) if errors.noise_amps else np.zeros(count)
    amps = amps * (1 + errors.gain) + errors.offset_amps + _ar1(noise, errors.correlated)
    amps += errors.drift_amps * np.linspace(0, 1, count)
    if errors.resolution_amps:
        amps = np.round(amps / errors.resolution_amps) * errors.resolution_amps
    return bounds[:-1] + step / 2, amps


def _ar1(noise: Floats, correlated: float) -> Floats:
    """An AR(1) process of the same deviation, by its first terms."""
    if not correlated:
        return noise
    terms = int(np.ceil(np.log(1e-6) / np.log(correlated)))
    kernel = correlated ** np.arange(terms)
    return np.convolve(noise, kernel)[: len(noise)] * np.sqrt(1 - correlated**2)


def sampled(load: Load, errors: Errors = Errors(), seed: int = 0, pin: bool = True) -> Trace:
    """What the instrument brings."""
    seconds, amps = currents(load, errors, seed)
    kept = np.ones(len(seconds), bool)
    for first, count in errors.lost:
        kept[first : first + count] = False
    (lost,) = np.nonzero(~kept[1:] & kept[:-1])
    (back,) = np.nonzero(kept[1:] & ~kept[:-1])
    half = 0.5 / errors.rate_hz
    gaps = zip(seconds[lost] + half, seconds[back + 1] - half, strict=True)
    return Trace(
        seconds=seconds[kept],
        amps=amps[kept],
        volts=load.volts,
        pin=load.high(seconds[kept]) if pin else None,
        gaps=tuple((float(begin), float(end)) for begin, end in gaps),
        lost=int((~kept).sum()),
        resolution_amps=errors.resolution_amps,
        gain_error=errors.gain_error,
        offset_amps=errors.offset_bound,
        rate_hz=errors.rate_hz,
    )


def any_load(rng: np.random.Generator, length_s: float | None = None) -> Load:
    """A random one, with windows of about 0.2 s to 1 s, or of the length given."""
    inference_s = float(10 ** rng.uniform(-4.5, -1))
    idle_amps = float(10 ** rng.uniform(-6, -2.3))
    levels = rng.uniform(0.5, 1.5, int(rng.integers(1, 6)))
    length_s = length_s or float(rng.uniform(0.2, 1.0))
    return Load(
        volts=float(rng.uniform(1.8, 5.0)),
        idle_amps=idle_amps,
        active_amps=idle_amps + float(10 ** rng.uniform(-3, -1.5)),
        inference_s=inference_s,
        inferences=max(1, int(length_s / inference_s)),
        windows=int(rng.integers(1, 5)),
        gap_s=0.4 * length_s,
        first_s=0.4 * length_s,
        levels=tuple(levels / levels.mean()),
    )


def any_errors(rng: np.random.Generator, load: Load) -> Errors:
    """Random ones, gain and offset anywhere within their bounds."""
    rate_hz = float(rng.choice([1e3, 1e4, 1e5]))
    gain_error = float(rng.choice([0.0, 0.01, 0.05]))
    offset_bound = float(rng.choice([0.0, 1e-6, 1e-5]))
    errors = Errors(
        rate_hz=rate_hz,
        gain=float(rng.uniform(-gain_error, gain_error)),
        gain_error=gain_error,
        offset_amps=float(rng.uniform(-offset_bound, offset_bound)),
        offset_bound=offset_bound,
        resolution_amps=float(rng.choice([1e-9, 2e-7, 5e-6])),
        noise_amps=load.active_amps * float(10 ** rng.uniform(-4, -0.7)),
        correlated=float(rng.choice([0.0, 0.9])),
        drift_amps=load.active_amps * float(rng.normal(0, 1) * rng.choice([0.0, 1e-4, 1e-3])),
        phase=float(rng.uniform(0, 1)),
    )
    if rng.random() > 0.3:
        return errors
    count = int(load.total_s * rate_hz)
    most = max(2, int(0.01 * load.length_s * rate_hz))
    firsts = rng.integers(1, count - most - 1, int(rng.integers(1, 5)))
    return replace(errors, lost=tuple((int(at), int(rng.integers(1, most))) for at in firsts))
