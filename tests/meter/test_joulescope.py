from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.instruments import STATED
from fakes.joulescope import TAKES, ScriptedDriver
from fakes.supply import Errors, Load

from harness.board.meters import MeterSpec
from harness.errors import MeterError
from harness.measure.energy import Energy, Trace, energy_of, find_windows
from harness.meter.joulescope import RATES_HZ, JoulescopeMeter, range_settings
from harness.meter.joulescope_signal import Signal
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
    select = driver.published.index(("u/js220/000415/s/i/range/select", "10 A"))
    assert driver.published[select + 1] == ("u/js220/000415/s/i/range/mode", "manual")
    assert driver.published[-1] == ("u/js220/000415/s/gpi/1/ctrl", 0)
    assert driver.finalized and not driver.opened


@pytest.mark.parametrize("current_range", ("auto", "180 mA"))
def test_a_js110_has_its_range_by_another_topic_and_two_channels(current_range: str) -> None:
    driver = ScriptedDriver(LOAD, ERRORS, paths=("u/js110/1",))
    with opened(driver, spec(current_range=current_range)) as meter:
        assert meter.identity.kind == "js110"
        meter.arm()
        assert abs(energy(meter.disarm()).energy_j - LOAD.net_j) < 0.03 * LOAD.net_j
    assert ("u/js110/1/s/i/range/select", current_range) in driver.published
    with pytest.raises(MeterError, match="a js110 has channels 0 to 1"):
        opened(driver, spec(pin=2))


def test_bits_that_fill_up_the_last_byte_of_a_block_are_no_samples() -> None:
    signal = Signal(Clock())
    for first, bits in ((0, [1] * 10), (10, [0, 1, 0])):
        block = {"sample_id": first, "sample_rate": 1000, "decimate_factor": 1}
        packed = np.packbits(np.array(bits, bool), bitorder="little")
        signal.receive("s/gpi/0/!data", {**block, "data": packed})
    seconds, values = signal.samples()
    assert values[:13].tolist() == [1.0] * 10 + [0.0, 1.0, 0.0]
    assert (np.diff(seconds) > 0).all()


def test_which_it_is_is_told_with_its_settings_as_they_are() -> None:
    driver = ScriptedDriver(LOAD, ERRORS)
    found = JoulescopeMeter.look(spec(), driver=lambda _: driver)
    assert str(found) == "js220 000415" and found.firmware == "1.2.3"
    assert driver.published == [] and driver.finalized and not driver.opened


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
        ({"pin": 4}, "a js220 has channels 0 to 3"),
        ({"current_range": "20 A"}, "publish failed 5"),
        ({"gain_error": 2.0}, "gain_error must be from 0 to 1"),
    ),
)
def test_a_wrong_rig_file_is_refused(options: Any, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        opened(ScriptedDriver(LOAD, ERRORS), spec(**options))


WITHOUT = "the extra joulescope is not installed"


def test_the_makers_own_driver_says_that_none_is_there() -> None:
    pytest.importorskip("pyjoulescope_driver", reason=WITHOUT)
    given = spec(number="hil-none")
    with pytest.raises(MeterError, match="no Joulescopes have serial number hil-none"):
        open_meter(given, board="left", lock_timeout_s=0)


def test_the_makers_own_driver_has_each_call_that_is_made() -> None:
    driver = pytest.importorskip("pyjoulescope_driver", reason=WITHOUT).Driver
    for name, count in (
        *(("device_paths", 0), ("finalize", 0), ("close", 1), ("query", 1)),
        *(("open", 2), ("publish", 2), ("unsubscribe", 2), ("subscribe", 3)),
    ):
        inspect.signature(getattr(driver, name)).bind(None, *range(count))


def test_the_makers_own_driver_takes_a_stream_up_and_lets_it_go() -> None:
    found = pytest.importorskip("pyjoulescope_driver", reason=WITHOUT)
    driver, signal = found.Driver(), Signal(Clock())
    topic = "@/!add"  # Of instruments that are plugged in; those of a stream are there with one.
    try:
        driver.subscribe(topic, "pub", signal.receive)
        driver.unsubscribe(topic, signal.receive)
        with pytest.raises((RuntimeError, TimeoutError)):
            driver.query("u/js220/hil-none/c/fw/version")
    finally:
        driver.finalize()


def test_the_makers_own_driver_knows_each_topic_of_a_js110_and_what_it_takes() -> None:
    """Its parameters are texts of the compiled driver; those of later models are in themselves."""
    binding = pytest.importorskip("pyjoulescope_driver.binding", reason=WITHOUT)
    texts = Path(binding.__file__).read_bytes()
    settings = range_settings("js110", "auto") + range_settings("js110", "180 mA")
    wanted = {"h/fs", "s/i/!data", "s/v/!data", "s/gpi/1/!data", "s/i/ctrl", "s/gpi/1/ctrl"}
    for topic in wanted | {topic for topic, _ in settings}:
        assert b"\0" + topic.encode() + b"\0" in texts, topic
    for topic, takes in TAKES["js110"].items():
        said = next(text for text in _parameters(texts) if _BRIEF[topic] in text)
        assert all(f'"{value}"' in said for value in takes), topic
    rates = next(text for text in _parameters(texts) if "The sampling frequency." in text)
    assert all(f"[{rate}," in rates for rate in RATES_HZ)


_BRIEF = {
    "s/i/range/select": "The current range selection.",
    "s/v/range/select": "The voltage range selection.",
    "s/i/range/mode": "The current range suppression mode.",
}


def _parameters(texts: bytes) -> list[str]:
    found = re.findall(rb'\{"dtype": "[^\0]*\}', texts)
    return [text.decode(errors="replace") for text in found]
