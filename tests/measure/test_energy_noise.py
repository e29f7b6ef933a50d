from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from fakes.supply import Errors, Load, currents

from harness.measure.energy_noise import (
    batch_means,
    level,
    mean_uncertainty,
    resolution_uncertainty,
)


def noise(correlated: float = 0.0, seed: int = 0) -> np.ndarray:
    errors = Errors(noise_amps=1.0, correlated=correlated)
    return currents(Load(windows=10), errors, seed)[1]


def test_batches_are_as_equal_as_can_be_and_never_empty() -> None:
    assert batch_means(np.arange(6.0), 3).tolist() == [0.5, 2.5, 4.5]
    assert batch_means(np.arange(7.0), 2).tolist() == [1.5, 5.0]
    assert batch_means(np.array([1.0, 2.0]), 5).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("correlated", (0.0, 0.9, 0.99))
def test_a_mean_scatters_as_its_uncertainty_says(correlated: float) -> None:
    rng = np.random.default_rng(1)
    means, said = [], []
    for _ in range(100):
        white = rng.normal(size=6_000)
        values = white if not correlated else filtered(white, correlated)
        means.append(values[2_000:].mean())
        said.append(mean_uncertainty([values[2_000:]], [1]))
    # AR(1) of n values: variance of the mean is (1 + r) / (1 - r) / n.
    assert np.std(means) == pytest.approx(
        sqrt((1 + correlated) / (1 - correlated) / 4000), rel=0.25
    )
    assert np.mean(said) == pytest.approx(np.std(means), rel=0.25)


def filtered(white: np.ndarray, correlated: float) -> np.ndarray:
    kernel = correlated ** np.arange(700)
    return np.convolve(white, kernel)[: len(white)] * sqrt(1 - correlated**2)


def test_what_repeats_from_window_to_window_is_signal() -> None:
    wave = np.sin(np.arange(1000) / 70)
    rng = np.random.default_rng(0)
    windows = [wave + rng.normal(0, 0.01, 1000) for _ in range(3)]
    assert mean_uncertainty(windows, [1, 1, 1]) == pytest.approx(0.01 / sqrt(3000), rel=0.3)
    assert mean_uncertainty(windows[:1], [1]) > 0.05


def test_windows_that_differ_decide_by_their_own_scatter() -> None:
    rng = np.random.default_rng(0)
    windows = [step + rng.normal(0, 0.01, 1000) for step in (0.0, 1.0, 2.0, 3.0, 4.0)]
    # sqrt(2.5 / 5) of 0 to 4, widened for 4 degrees of freedom by sqrt(2).
    assert mean_uncertainty(windows, [1] * 5) == pytest.approx(1.0, rel=0.01)


def test_a_burst_in_some_parts_of_idle_does_not_move_its_level() -> None:
    rng = np.random.default_rng(0)
    values = 5 + rng.normal(0, 0.1, 1600)
    quiet, unsure = level(values)
    assert quiet == pytest.approx(5, abs=3 * unsure) and 0.1 / 40 < unsure < 0.1 / 10
    values[:500] += 3
    assert level(values)[0] == pytest.approx(5, abs=0.02)


def test_levels_scatter_as_their_uncertainty_says() -> None:
    rng = np.random.default_rng(2)
    found = [level(rng.normal(size=1600)) for _ in range(300)]
    # The median of 16 means, sqrt(pi / 2) times as wide as the mean.
    assert np.std([middle for middle, _ in found]) == pytest.approx(sqrt(np.pi / 2) / 40, rel=0.15)
    said = sqrt(np.mean([unsure**2 for _, unsure in found]))
    assert 1.0 < said / np.std([middle for middle, _ in found]) < 1.6


@pytest.mark.parametrize("scatter", (0.0, 0.1, 0.3, 0.5, 2.0))
def test_a_quantizers_error_of_a_mean_is_within_what_is_said(scatter: float) -> None:
    rng = np.random.default_rng(0)
    off, said = [], []
    for at in np.linspace(-0.5, 0.5, 101):
        values = np.round(at + rng.normal(0, scatter, 20_000) if scatter else np.full(9, at))
        off.append(values.mean() - at)
        said.append(resolution_uncertainty(values, 1.0))
    sampling = scatter / sqrt(20_000)
    assert np.mean(np.abs(off) <= 2 * np.hypot(said, sampling)) >= 0.9
    assert (max(said) < 1e-6) == (scatter == 2.0)


def test_without_a_step_there_is_none() -> None:
    assert resolution_uncertainty(np.ones(5), 0.0) == 0
