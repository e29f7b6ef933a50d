"""Standard uncertainty of means of samples that are correlated and may follow a periodic signal."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BATCHES = 32
"""Parts of a window whose means are compared; of idle IDLE_BATCHES."""

IDLE_BATCHES = 16
_MOST_CORRELATED = 0.9


def batch_means(values: Floats, batches: int) -> Floats:
    """Means of consecutive parts as equal as possible; at most one for each value."""
    bounds = np.linspace(0, len(values), min(batches, len(values)) + 1).round().astype(int)
    means: Floats = np.add.reduceat(values, bounds[:-1]) / np.diff(bounds)
    return means


def mean_uncertainty(windows: Sequence[Floats], inferences: Sequence[int]) -> float:
    """Standard uncertainty of the mean over windows of samples, weighted by their lengths.

    By batch means (Law and Kelton, Simulation Modeling and Analysis): within a batch neighbours may
    be correlated as they like, and what correlation is left between batches counts as that of an
    AR(1) process. What repeats from window to window is signal, not scatter: of several windows the
    residuals of a two-way table are taken, of a single one batches of whole inferences. Windows
    that differ by more than their parts do decide by their own scatter. Few degrees of freedom v
    widen it by sqrt(v / (v - 2)) (JCGM 101:2008, 6.4.9.4).

    Args:
        windows: samples of each.
        inferences: in each.

    Returns:
        In the samples' unit; 0 for a single batch in all, which scatters from nothing.
    """
    batches = _batches(windows, inferences)
    pairs = zip(windows, inferences, strict=True)
    table = np.vstack([batch_means(_whole(*pair, batches), batches) for pair in pairs])
    within = _of_residuals(table)
    between = _of_windows(table.mean(axis=1))
    return max(within, between)


def _batches(windows: Sequence[Floats], inferences: Sequence[int]) -> int:
    """How many parts each window is divided into."""
    most = min(BATCHES, min(len(window) for window in windows))
    fewest = min(inferences)
    return most if fewest < LEAST_INFERENCES else fewest // ceil(fewest / most)


def _whole(values: Floats, inferences: int, batches: int) -> Floats:
    """The samples of as many inferences as make batches of equally many whole ones."""
    if inferences < LEAST_INFERENCES:
        return values
    return values[: round(len(values) * (inferences // batches * batches) / inferences)]


LEAST_INFERENCES = 8
"""Windows of fewer are divided without regard to them."""


def _of_residuals(table: Floats) -> float:
    windows, batches = table.shape
    if batches < 2:
        return 0.0
    residuals = table - table.mean(axis=1, keepdims=True)
    if windows > 1:
        residuals -= residuals.mean(axis=0, keepdims=True)
    freedom = max(1, windows - 1) * (batches - 1)
    variance = float((residuals**2).sum()) / freedom
    return sqrt(variance / table.size * _inflation(residuals, batches)) * _widened(freedom)


def _inflation(residuals: Floats, batches: int) -> float:
    """Variance of a mean of an AR(1) process by that of as many independent values."""
    total = float((residuals**2).sum())
    if total == 0 or batches < 4:
        return 1.0
    lagged = float((residuals[:, :-1] * residuals[:, 1:]).sum()) / total
    # Taking off the mean makes residuals correlated by -1/batches.
    correlated = min(max(0.0, lagged + 1 / batches), _MOST_CORRELATED)
    return (1 + correlated) / (1 - correlated)


def _of_windows(means: Floats) -> float:
    """By the scatter of the windows alone, if there are enough to say."""
    if len(means) < _LEAST_WINDOWS:
        return 0.0
    return float(means.std(ddof=1)) / sqrt(len(means)) * _widened(len(means) - 1)


_LEAST_WINDOWS = 4


def _widened(freedom: int) -> float:
    return sqrt(freedom / (freedom - 2)) if freedom > 2 else sqrt(3.0)


def level(values: Floats) -> tuple[float, float]:
    """The usual value of an idle stretch, and its standard uncertainty.

    The median of the means of IDLE_BATCHES parts: a burst in fewer than half of them, as of the
    board's answer, does not count. A median of normal values scatters by sqrt(pi / 2) as much as
    their mean (Kenney and Keeping, Mathematics of Statistics, 1962, p. 211).
    """
    means = batch_means(values, IDLE_BATCHES)
    middle = float(np.median(means))
    # 1.4826: of normal values the standard deviation by the median absolute deviation.
    spread = 1.4826 * float(np.median(np.abs(means - middle)))
    inflation = _inflation((means - middle)[np.newaxis].clip(-3 * spread, 3 * spread), len(means))
    return middle, spread * sqrt(pi / 2 / len(means) * inflation) * _widened(len(means) - 1)


def resolution_uncertainty(values: Floats, step: float) -> float:
    """Standard uncertainty of a mean because its samples are multiples of `step`.

    Normal scatter of s makes the quantizer's error of a mean smaller by exp(-2 (pi s / step)^2)
    (Widrow and Kollar, Quantization Noise, 2008); without any it is that of one sample,
    step / sqrt(12) (JCGM 100:2008, F.2.2.1). What two neighbouring values can scatter without any,
    step^2 / 4, is taken off first.
    """
    if step <= 0:
        return 0.0
    own = max(0.0, float(values.var()) / step**2 - 1 / 4)
    return step / sqrt(12) * exp(-2 * pi**2 * min(own, 30.0))
