"""Confidence intervals of an accuracy and of mean errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""

SEED = 20261126
RESAMPLES = 2000
MOST_RESAMPLED = 10_000
"""Larger sets get the normal approximation, which is as good there and takes no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceInterval:
    """A figure of `n` samples with its 95 % confidence interval, from `low` to `high`.

    Both ends are None where a single sample says nothing of the spread.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def wilson(right: int, n: int) -> ConfidenceInterval:
    """The share of right answers, with Wilson's score interval.

    Wilson, E. B. (1927): Probable inference, the law of succession, and statistical inference.

    Raises:
        ValueError: no samples, or more right answers than samples.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"{right} right answers of {n}")
    share, z2 = right / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Exact at the ends, where rounding would leave 1e-17 or 0.9999999.
    low = 0.0 if right == 0 else centre - half
    high = 1.0 if right == n else centre + half
    return ConfidenceInterval(value=share, low=low, high=high, n=n)


def poisson(count: int, exposure: float) -> ConfidenceInterval:
    """The rate of events per unit of exposure, with the exact interval for a Poisson count.

    Garwood, F. (1936): Fiducial limits for the Poisson distribution.

    Raises:
        ValueError: a count below 0, or no exposure.
    """
    if count < 0 or not exposure > 0:
        raise ValueError(f"{count} events in {exposure}")
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else _poisson_mean(count - 1, 1 - tail)
    high = _poisson_mean(count, tail)
    return ConfidenceInterval(
        value=count / exposure, low=low / exposure, high=high / exposure, n=count
    )


def _poisson_mean(count: int, probability: float) -> float:
    """The mean of which at most `count` events have this probability, by bisection."""
    spread = 12 * math.sqrt(count + 10) + 20
    low, high = max(0.0, count - spread), count + spread
    for _ in range(100):
        middle = (low + high) / 2
        if _poisson_at_most(count, middle) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _poisson_at_most(count: int, mean: float) -> float:
    """The probability of at most `count` events; terms that are too small to matter left out."""
    if mean == 0:
        return 1.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, at = 0.0, count
    while at >= 0 and term > 1e-18 * max(total, 1e-300):
        total += term
        term *= at / mean
        at -= 1
    return min(1.0, total)


def mean_interval(values: NDArray[Any]) -> ConfidenceInterval:
    """The mean of a figure of each sample (n,), n at least 1."""
    return _interval(values, lambda means: means)


def root_mean_interval(squares: NDArray[Any]) -> ConfidenceInterval:
    """The square root of the mean of squares (n,), n at least 1."""
    return _interval(squares, np.sqrt)


def _interval(values: NDArray[Any], of: Callable[[Any], Any]) -> ConfidenceInterval:
    """`of` a mean: a seeded percentile bootstrap, or the normal distribution for many samples."""
    n, mean = len(values), float(values.mean())
    if n == 1:
        return ConfidenceInterval(value=float(of(mean)), low=None, high=None, n=1)
    if n <= MOST_RESAMPLED:
        low, high = np.quantile(_resampled(values), (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2))
    else:
        half = _Z * float(values.std(ddof=1)) / math.sqrt(n)
        low, high = max(0.0, mean - half), mean + half
    return ConfidenceInterval(value=float(of(mean)), low=float(of(low)), high=float(of(high)), n=n)


def _resampled(values: NDArray[Any]) -> NDArray[np.float64]:
    random = np.random.default_rng(SEED)
    n = len(values)
    return np.array(
        [values[random.integers(0, n, n)].mean() for _ in range(RESAMPLES)], dtype=np.float64
    )
