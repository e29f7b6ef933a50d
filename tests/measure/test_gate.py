from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency import gate as simulation
from harness.measure.gate import (
    SHARED_LEAST_DELTA,
    LatencyVerdict,
    Sessions,
    bootstrap,
    judge,
    session_sd,
    weigh,
)

QUIET = (100.0, 100.1, 99.9, 100.2, 99.8)


def times(*figures: float, step_us: float = 0.0) -> Sessions:
    return Sessions(figures=figures, step_us=step_us)


def by(factor: float) -> Sessions:
    return Sessions(figures=tuple(factor * figure for figure in QUIET))


@pytest.mark.parametrize(
    "factor, verdict",
    [(1.03, "slower"), (2.0, "slower"), (1.0, "same"), (1.01, "same"), (0.96, "faster")]
    + [(1.0199, "cannot tell"), (0.981, "cannot tell")],
)
def test_verdict_on_quiet_sessions(factor: float, verdict: str) -> None:
    found = judge(times(*QUIET), by(factor))
    assert found.verdict.value == verdict
    assert found.ratio == pytest.approx(factor)
    assert found.low is not None and found.high is not None
    assert found.low <= found.ratio <= found.high


@pytest.mark.parametrize("factor", [0.9, 0.97, 1.0, 1.015, 1.03, 1.1])
def test_exchanging_the_sides_mirrors_the_verdict(factor: float) -> None:
    mirror = {
        LatencyVerdict.SLOWER: LatencyVerdict.FASTER,
        LatencyVerdict.FASTER: LatencyVerdict.SLOWER,
    }
    ahead = judge(times(*QUIET), by(factor)).verdict
    back = judge(by(factor), times(*QUIET)).verdict
    assert back is mirror.get(ahead, ahead)


def test_rule_of_a_slowdown_has_its_figures_in_words() -> None:
    # 99.9 * 1.03 / 100.2 is the third smallest of 25 ratios: the smallest has odds of 0.0579**2,
    # the next two, with a second-ranked session, of 0.0579 * 0.2593 each; 0.025 lies among them.
    assert judge(times(*QUIET), by(1.03)).rule == (
        "ratio 1.0300, 95 % interval 1.0269 to 1.0331, of 5 sessions against 5: above 1 by more "
        "than 2 % (the least that counts here), all of it above 1"
    )


@pytest.mark.parametrize("sessions", [1, 2])
def test_under_three_sessions_nothing_can_be_told_however_large_the_ratio(sessions: int) -> None:
    found = judge(times(*QUIET), times(*[300.0] * sessions))
    assert (found.verdict, found.ratio) == (LatencyVerdict.CANNOT_TELL, 3.0)
    assert found.low is None and found.rule.startswith(f"{sessions} session")


@pytest.mark.parametrize("base, new, lacking", [((), QUIET, "baseline"), (QUIET, (), "this run")])
def test_nothing_measured_is_named(
    base: tuple[float, ...], new: tuple[float, ...], lacking: str
) -> None:
    found = judge(times(*base), times(*new))
    assert found.verdict is LatencyVerdict.CANNOT_TELL
    assert lacking in found.rule and found.ratio is None


def test_noise_widens_delta_and_calls_nothing_the_same() -> None:
    noisy = (100.0, 108.0, 93.0, 104.0, 96.0)
    found = judge(times(*noisy), times(*(1.1 * figure for figure in noisy)))
    assert found.verdict is LatencyVerdict.CANNOT_TELL
    assert found.delta is not None and found.delta > 0.1 and "three A/A spreads" in found.rule
    assert judge(times(*noisy), times(*noisy)).verdict is LatencyVerdict.CANNOT_TELL


def test_one_bad_session_on_each_side_hides_no_slowdown() -> None:
    base, new = (*QUIET[:4], 130.0), (*(1.03 * figure for figure in QUIET[:4]), 125.0)
    assert judge(times(*base), times(*new)).verdict is LatencyVerdict.SLOWER


def test_three_bad_sessions_among_good_ones_are_no_slowdown() -> None:
    found = judge(times(*QUIET), times(160.0, 100.0, 161.0, 100.1, 159.0))
    assert found.verdict is LatencyVerdict.CANNOT_TELL and found.ratio == pytest.approx(1.59)


def test_change_within_one_step_of_the_counter_is_none() -> None:
    base, new = [48.0] * 5, [52.0] * 5
    assert judge(times(*base, step_us=4.0), times(*new, step_us=4.0)).verdict is LatencyVerdict.SAME
    assert judge(times(*base), times(*new)).verdict is LatencyVerdict.SLOWER


def test_on_a_shared_clock_less_than_twice_is_no_slowdown() -> None:
    shared = Sessions(figures=QUIET, least_delta=SHARED_LEAST_DELTA)
    assert judge(shared, by(1.9)).verdict is LatencyVerdict.CANNOT_TELL
    assert judge(shared, by(2.1)).verdict is LatencyVerdict.SLOWER


@pytest.mark.parametrize(
    "new, verdict", [(2968, "slower"), (2966, "faster"), (2967, "same"), (5000, "slower")]
)
def test_exact_counts_differ_by_one(new: float, verdict: str) -> None:
    base = Sessions(figures=(2967.0,), exact=True)
    found = judge(base, Sessions(figures=(new,), exact=True))
    assert found.verdict.value == verdict and "2967" in f"{found.rule} {verdict == 'same'} 2967"
    assert found.delta == 0.0 and found.ratio == new / 2967


def test_counts_that_differ_between_sessions_of_one_firmware_decide_nothing() -> None:
    base = Sessions(figures=(2967.0, 2969.0), exact=True)
    found = judge(base, Sessions(figures=(2968.0,), exact=True))
    assert found.verdict is LatencyVerdict.CANNOT_TELL and "2967 to 2969" in found.rule


def test_counts_are_not_compared_with_times() -> None:
    found = judge(Sessions(figures=(2967.0,), exact=True), times(*QUIET))
    assert found.verdict is LatencyVerdict.CANNOT_TELL and found.ratio is None


@pytest.mark.parametrize("figure", [0.0, -1.0, float("nan"), float("inf")])
def test_a_median_that_is_no_time_is_refused(figure: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        times(100.0, figure)


@pytest.mark.parametrize("n, m", [(3, 3), (4, 5), (5, 5), (6, 9), (10, 10)])
def test_interval_is_what_scipy_draws(n: int, m: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(n * m)
    base, new = random.lognormal(0, 0.02, n), random.lognormal(0, 0.02, m)

    def ratio(new: np.ndarray, base: np.ndarray, axis: int) -> np.ndarray:
        return np.median(new, axis=axis) / np.median(base, axis=axis)

    drawn = stats.bootstrap(
        (new, base), ratio, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    assert bootstrap(base, new) == pytest.approx((drawn.low, drawn.high), abs=2e-3)


def test_session_sd_is_about_that_of_a_normal_sample() -> None:
    random = np.random.default_rng(1)
    base, new = 1 + 0.01 * random.standard_normal((2, 2000, 20))
    assert np.median(session_sd(base, new)) == pytest.approx(0.01, rel=0.06)


def test_many_pairs_are_weighed_as_each_alone() -> None:
    random = np.random.default_rng(2)
    base, new = random.lognormal(0, 0.01, (2, 7, 5))
    together = weigh(base, new)
    alone = [weigh(one, other) for one, other in zip(base, new, strict=True)]
    assert together.low.tolist() == [float(one.low) for one in alone]
    assert together.delta.tolist() == [float(one.delta) for one in alone]


PAIRS = 4000


RECORDED = "shape recorded on virtual"
BORNE = [(name, 0.002) for name in simulation.noises(0.01)]
BORNE += [(name, 0.05) for name in simulation.noises(0.01) if name != RECORDED]


@pytest.mark.parametrize("name, spread", BORNE)
def test_false_alarms_are_at_most_one_in_a_thousand(name: str, spread: float) -> None:
    found = simulation.weighed(simulation.noises(spread)[name], PAIRS)
    assert int(found.slower.sum()) <= PAIRS / 1000
    assert int(found.faster.sum()) <= PAIRS / 1000


@pytest.mark.parametrize("name", sorted(simulation.noises(0.01)))
def test_three_percent_is_caught_ninety_five_times_in_a_hundred(name: str) -> None:
    found = simulation.weighed(simulation.noises(0.002)[name], PAIRS)
    assert simulation.slowed(found, 1.03).slower.mean() >= 0.95


def test_recorded_sessions_of_the_virtual_board_give_no_false_alarm() -> None:
    for blocks in (False, True):
        base, new = simulation.resampled(simulation.starts(), PAIRS, blocks=blocks)
        found = weigh(base, new, least_delta=SHARED_LEAST_DELTA)
        assert not found.slower.any() and not found.faster.any()
