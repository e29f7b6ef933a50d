from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.supply import Errors, Load, sampled

from harness.errors import CannotTell
from harness.measure.energy import Trace, Window, find_windows

LOAD = Load(windows=3)


def found(trace: Trace, count: int = 3, length_s: float = 0.5) -> tuple[Window, ...]:
    return find_windows(trace, count=count, length_s=length_s)


def test_the_pin_gives_each_window_to_half_a_sample() -> None:
    for window, start in zip(found(sampled(LOAD)), LOAD.starts(), strict=True):
        assert window.found_by == "pin"
        assert abs(window.start_s - start) <= 0.5e-4 + 1e-9
        assert abs(window.end_s - start - 0.5) <= 0.5e-4 + 1e-9
        assert window.start_u_s == pytest.approx(1e-4 / np.sqrt(12))


@pytest.mark.parametrize("noise_amps", (0.0, 1e-3, 5e-3))
@pytest.mark.parametrize("levels", ((1.0,), (0.4, 1.6), (1.7, 1.0, 0.3)))
def test_steps_of_current_give_them_within_their_uncertainty(
    noise_amps: float, levels: tuple[float, ...]
) -> None:
    load = replace(LOAD, levels=levels)
    windows = found(sampled(load, Errors(noise_amps=noise_amps, phase=0.3), pin=False), 3, 0.5001)
    for window, start in zip(windows, load.starts(), strict=True):
        assert window.found_by == "current"
        assert abs(window.start_s - start) <= 3 * window.start_u_s
        assert abs(window.end_s - start - 0.5) <= 3 * window.end_u_s


def test_a_board_that_idles_in_a_busy_loop_steps_down() -> None:
    load = replace(LOAD, idle_amps=15e-3)
    windows = found(sampled(load, Errors(noise_amps=1e-3), pin=False))
    starts = [window.start_s for window in windows]
    assert starts == pytest.approx(load.starts(), abs=1e-3)


@pytest.mark.parametrize("by_pin", (True, False))
@pytest.mark.parametrize("count", (2, 4))
def test_another_number_of_windows_is_refused(by_pin: bool, count: int) -> None:
    with pytest.raises(CannotTell, match="3 times while|stand out|more than 2 stretches"):
        found(sampled(LOAD, Errors(noise_amps=1e-3), pin=by_pin), count)


def test_a_pin_that_never_rises_is_told_from_one_that_floats() -> None:
    trace = sampled(LOAD)
    with pytest.raises(CannotTell, match="went high never while the board ran 3 windows") as error:
        found(replace(trace, pin=np.zeros_like(trace.pin)))
    assert "ground to ground" in str(error.value)
    with pytest.raises(CannotTell, match="does it float"):
        found(replace(trace, pin=np.arange(len(trace.seconds)) % 4 == 2))


def test_edges_outside_the_trace_are_refused() -> None:
    trace = sampled(LOAD)
    with pytest.raises(CannotTell, match="high where the trace begins"):
        found(replace(trace, pin=~trace.pin))
    cut = trace.between(0, 1.9)
    unplugged = replace(trace, seconds=trace.seconds[cut], amps=trace.amps[cut], pin=trace.pin[cut])
    with pytest.raises(CannotTell, match="high where the trace ends.*(?s:.*)unplugged"):
        found(unplugged)
    with pytest.raises(CannotTell, match="2 of 3 windows stand out"):
        found(replace(unplugged, pin=None))


@pytest.mark.parametrize("by_pin", (True, False))
def test_windows_of_another_length_than_the_boards_are_refused(by_pin: bool) -> None:
    with pytest.raises(CannotTell, match=r"window 1 lasts 0.5 s for the meter and 0.54 s|another"):
        found(sampled(LOAD, pin=by_pin), 3, 0.54)


def test_one_window_unlike_the_others_is_refused() -> None:
    trace = sampled(LOAD)
    ends = (trace.seconds > 0.74) & (trace.seconds < 0.76)
    with pytest.raises(CannotTell, match="window 1 lasts 0.49 s for the meter and 0.5 s"):
        found(replace(trace, pin=trace.pin & ~ends))


def test_an_edge_in_a_gap_is_known_to_the_gap_by_pin_and_refused_by_current() -> None:
    errors = Errors(lost=((2480, 40),))
    assert found(sampled(LOAD, errors))[0].start_u_s == pytest.approx(41e-4 / np.sqrt(12), rel=0.01)
    with pytest.raises(CannotTell, match="samples were lost at an edge of window 1"):
        found(sampled(LOAD, errors, pin=False))


def test_idle_lost_between_two_windows_makes_one_of_them() -> None:
    first, last = round(0.7e4), round(1.1e4)
    with pytest.raises(CannotTell, match="went high 2 times while the board ran 3 windows"):
        found(sampled(LOAD, Errors(lost=((first, last - first),))))


@pytest.mark.parametrize("by_pin", (True, False))
def test_a_gap_of_unknown_length_in_a_window_is_refused_outside_it_is_not(by_pin: bool) -> None:
    trace = sampled(LOAD, pin=by_pin)
    assert len(found(replace(trace, gaps=((0.1, 0.1),)))) == 3
    with pytest.raises(CannotTell, match="in window 1 an unknown number of samples was lost"):
        found(replace(trace, gaps=((0.5, 0.5),)))


def test_without_a_pin_windows_must_be_of_one_length_and_stand_out() -> None:
    trace = sampled(LOAD, pin=False)
    with pytest.raises(CannotTell, match="different lengths"):
        find_windows(trace, count=3, length_s=(0.5, 0.5, 0.6))
    flat = replace(LOAD, active_amps=LOAD.idle_amps)
    with pytest.raises(CannotTell, match="0 of 3 windows stand out"):
        found(sampled(flat, Errors(noise_amps=1e-4), pin=False))
    with pytest.raises(CannotTell, match="shorter than one window"):
        found(trace, 1, 5.0)


def test_what_was_asked_for_wrongly_is_said_at_once() -> None:
    with pytest.raises(ValueError):
        find_windows(sampled(LOAD), count=0, length_s=0.5)
    with pytest.raises(ValueError):
        find_windows(sampled(LOAD), count=2, length_s=(0.5,))


def test_a_board_whose_counter_stands_still_has_no_window() -> None:
    with pytest.raises(CannotTell, match="took no time"):
        find_windows(sampled(Load()), count=1, length_s=[0.0])
