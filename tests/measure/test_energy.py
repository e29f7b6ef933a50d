from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from fakes.supply import Errors, Load, any_errors, any_load, sampled

from harness.errors import CannotTell
from harness.measure.energy import Energy, Trace, energy_of, find_windows, length_needed

LOAD = Load()


def measured(
    trace: Trace,
    load: Load = LOAD,
    *,
    subtract_idle: bool = False,
    most_share: float | None = None,
) -> Energy:
    windows = find_windows(trace, count=load.windows, length_s=load.length_s)
    return energy_of(
        trace,
        windows=windows,
        inferences=load.inferences,
        subtract_idle=subtract_idle,
        most_share=most_share,
    )


def test_known_current_gives_current_charge_and_energy_by_hand() -> None:
    energy = measured(sampled(LOAD))
    # 12 mA at 3 V for 10 ms; idle 2 mA.
    assert energy.mean_amps == pytest.approx(12e-3, rel=1e-3)
    assert energy.charge_c == pytest.approx(120e-6, rel=1e-3)
    assert energy.gross_j == pytest.approx(360e-6, rel=1e-3)
    assert energy.net_j == pytest.approx(300e-6, rel=1e-3)
    assert energy.idle_w == pytest.approx(6e-3)
    assert energy.volts == 3.0
    assert (energy.windows, energy.inferences, energy.lost) == (2, 100, 0)
    assert energy.window_s == pytest.approx(0.5, rel=1e-3)
    assert energy.samples == pytest.approx(10_000, abs=2)


def test_both_are_kept_whichever_was_asked_for() -> None:
    trace = sampled(LOAD, Errors(gain_error=0.01))
    gross, net = measured(trace), measured(trace, subtract_idle=True)
    assert gross.energy_j == gross.gross_j == net.gross_j
    assert net.energy_j == net.net_j == gross.net_j
    assert gross.uncertainty_j > net.uncertainty_j


def test_gain_is_a_rectangle_expanded_by_two() -> None:
    energy = measured(sampled(LOAD, Errors(gain_error=0.03)), subtract_idle=True)
    assert energy.net_parts is not None
    assert energy.gross_parts.gain == pytest.approx(0.03 / sqrt(3) * energy.gross_j)
    assert energy.net_parts.gain == pytest.approx(0.03 / sqrt(3) * energy.energy_j)
    assert energy.uncertainty_j == pytest.approx(2 * 0.03 / sqrt(3) * energy.energy_j, rel=0.01)
    assert energy.uncertainty_of_run_j < 0.02 * energy.uncertainty_j


def test_an_offset_cancels_with_idle_unless_each_range_has_its_own() -> None:
    trace = sampled(LOAD, Errors(offset_amps=1e-5, offset_bound=1e-5))
    one = measured(trace)
    assert one.gross_parts.offset == pytest.approx(1e-5 / sqrt(3) * 3 * 0.01, rel=1e-3)
    assert one.net_parts is not None and one.net_parts.offset == 0
    several = measured(replace(trace, offset_amps=np.full(len(trace.seconds), 1e-5)))
    assert several.net_parts is not None
    assert several.net_parts.offset == pytest.approx(sqrt(2) * one.gross_parts.offset)


def test_each_range_counts_by_its_own_bounds() -> None:
    trace = sampled(LOAD)
    high = trace.amps > 5e-3
    trace = replace(
        trace, gain_error=np.where(high, 0.1, 0.02), offset_amps=np.where(high, 1e-4, 1e-6)
    )
    energy = measured(trace, subtract_idle=True)
    assert energy.gross_parts.gain == pytest.approx(0.1 / sqrt(3) * energy.gross_j, rel=1e-3)
    # Not the same way: 10 % of 360 uJ and 2 % of 60 uJ.
    assert energy.parts.gain == pytest.approx(np.hypot(36e-6, 1.2e-6) / sqrt(3), rel=1e-3)
    assert energy.idle_w is not None and energy.idle_u_w is not None
    expected = 2 * np.hypot(0.02 * 6e-3, 1e-6 * 3) / sqrt(3)
    assert energy.idle_u_w == pytest.approx(expected, rel=1e-3)


def test_samples_that_a_change_of_range_leaves_unsure_widen_both() -> None:
    trace = sampled(LOAD)
    unsure = np.where(np.arange(len(trace.seconds)) % 10 == 0, 1e-3, 0.0)
    energy = measured(replace(trace, unsure_amps=unsure))
    # A tenth of the samples by 1 mA, at 3 V for 10 ms.
    assert energy.gross_parts.ranges == pytest.approx(1e-4 / sqrt(3) * 3 * 0.01, rel=0.01)
    assert energy.net_parts is not None
    assert energy.net_parts.ranges == pytest.approx(sqrt(2) * energy.gross_parts.ranges, rel=0.01)


def test_shares_of_the_meters_ranges_are_by_what_was_drawn_in_the_windows() -> None:
    trace = sampled(LOAD)
    high = trace.seconds * 4 % 1 < 0.5
    energy = measured(replace(trace, ranges=np.where(high, 3, 1).astype(np.uint8)))
    assert energy.range_shares == pytest.approx((0, 0.5, 0, 0.5), abs=0.01)
    assert measured(trace).range_shares == ()


def test_other_readings_above_and_below_cancel() -> None:
    trace = sampled(LOAD)
    unsure = np.where(np.arange(len(trace.seconds)) % 2 == 0, 1e-3, -1e-3)
    energy = measured(replace(trace, unsure_amps=unsure))
    assert energy.gross_parts.ranges < 1e-3 * energy.gross_j


def test_resolution_counts_whole_for_a_steady_current_and_hardly_under_noise() -> None:
    steady = measured(sampled(LOAD, Errors(resolution_amps=1e-4)))
    # step / sqrt(12) of a rectangle, for 10 ms at 3 V.
    assert steady.gross_parts.resolution == pytest.approx(1e-4 / sqrt(12) * 3 * 0.01, rel=0.02)
    noisy = measured(sampled(LOAD, Errors(resolution_amps=1e-4, noise_amps=2e-4)))
    assert noisy.gross_parts.resolution < 1e-6 * steady.gross_parts.resolution


def test_edges_of_a_window_are_known_to_a_sample() -> None:
    energy = measured(
        sampled(replace(LOAD, windows=1), Errors(rate_hz=1000)), replace(LOAD, windows=1)
    )
    # Two edges of 1 ms / sqrt(12) of 36 mW, and half a sample of the step between current and pin.
    one = 1e-3 / sqrt(12)
    expected = sqrt(2 * (36e-3 * one) ** 2 + (30e-3 * one) ** 2) / 50
    assert energy.gross_parts.edges == pytest.approx(expected, rel=0.02)


def test_what_repeats_in_each_inference_is_not_noise() -> None:
    load = replace(LOAD, levels=(0.2, 1.8))
    parts = measured(sampled(load), load).gross_parts
    assert parts.noise < 1e-4 * load.gross_j
    alone = replace(load, windows=1)
    assert measured(sampled(alone), alone).gross_parts.noise < 1e-3 * load.gross_j


def test_drift_of_idle_widens_both() -> None:
    energy = measured(sampled(LOAD, Errors(drift_amps=1e-4)))
    assert energy.net_parts is not None
    assert 0.2e-4 < energy.gross_parts.drift / (3 * 0.01) < 1e-4
    assert 0.02e-4 < energy.net_parts.drift / (3 * 0.01) < energy.gross_parts.drift / (3 * 0.01)


def test_lost_samples_are_counted_and_widen_what_is_said() -> None:
    load = replace(LOAD, levels=(0.5, 1.5))
    energy = measured(sampled(load, Errors(lost=((4000, 40),))), load)
    assert energy.lost == 40
    # A gap of 4 ms in an inference of 10 ms, whose current scatters by 5 mA.
    assert energy.gross_parts.gaps == pytest.approx(5e-3 * 3 * 4e-3 / 100, rel=0.05)
    assert abs(energy.gross_j - load.gross_j) < energy.uncertainty_j


def test_a_window_that_is_lost_in_good_part_cannot_be_told() -> None:
    with pytest.raises(CannotTell, match=r"12% of window 1 are lost, above 10%"):
        measured(sampled(LOAD, Errors(lost=((3000, 600),))))


def test_too_few_samples_cannot_be_told() -> None:
    with pytest.raises(CannotTell, match=r"window 1 of 0.5 s has 2 samples, fewer than 4"):
        measured(sampled(LOAD, Errors(rate_hz=4)))


def test_idle_that_is_missing_is_said_and_the_rest_is_found_all_the_same() -> None:
    load = replace(LOAD, first_s=0.001)
    assert measured(sampled(load), load).net_j is None
    with pytest.raises(CannotTell, match="too little idle before or after") as caught:
        measured(sampled(load), load, subtract_idle=True)
    assert isinstance(caught.value.found, Energy)
    assert caught.value.found.gross_j == pytest.approx(360e-6, rel=1e-3)


def test_a_burst_when_the_board_answers_is_not_idle_power() -> None:
    trace = sampled(LOAD)
    talks = (trace.seconds > 0.76) & (trace.seconds < 0.83)
    trace = replace(trace, amps=np.where(talks, 9e-3, trace.amps))
    assert measured(trace).idle_w == pytest.approx(6e-3)


def test_what_is_too_uncertain_names_its_cause_and_remedy() -> None:
    steady = measured(sampled(LOAD, Errors(gain_error=0.1)), most_share=0.01)
    assert steady.share == pytest.approx(0.115, abs=0.002) and steady.share_of_run < 0.01
    with pytest.raises(CannotTell, match="of it .*above 1%, most of it from scatter") as e:
        measured(sampled(LOAD, Errors(gain_error=0.1, noise_amps=0.02)), most_share=0.01)
    assert isinstance(e.value.found, Energy) and "Longer windows" in str(e.value)


def test_a_net_energy_that_is_not_above_0_cannot_be_told() -> None:
    load = replace(LOAD, active_amps=1e-3)
    with pytest.raises(CannotTell, match="it is not above 0"):
        measured(sampled(load), load, subtract_idle=True, most_share=0.5)


def test_length_needed_is_long_enough_and_not_much_longer() -> None:
    errors = Errors(noise_amps=3e-3, rate_hz=1e4)
    short = replace(LOAD, inferences=20, first_s=0.2, gap_s=0.2)
    needed = length_needed(measured(sampled(short, errors), short), share=0.005)
    assert 5 * short.length_s < needed < 50 * short.length_s
    long = replace(
        short, inferences=round(needed / short.inference_s), gap_s=needed, first_s=needed
    )
    assert measured(sampled(long, errors, seed=1), long).share == pytest.approx(0.005, rel=0.3)


def test_length_needed_says_what_no_length_mends() -> None:
    energy = measured(sampled(LOAD, Errors(gain_error=0.1, resolution_amps=4e-3)))
    with pytest.raises(CannotTell, match="no window is long enough for 1.00%: the meter's resol"):
        length_needed(energy, share=0.01)
    with pytest.raises(CannotTell, match="would have to last .* above 1 s"):
        length_needed(measured(sampled(LOAD, Errors(noise_amps=5e-3))), share=1e-4, most_s=1.0)


@pytest.mark.parametrize("pin", (True, False))
def test_known_joules_come_out_within_their_uncertainty(pin: bool) -> None:
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        load = any_load(rng)
        trace = sampled(load, any_errors(rng, load), seed, pin)
        for subtract_idle, known in ((False, load.gross_j), (True, load.net_j)):
            try:
                energy = measured(trace, load, subtract_idle=subtract_idle)
            except CannotTell:
                assert not pin
                continue
            ratios.append((energy.energy_j - known) / energy.uncertainty_j)
    assert len(ratios) >= 34
    assert np.mean(np.abs(ratios) <= 1) >= 0.95
    # Bounds that are too large would leave nothing near them: a k of 2 means 0.5 here.
    assert 0.3 < np.sqrt(np.mean(np.square(ratios))) < 0.65


def test_arrays_that_do_not_fit_are_no_trace() -> None:
    trace = sampled(LOAD)
    for wrong in (
        {"amps": trace.amps[1:]},
        {"seconds": trace.seconds[::-1]},
        {"amps": np.where(trace.seconds < 0.1, np.nan, trace.amps)},
        {"rate_hz": 0.0},
        {"rate_hz": 2.5 * trace.rate_hz},
        {"rate_hz": trace.rate_hz / 2.5},
        {"amps": trace.amps * 1e9},
        {"gain_error": float("nan")},
        {"unsure_amps": np.full(len(trace.amps), np.inf)},
        {"volts_error": 1e300},
        {"seconds": trace.seconds[:0], "amps": trace.amps[:0], "pin": None},
    ):
        with pytest.raises(CannotTell):
            replace(trace, **wrong)


@pytest.mark.parametrize(
    "gaps",
    [((2.0, 1.0),), ((2.0, 3.0), (1.0, 2.0)), ((np.nan, np.nan),), ((0.0, np.inf),), ((1.0,),)],
)
def test_gaps_that_are_in_no_order_are_no_trace(gaps) -> None:
    with pytest.raises(CannotTell, match="gaps are no stretches"):
        replace(sampled(LOAD), gaps=gaps)
