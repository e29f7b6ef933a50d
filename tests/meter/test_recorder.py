from __future__ import annotations

import numpy as np
import pytest

from harness.errors import CannotTell
from harness.meter.recorder import Recorder
from harness.meter.stated import Stated

STATED = Stated(resolution_amps=1e-6, gain_error=0.01, offset_amps=1e-5)
FINER = Stated(resolution_amps=1e-7, gain_error=0.02, offset_amps=1e-6)


def filled(recorder: Recorder, count: int, piece: int = 100) -> Recorder:
    """Currents of 0, 1, 2... at 1 kHz, the pin high from half on."""
    for first in range(0, count, piece):
        numbers = np.arange(first, min(count, first + piece))
        recorder.add(numbers * 1e-3, numbers.astype(float), None, numbers >= count // 2)
    return recorder


def test_samples_come_back_as_they_went_in() -> None:
    trace = filled(Recorder(), 1000).trace((STATED,), volts=3.3)
    assert trace.amps.tolist() == list(range(1000))
    assert trace.pin is not None and trace.pin.sum() == 500
    assert (trace.volts, trace.lost, trace.gaps) == (3.3, 0, ())
    assert trace.rate_hz == pytest.approx(1000)
    assert (trace.resolution_amps, trace.gain_error, trace.offset_amps) == (1e-6, 0.01, 1e-5)


@pytest.mark.parametrize("count", (1001, 2000, 4099))
@pytest.mark.parametrize("piece", (1, 7, 100))
def test_too_many_are_averaged_and_keep_their_sum_and_times(count: int, piece: int) -> None:
    recorder = filled(Recorder(most=1000), count, piece)
    assert len(recorder) <= 1000
    trace = recorder.trace((STATED,), volts=3.3)
    assert trace.gaps == () and trace.lost == 0
    factor = round(1000 / trace.rate_hz)
    assert factor in (2, 4, 8) and len(trace.amps) * factor >= count - factor
    # Current n is drawn at n ms, averaged or not.
    assert trace.amps * 1e-3 == pytest.approx(trace.seconds)
    assert trace.pin is not None
    assert trace.seconds[trace.pin][0] == pytest.approx(count / 2 * 1e-3, abs=factor * 1e-3)


def test_a_step_of_time_that_is_too_long_is_a_gap() -> None:
    recorder = Recorder()
    numbers = np.r_[0:100, 110:200]
    recorder.add(numbers * 1e-3, np.ones(190))
    trace = recorder.trace((STATED,), volts=1.0)
    assert trace.lost == 10
    assert trace.gaps == (pytest.approx((99.5e-3, 109.5e-3)),)


def test_gaps_that_the_instrument_tells_are_taken() -> None:
    recorder = filled(Recorder(), 100)
    trace = recorder.trace((STATED,), volts=1.0, rate_hz=1000, gaps=((0.05, 0.05),), lost=0)
    assert trace.gaps == ((0.05, 0.05),)


def test_each_sample_has_the_bounds_of_its_range() -> None:
    recorder = Recorder()
    recorder.add(np.arange(4) * 1e-3, np.ones(4), ranges=np.array([1, 0, 0, 1], np.uint8))
    trace = recorder.trace((FINER, STATED), volts=1.0)
    assert np.asarray(trace.gain_error).tolist() == [0.01, 0.02, 0.02, 0.01]
    assert not trace.one_range
    alone = Recorder()
    alone.add(np.arange(4) * 1e-3, np.ones(4), ranges=np.array([1, 1, 1, 1], np.uint8))
    assert alone.trace((FINER, STATED), volts=1.0).offset_amps == 1e-5


def test_a_voltage_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(CannotTell, match="voltage .* not known(?s:.*)volts = 3.3"):
        filled(Recorder(), 10).trace((STATED,), volts=None)


@pytest.mark.parametrize("count", (0, 1))
def test_nothing_is_no_trace(count: int) -> None:
    with pytest.raises(CannotTell):
        filled(Recorder(), count).trace((STATED,), volts=1.0)
