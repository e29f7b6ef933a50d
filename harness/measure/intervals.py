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
