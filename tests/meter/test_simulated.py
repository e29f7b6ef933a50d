from __future__ import annotations

from typing import Any

import pytest

from harness.board.meters import MeterSpec
from harness.errors import MeterError
from harness.measure.energy import Energy, energy_of, find_windows
from harness.meter.meter import marked, open_meter
from harness.meter.simulated import SimulatedMeter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def spec(pin: int | None = 0, **options: Any) -> MeterSpec:
    return MeterSpec(kind="simulated", volts=3.0, pin=pin, options=options)


def told(pin: int | None, **options: Any) -> Energy:
    """The energy of two windows of 20 invokes in 0.2 s that the rig has told of as they were."""
    clock = Clock()
    meter = SimulatedMeter(spec(pin, **options), clock=clock)
    meter.arm()
    clock.now += 0.25
    for _ in range(2):
        meter.mark(True)
        clock.now += 0.2
        meter.mark(False)
        clock.now += 0.25
    trace = meter.disarm()
    windows = find_windows(trace, count=2, length_s=0.2)
    return energy_of(trace, windows=windows, inferences=20, subtract_idle=True)


@pytest.mark.parametrize("pin", (0, None))
@pytest.mark.parametrize("levels", ([], [0.5, 1.5]))
def test_the_profile_comes_out_as_energy_marked_as_simulated(pin: int | None, levels: Any) -> None:
    energy = told(pin, levels=levels, period_s=0.01)
    assert energy.simulated and energy.found_by == ("current" if pin is None else "pin")
    # 10 mA and 2 mA of idle at 3 V, for 10 ms.
    assert abs(energy.gross_j - 300e-6) < energy.uncertainty_j
    assert abs(energy.energy_j - 240e-6) < energy.uncertainty_j
    # A window whose current steps by itself begins less clearly than a pin.
    assert energy.share < (0.05 if pin is None and levels else 0.03)


def test_edges_by_the_boards_own_clock_have_their_own_time() -> None:
    clock = Clock()
    meter = SimulatedMeter(spec(lead_s=0.3), clock=clock)
    meter.arm(1.8)
    for second in (5.0, 6.0):
        meter.mark(True, at_s=second)
        meter.mark(False, at_s=second + 0.5)
    trace = meter.disarm()
    assert trace.volts == 1.8 and trace.seconds[-1] == pytest.approx(2.1, abs=1e-3)
    windows = find_windows(trace, count=2, length_s=0.5)
    assert windows[0].start_s == pytest.approx(0.3, abs=1e-3)


def test_a_long_run_takes_no_more_memory_but_a_lower_rate() -> None:
    clock = Clock()
    meter = SimulatedMeter(spec(), clock=clock)
    meter.arm()
    clock.now += 3600
    trace = meter.disarm()
    assert len(trace.seconds) <= 1_000_000 and trace.rate_hz < 300


def test_edges_that_do_not_alternate_or_rise_are_refused() -> None:
    clock = Clock()
    meter = SimulatedMeter(spec(), clock=clock)
    meter.mark(False)  # Not armed: the board may do as it likes.
    meter.arm()
    with pytest.raises(MeterError, match="an edge of the pin is missing"):
        meter.mark(False)
    meter.mark(True)
    with pytest.raises(MeterError, match="by another clock"):
        meter.mark(False, at_s=1.0)
    clock.now -= 1
    with pytest.raises(MeterError, match="before the last one"):
        meter.mark(False)


def test_the_rig_finds_out_that_it_has_to_tell_it_and_opens_any_number() -> None:
    with open_meter(spec(), board="left") as one, open_meter(spec(), lock_timeout_s=0) as other:
        assert str(one.identity) == "simulated" and one.identity.simulated
        assert marked(one) is not None and marked(other) is not marked(one)
        with pytest.raises(MeterError, match="not armed .board left, meter simulated"):
            one.disarm()


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"rate_hz": 0}, "rate_hz must be above 0"),
        ({"active_amps": -1}, "active_amps must be from 0"),
        ({"colour": 1}, "colour is not a known key"),
    ),
)
def test_a_wrong_profile_is_refused(options: Any, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        open_meter(spec(**options))
