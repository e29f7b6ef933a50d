from __future__ import annotations

import queue
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.instruments import (
    STATED,
    in_background,
    lines_of,
    pty_instrument,
    tcp_instrument,
    until,
)
from fakes.supply import Errors, Load

from harness.errors import CannotTell, MeterError
from harness.measure.energy import Trace, energy_of, find_windows
from harness.meter.lines import LinesMeter
from harness.meter.lines_parser import Parser
from harness.meter.lines_source import LinesOptions
from harness.meter.meter import MeterSpec, open_meter
from harness.meter.stated import stated_of

LOAD = Load(windows=1, inferences=10, gap_s=0.1, first_s=0.1)
ERRORS = Errors(rate_hz=5000)


def spec(**options: Any) -> MeterSpec:
    port, volts = options.pop("port", None), options.pop("volts", None)
    return MeterSpec(kind="lines", port=port, volts=volts, options={**STATED, **options})


def samples(meter: LinesMeter) -> int:
    return len(meter.taken)


def taken(meter: LinesMeter, send: Any, data: bytes, load: Load = LOAD) -> Trace:
    """What a meter brings of lines that come while it is armed."""
    meter.arm()
    send(b"half a line\n")
    in_background(lambda: send(data))
    until(lambda: samples(meter) >= data.count(b"\n"))
    return meter.disarm()


def joules(trace: Trace, load: Load = LOAD) -> tuple[float, float]:
    windows = find_windows(trace, count=load.windows, length_s=load.length_s)
    energy = energy_of(trace, windows=windows, inferences=load.inferences, subtract_idle=True)
    return energy.energy_j, energy.uncertainty_j


def test_known_joules_come_out_of_a_serial_port() -> None:
    with pty_instrument() as instrument:
        with LinesMeter(spec(port=instrument.path), sleep=lambda _: None) as meter:
            found, unsure = joules(taken(meter, instrument.send, lines_of(LOAD, ERRORS)))
    assert abs(found - LOAD.net_j) < unsure < 0.03 * LOAD.net_j


def test_known_joules_come_out_of_tcp_with_gaps() -> None:
    errors = Errors(rate_hz=5000, lost=((700, 9),))
    with tcp_instrument() as instrument:
        with LinesMeter(spec(port=instrument.url), sleep=lambda _: None) as meter:
            trace = taken(meter, instrument.send, lines_of(LOAD, errors))
    assert trace.lost == 9
    found, unsure = joules(trace)
    assert abs(found - LOAD.net_j) < unsure


def test_known_joules_come_out_of_a_command(tmp_path: Path) -> None:
    program = (
        "import sys; sys.stdin.readline(); sys.stdout.write(open(sys.argv[1]).read());"
        "sys.stdout.flush(); sys.stdin.readline()"
    )
    file = tmp_path / "lines"
    file.write_bytes(b"t,v,a,pin\n" + lines_of(LOAD, ERRORS))
    command = [sys.executable, "-c", program, str(file)]
    with LinesMeter(spec(command=command, begin="go"), sleep=lambda _: None) as meter:
        meter.arm()
        until(lambda: samples(meter) == round(LOAD.total_s * 5000))
        found, unsure = joules(meter.disarm())
    assert abs(found - LOAD.net_j) < unsure


class Said:
    """A source that brings what a test puts into it; counts when it was asked for more."""

    def __init__(self) -> None:
        self.data: queue.Queue[bytes] = queue.Queue()
        self.asked = 0
        self.heard = b""

    def read(self, timeout_s: float) -> bytes:
        self.asked += 1
        try:
            return self.data.get(timeout=timeout_s)
        except queue.Empty:
            return b""

    def write(self, data: bytes) -> None:
        self.heard += data

    def close(self) -> None:
        pass


def test_what_came_before_it_was_armed_is_left_out_and_begin_and_end_are_sent() -> None:
    said = Said()
    given = spec(port="x", begin="start", end="stop")
    with LinesMeter(given, source=lambda *_: said, sleep=lambda _: None) as meter:
        said.data.put(b"0.1,3,9\n" * 50)
        until(lambda: said.asked > 2)
        meter.arm()
        assert said.heard == b"start\n"
        said.data.put(b"half a line\n1.000,3.0,0.5,1\n1.001,3.0,0.25,0\n")
        until(lambda: samples(meter) == 2)
        trace = meter.disarm()
        assert said.heard == b"start\nstop\n"
    assert said.heard == b"start\nstop\n"
    with LinesMeter(given, source=lambda *_: said) as meter:
        meter.arm()
    assert said.heard == b"start\nstop\n" * 2  # Closed in the middle, it is ended all the same.
    assert trace.amps.tolist() == [0.5, 0.25]
    assert trace.pin is not None and trace.pin.tolist() == [True, False]


def test_what_no_numbers_can_be_read_of_spoils_one_capture_and_not_the_next() -> None:
    said = Said()
    with LinesMeter(spec(port="x"), source=lambda *_: said, sleep=lambda _: None) as meter:
        meter.arm()
        said.data.put(b"hello\n" * 30)
        until(lambda: meter._untold is not None)
        with pytest.raises(CannotTell, match="no numbers.*meter lines x"):
            meter.disarm()
        meter.arm()
        said.data.put(b"\n1,3,1\n2,3,1\n")
        until(lambda: samples(meter) == 2)
        assert meter.disarm().amps.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("line", "said"),
    (
        (b"nan,3,1", "times do not rise"),
        (b"inf,3,1", "times do not rise"),
        (b"-5,3,1", "times do not rise"),
        (b"1e300,3,1", "beyond 1e.10 s"),
        (b"3,3,nan", "a sample that is not a number"),
        (b"3,inf,1", "a sample that is not a number"),
        (b"3,3,-1e300", "a sample above 10000 A or V"),
    ),
)
def test_numbers_that_are_none_are_no_trace(line: bytes, said: str) -> None:
    parser = Parser(LinesOptions())
    parser.feed(b"\n1,3,1\n2,3,1\n" + line + b"\n")
    with pytest.raises(CannotTell, match=said):
        parser.recorder.trace((stated_of(spec()),), volts=None)


def test_a_meter_that_is_unplugged_in_mid_window_says_so() -> None:
    with pty_instrument() as instrument:
        with LinesMeter(spec(port=instrument.path), sleep=lambda _: None) as meter:
            meter.arm()
            instrument.send(lines_of(LOAD, ERRORS)[:2000])
            instrument.unplug()
            until(lambda: meter._failure is not None)
            with pytest.raises(MeterError, match="lost while it sampled") as error:
                meter.disarm()
            assert instrument.path in str(error.value) and "unplugged" in str(error.value)
            with pytest.raises(MeterError, match="lost"):
                meter.arm()


def test_a_command_that_ends_is_a_lost_meter() -> None:
    given = MeterSpec(kind="lines", options={**STATED, "command": [sys.executable, "-c", "0"]})
    with LinesMeter(given, sleep=lambda _: None) as meter:
        until(lambda: meter._failure is not None)
        with pytest.raises(MeterError, match="ended with status 0"):
            meter.arm()


def fed(data: bytes, **options: Any) -> Trace:
    from harness.meter.stated import Stated

    parser = Parser(LinesOptions(**options))
    for at in range(0, len(data), 7):
        parser.feed(data[at : at + 7])
    return parser.recorder.trace((Stated(**STATED),), volts=None)


def test_units_separators_headings_and_times_that_start_again() -> None:
    data = b"..\nt;v;i\n100;3300;2000\r\n200;3300;1000\n# note\n44;3300;500\n"
    trace = fed(
        data,
        separator=";",
        time_unit="us",
        voltage_unit="mV",
        current_unit="uA",
        time_wraps=256.0,
    )
    assert trace.seconds == pytest.approx([100e-6, 200e-6, 300e-6])
    assert trace.amps == pytest.approx([2e-3, 1e-3, 0.5e-3])
    assert np.asarray(trace.volts) == pytest.approx([3.3] * 3)
    assert trace.pin is None


def test_what_are_no_numbers_or_no_lines_is_said_with_what_came() -> None:
    with pytest.raises(CannotTell, match=r'no numbers: "\\x1b\[31mhello"'):
        fed(b"\x1b[31mhello\n" * 30)
    with pytest.raises(CannotTell, match="no lines(?s:.*)baud rate"):
        fed(b"\n" + b"\x80" * 300)
    with pytest.raises(CannotTell, match="times do not rise"):
        fed(b"\n2,3,1\n1,3,1\n3,3,1\n4,3,1\n")
    with pytest.raises(CannotTell, match="times do not rise"):
        fed(b"\n1,3,1\n2,3,1\n1e999,3,1\n")
    with pytest.raises(CannotTell, match="not a number"):
        fed(b"\n1,3,nan\n2,3,1\n3,3,1\n")


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({}, "either a port or a command"),
        ({"port": "/dev/none", "command": ["x"]}, "either a port or a command"),
        ({"port": "/dev/hil-none"}, "cannot open the meter"),
        ({"port": "/dev/hil-none"}, "Is it plugged in. `hil boards` lists the ports"),
        ({"port": "socket://127.0.0.1:1"}, "Does a server listen there"),
        ({"command": ["/nonexistent"]}, "cannot open the meter"),
        ({"port": "x", "time_unit": "min"}, "time_unit must be s, ms, us, ns"),
        ({"port": "x", "baud": 0}, "baud must be above 0"),
        ({"port": "x", "colour": 1}, "colour is not a known key"),
        ({"port": "x", "gain_error": 3.0}, "gain_error must be from 0 to 1"),
    ),
)
def test_a_wrong_rig_file_is_said_before_anything_runs(options: Any, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        open_meter(spec(**options), board="left")


def test_what_is_not_stated_of_an_instrument_is_asked_for() -> None:
    with pytest.raises(MeterError, match="gain_error is missing"):
        open_meter(MeterSpec(kind="lines", port="x", options={"resolution_amps": 1e-6}))


def test_it_must_be_armed_once_and_before_it_is_disarmed() -> None:
    with pty_instrument() as instrument:
        with LinesMeter(spec(port=instrument.path), sleep=lambda _: None) as meter:
            with pytest.raises(MeterError, match="not armed"):
                meter.disarm()
            meter.arm()
            with pytest.raises(MeterError, match="armed already"):
                meter.arm()
