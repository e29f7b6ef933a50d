from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes.instruments import STATED
from fakes.joulescope import ScriptedDriver
from fakes.supply import Errors, Load

from harness.board.meters import MeterSpec
from harness.errors import MeterError
from harness.measure.energy import Energy, Trace, energy_of, find_windows
from harness.meter.joulescope import JoulescopeMeter
from harness.meter.meter import open_meter

LOAD = Load(windows=2, inferences=10, first_s=0.1, gap_s=0.1)
ERRORS = Errors(rate_hz=100e3, noise_amps=1e-4)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def spec(pin: int | None = 1, number: str | None = None, **options: Any) -> MeterSpec:
    options = {**STATED, **options}
    return MeterSpec(kind="joulescope", pin=pin, serial_number=number, options=options)


def opened(driver: ScriptedDriver, given: MeterSpec, clock: Clock | None = None) -> JoulescopeMeter:
    clock = clock or Clock()
    return JoulescopeMeter(given, driver=lambda _: driver, clock=clock, sleep=clock.sleep)


def taken(driver: ScriptedDriver, given: MeterSpec) -> Trace:
    with opened(driver, given) as meter:
        meter.arm()
        return meter.disarm()


def energy(trace: Trace) -> Energy:
    windows = find_windows(trace, count=2, length_s=LOAD.length_s)
    return energy_of(trace, windows=windows, inferences=10, subtract_idle=True)


@pytest.mark.parametrize("pin", (1, None))
def test_known_joules_come_out_of_blocks_of_samples(pin: int | None) -> None:
    trace = taken(ScriptedDriver(LOAD, ERRORS), spec(pin))
    assert trace.rate_hz == pytest.approx(100e3) and trace.lost == 0
    assert np.asarray(trace.volts) == pytest.approx(np.full(len(trace.seconds), 3.0))
    assert not trace.one_range
    found = energy(trace)
    assert found.found_by == ("current" if pin is None else "pin")
    assert abs(found.energy_j - LOAD.net_j) < found.uncertainty_j < 0.03 * LOAD.net_j


def test_a_block_that_is_missing_is_a_gap() -> None:
    trace = taken(ScriptedDriver(LOAD, ERRORS, holes=(13,)), spec())
    assert trace.lost == 1000 and trace.gaps == (pytest.approx((0.13, 0.14), abs=1e-5),)
    found = energy(trace)
    assert abs(found.energy_j - LOAD.net_j) < found.uncertainty_j


def test_identity_settings_and_what_is_left_behind() -> None:
    driver = ScriptedDriver(LOAD, ERRORS)
    with opened(driver, spec(current_range="10 A", rate_hz=10_000)) as meter:
        assert str(meter.identity) == "js220 000415" and meter.identity.firmware == "1.2.3"
        assert not meter.identity.simulated
        meter.arm()
        with pytest.raises(MeterError, match="armed already"):
            meter.arm()
    assert ("u/js220/000415/h/fs", 10_000) in driver.published
    assert ("u/js220/000415/s/i/range/select", "10 A") in driver.published
    assert driver.published[-1] == ("u/js220/000415/s/gpi/1/ctrl", 0)
    assert driver.finalized and not driver.opened


def test_two_are_told_apart_by_serial_number() -> None:
    paths = ("u/js220/000415", "u/js110/000999")
    meter = opened(ScriptedDriver(LOAD, ERRORS, paths), spec(number="000999"))
    assert str(meter.identity) == "js110 000999"
    with pytest.raises(MeterError, match="2 Joulescopes are there(?s:.*)000415.*000999"):
        opened(ScriptedDriver(LOAD, ERRORS, paths), spec())
    with pytest.raises(MeterError, match="no Joulescopes have serial number 7"):
        opened(ScriptedDriver(LOAD, ERRORS, paths), spec(number="7"))


def test_unplugged_in_mid_window() -> None:
    clock = Clock()
    with opened(ScriptedDriver(LOAD, ERRORS), spec(), clock) as meter:
        meter.arm()
        clock.now += 5.0
        with pytest.raises(MeterError, match="lost while it sampled: the last one came 5.3 s ago"):
            meter.disarm()


def test_one_that_another_program_has_is_let_go() -> None:
    driver = ScriptedDriver(LOAD, ERRORS)
    driver.busy = True
    with pytest.raises(MeterError, match="failed 21(?s:.*)another program"):
        opened(driver, spec())
    assert driver.finalized


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"rate_hz": 44_100}, "rate_hz must be 1000000, 500000"),
        ({"pin": 4}, "channels 0 to 3"),
        ({"gain_error": 2.0}, "gain_error must be from 0 to 1"),
    ),
)
def test_a_wrong_rig_file_is_refused(options: Any, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        opened(ScriptedDriver(LOAD, ERRORS), spec(**options))


def test_the_makers_own_driver_says_that_none_is_there() -> None:
    pytest.importorskip("pyjoulescope_driver", reason="the extra joulescope is not installed")
    given = spec(number="hil-none")
    with pytest.raises(MeterError, match="no Joulescopes have serial number hil-none"):
        open_meter(given, board="left", lock_timeout_s=0)
