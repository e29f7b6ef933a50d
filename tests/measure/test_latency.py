from __future__ import annotations

import math

import numpy as np
import pytest

from harness.measure.latency import (
    TimedRequest,
    Timer,
    affordable_invokes,
    agree,
    impossible,
    impossible_by_host,
    summarize,
)


def summary(*samples: float):
    return summarize(np.array(samples, dtype=np.float64))


@pytest.mark.parametrize(
    "samples, p50, p95, mad, mean",
    [
        # By hand; p95 lies at order statistic 0.95 * (n - 1), linearly between its neighbours.
        ((5.0,), 5.0, 5.0, 0.0, 5.0),
        ((1.0, 2.0), 1.5, 1.95, 0.5, 1.5),
        ((3.0, 1.0, 2.0), 2.0, 2.9, 1.0, 2.0),
        ((4.0, 1.0, 3.0, 2.0), 2.5, 3.85, 1.0, 2.5),
        ((1.0, 1.0, 1.0, 1.0, 1001.0), 1.0, 801.0, 0.0, 201.0),
    ],
)
def test_statistics_by_hand(samples, p50: float, p95: float, mad: float, mean: float) -> None:
    found = summary(*samples)
    assert found.n == len(samples)
    assert (found.min_us, found.max_us) == (min(samples), max(samples))
    assert (found.p50_us, found.p95_us) == pytest.approx((p50, p95))
    assert (found.mad_us, found.mean_us) == pytest.approx((mad, mean))


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 1000])
def test_percentiles_are_numpys_and_p99_needs_100_samples(n: int) -> None:
    samples = np.random.default_rng(n).lognormal(size=n)
    found = summarize(samples)
    assert (found.p50_us, found.p95_us) == tuple(np.quantile(samples, [0.5, 0.95]))
    assert found.p99_us == (None if n < 100 else np.quantile(samples, 0.99))


def test_summary_keeps_warmup_and_an_absent_cold_invoke() -> None:
    found = summarize(np.array([1.0]), warmup=7)
    assert (found.warmup, found.cold_us) == (7, None)
    assert summarize(np.array([1.0]), cold_us=9.0).cold_us == 9.0


@pytest.mark.parametrize(
    "samples, std",
    # By hand: sqrt(sum of squared deviations / (n - 1)).
    [((5.0,), None), ((1.0, 3.0), math.sqrt(2)), ((1.0, 2.0, 3.0, 4.0), math.sqrt(5 / 3))],
)
def test_standard_deviation_is_a_samples_and_absent_of_one(samples, std: float | None) -> None:
    assert summary(*samples).std_us == (None if std is None else pytest.approx(std))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no latency samples"):
        summarize(np.array([]))


def test_microseconds_subtract_the_cost_of_reading_the_counter() -> None:
    timer = Timer(hz=25_000_000, read_ticks=5)
    ticks = np.array([5, 30, 4, 2**32 - 1], dtype=np.uint32)
    assert timer.us(ticks) == pytest.approx([0.0, 1.0, -0.04, (2**32 - 6) / 25])


@pytest.mark.parametrize("edge", [math.floor, math.ceil])
def test_instruction_counts_are_exact_at_shift_7(edge) -> None:
    # An instruction takes 2**7 = 128 ns and a tick 40 ns: the counter shows 3.2 k, cut or filled.
    counts = range(5001)
    ticks = np.array([edge(k * 128 / 40) for k in counts], dtype=np.uint32)
    timer = Timer(hz=25_000_000)
    assert timer.instructions(ticks, ns_per_instruction=128).tolist() == list(counts)


def test_instructions_leave_out_those_that_read_the_counter() -> None:
    # 16 ticks are 640 ns or 5 instructions; 32 ticks are 10.
    timer = Timer(hz=25_000_000, read_ticks=16)
    assert timer.instructions(
        np.array([32, 16], dtype=np.uint32), ns_per_instruction=128
    ).tolist() == [
        5,
        0,
    ]


@pytest.mark.parametrize(
    "first, second, warm",
    [(100, 99, True), (99, 100, True), (100, 98, False), (0, 0, True), (0, 1, False)],
)
def test_board_is_warm_when_two_invokes_agree_within_a_hundredth(first, second, warm) -> None:
    assert agree(first, second) is warm


@pytest.mark.parametrize(
    "invoke_s, count",
    [
        (0.0, 1000), (0.02, 1000), (0.021, 500), (0.04, 500), (0.2, 100),
        (0.951, 20), (2.0, 10), (2.1, 10), (600.0, 10),
    ],
)  # fmt: skip
def test_invokes_that_nobody_counted_take_20_s_or_are_ten(invoke_s: float, count: int) -> None:
    assert affordable_invokes(invoke_s) == count


def request(*ticks: int, host_s: float, again: bool = False) -> TimedRequest:
    return TimedRequest(ticks=np.array(ticks, dtype=np.uint32), host_s=host_s, again=again)


MHZ = Timer(hz=1_000_000, read_ticks=2, step_ticks=1)


@pytest.mark.parametrize("least, cannot", [(0, True), (1, False), (2, False), (9, False)])
def test_a_sample_below_the_cost_of_reading_cannot_be(least: int, cannot: bool) -> None:
    why = impossible(np.array([50, least, 60], dtype=np.uint32), MHZ)
    assert (why is not None) is cannot
    if why:
        assert why.endswith(
            "took 0 ticks, and reading the counter is said to take 2: that is -2.0 us"
        )


@pytest.mark.parametrize(
    "told, said",
    [
        (request(100, 200, host_s=0.01), None),
        # Its counter counts 5 % faster at most, and either end is cut to a step.
        (request(1_000_000, host_s=0.9), "1 invokes took 0.9 s with their request, and 1 s by"),
        (request(1_000_000, host_s=0.96), None),
        (request(2**32 - 1, host_s=0.1), "and 4.29e+03 s by the counter of 1000000 Hz"),
        # Over 71 minutes pass, the counter says 1 s: it began anew.
        (request(1_000_000, host_s=4297.0), "begins anew after 4.29e+03 s"),
        (request(1_000_000, host_s=4297.0, again=True), None),
    ],
)
def test_ticks_are_held_against_the_hosts_clock(told: TimedRequest, said: str | None) -> None:
    why = impossible_by_host(told, MHZ)
    assert why is None if said is None else said in (why or "")


def test_an_emulators_time_is_its_own_but_its_instructions_are_executed_here() -> None:
    timer = Timer(hz=25_000_000)
    quick = request(25_000_000, host_s=0.02)
    assert impossible_by_host(quick, timer, ns_per_instruction=128) is None
    assert impossible_by_host(quick, timer) is not None
    why = impossible_by_host(request(2**32 - 1, host_s=0.02), timer, ns_per_instruction=1)
    assert "the counter says 1.72e+11 instructions" in (why or "")
