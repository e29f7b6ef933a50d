from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.clock import ClockRate, ClockStamp, clock_rate, judge_clock


def stamp(at_s: float, *, ppm: float = 0.0, width_s: float = 0.001, where: float = 0.5):
    """A board whose clock runs `ppm` fast, read `where` of the way through `width_s`."""
    read_s = at_s + where * width_s
    return ClockStamp(
        before_s=at_s, after_s=at_s + width_s, board_us=int(read_s * (1 + ppm / 1e6) * 1e6)
    )


def test_two_stamps_by_hand() -> None:
    # Board: 10 s in 9.998 s to 10.002 s of the host's, give or take a microsecond.
    stamps = [
        ClockStamp(before_s=0.0, after_s=0.002, board_us=1000),
        ClockStamp(before_s=10.0, after_s=10.002, board_us=10_001_000),
    ]
    rate = clock_rate(stamps)
    low, high = 9_999_999 / 10.002e6, 10_000_001 / 9.998e6
    assert rate is not None and rate.steady and rate.span_s == pytest.approx(10.002)
    assert rate.ppm == pytest.approx(((low + high) / 2 - 1) * 1e6)
    assert rate.error_ppm == pytest.approx((high - low) / 2 * 1e6)
    assert rate.error_ppm == pytest.approx(200.1, abs=0.2)


@given(
    ppm=st.floats(-50_000, 50_000),
    gaps=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=8),
    widths=st.lists(st.floats(1e-4, 0.02), min_size=9, max_size=9),
    wheres=st.lists(st.floats(0, 1), min_size=9, max_size=9),
)
def test_the_true_rate_is_always_within_the_bounds(ppm, gaps, widths, wheres) -> None:
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    stamps = [
        stamp(at, ppm=ppm, width_s=width, where=where)
        for at, width, where in zip(times, widths, wheres, strict=False)
    ]
    rate = clock_rate(stamps)
    if rate is not None:
        assert rate.steady
        assert abs(rate.ppm - ppm) <= rate.error_ppm + 0.5


def test_more_stamps_narrow_the_bounds() -> None:
    late = [stamp(0.0, where=1.0), stamp(10.0, where=0.0)]
    rates = [clock_rate(late), clock_rate([*late, stamp(10.1, width_s=0.0001)])]
    assert rates[0] is not None and rates[1] is not None
    assert rates[1].error_ppm < 0.6 * rates[0].error_ppm


def test_a_clock_that_jumps_is_unsteady() -> None:
    jumped = stamp(2.0)
    jumped = ClockStamp(
        before_s=jumped.before_s, after_s=jumped.after_s, board_us=jumped.board_us + 100_000
    )
    rate = clock_rate([stamp(0.0), stamp(1.0), jumped])
    assert rate is not None and not rate.steady
    assert judge_clock(rate, 200) == "unsteady"


@pytest.mark.parametrize("stamps", [[], [stamp(0.0)], [stamp(0.0), stamp(0.0005)]])
def test_stamps_that_are_not_apart_tell_nothing(stamps) -> None:
    assert clock_rate(stamps) is None
    assert judge_clock(clock_rate(stamps), 200) == "cannot tell"


@pytest.mark.parametrize(
    "ppm, error, verdict",
    [(0, 200, "ok"), (100, 100, "ok"), (100, 101, "cannot tell"), (-400, 200, "cannot tell")]
    + [(401, 200, "off"), (-401, 200, "off"), (0, 5000, "cannot tell")],
)
def test_a_verdict_needs_the_whole_interval(ppm: float, error: float, verdict: str) -> None:
    rate = ClockRate(ppm=ppm, error_ppm=error, span_s=1.0, steady=True)
    assert judge_clock(rate, 200) == verdict
