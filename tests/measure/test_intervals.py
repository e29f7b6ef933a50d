"""Confidence intervals against published and analytic values."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.intervals import mean_interval, poisson, root_mean_interval, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    (
        # Newcombe, R. G. (1998), Statistics in Medicine 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ),
)
def test_wilson_is_as_published(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(n - right, n)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_ends_exactly_at_0_and_1_and_refuses_nonsense() -> None:
    assert wilson(0, 3).low == 0.0 and wilson(3, 3).high == 1.0 and wilson(1, 1).low > 0
    for right, n in ((0, 0), (2, 1), (-1, 4)):
        with pytest.raises(ValueError):
            wilson(right, n)


def test_one_value_has_no_interval_and_equal_ones_a_narrow_one() -> None:
    alone = mean_interval(np.array([3.0]))
    assert (alone.value, alone.low, alone.high) == (3.0, None, None)
    same = root_mean_interval(np.full(7, 4.0))
    assert (same.value, same.low, same.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("n", (400, 20_000))
def test_the_mean_of_many_has_the_normal_interval(n: int) -> None:
    values = np.abs(np.random.default_rng(4).normal(size=n))
    found = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(n)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert mean_interval(values) == found


def test_the_rate_of_rare_events_has_garwoods_interval() -> None:
    # Table of exact limits, Garwood (1936) and every textbook since: 0, 1, 5, 20 events.
    for count, low, high in ((0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668)):
        interval = poisson(count, 1.0)
        assert (interval.low, interval.high) == (
            pytest.approx(low, abs=5e-4),
            pytest.approx(high, abs=5e-4),
        )
    wide = poisson(10_000, 2.0)
    assert wide.value == 5000 and wide.low == pytest.approx(4902.5, abs=0.5)
    assert wide.high == pytest.approx(5099, abs=0.6)
    for count, exposure in ((-1, 1.0), (1, 0.0), (1, float("nan"))):
        with pytest.raises(ValueError):
            poisson(count, exposure)
