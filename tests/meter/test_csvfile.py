from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.instruments import STATED
from fakes.supply import Errors, Load, currents

from harness.errors import CannotTell, MeterError
from harness.measure.energy import Trace, energy_of, find_windows
from harness.meter.csvfile import CsvMeter
from harness.meter.meter import MeterSpec

LOAD = Load(windows=1, inferences=10, gap_s=0.1, first_s=0.1)
NORDIC = {
    "time": "Timestamp(ms)",
    "current": "Current(uA)",
    "logic": "D0-D7",
    "time_unit": "ms",
    "current_unit": "uA",
}


class Clock:
    """Time that passes only while the meter waits; `at` does something at a time."""

    def __init__(self, at: dict[float, Callable[[], object]] | None = None) -> None:
        self.now = 0.0
        self.at = dict(at or {})

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for due in [when for when in self.at if when <= self.now]:
            self.at.pop(due)()


def meter(
    path: Path, clock: Clock | None = None, pin: int | None = None, **options: Any
) -> CsvMeter:
    clock = clock or Clock()
    spec = MeterSpec(
        kind="csv", path=str(path), volts=LOAD.volts, pin=pin, options={**STATED, **options}
    )
    return CsvMeter(spec, clock=clock, sleep=clock.sleep)


def nordic_text() -> str:
    seconds, amps = currents(LOAD, Errors(rate_hz=5000))
    high = LOAD.high(seconds)
    rows = [
        f"{second * 1e3:.3f},{amp * 1e6:.3f},00{int(pin)}00000"
        for second, amp, pin in zip(seconds, amps, high, strict=True)
    ]
    return "\n".join(["Timestamp(ms),Current(uA),D0-D7", *rows]) + "\n"


def taken(given: CsvMeter, write: Callable[[], object]) -> Trace:
    given.arm()
    write()
    return given.disarm()


def test_known_joules_come_out_of_an_export_of_nordics_program(tmp_path: Path) -> None:
    (tmp_path / "older.csv").write_text("not looked at")
    new = tmp_path / "newer.csv"
    with meter(tmp_path, pin=2, **NORDIC) as given:
        trace = taken(given, lambda: new.write_text(nordic_text()))
    windows = find_windows(trace, count=1, length_s=LOAD.length_s)
    energy = energy_of(trace, windows=windows, inferences=10, subtract_idle=True)
    assert windows[0].found_by == "pin"
    assert abs(energy.energy_j - LOAD.net_j) < energy.uncertainty_j < 0.03 * LOAD.net_j


def test_semicolons_decimal_commas_voltages_and_a_pin_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    text = "made by x\nt;u;i;busy\n0,0;3300;1,5;0\n0,001;3301;2,5;1\n0,002;3302;2,5;1\n"
    options = {"time": "t", "current": "i", "voltage": "u", "logic": "busy"}
    with meter(
        path,
        **options,
        current_unit="mA",
        voltage_unit="mV",
        separator=";",
        decimal=",",
        skip_lines=1,
    ) as given:
        trace = taken(given, lambda: path.write_text(text))
    assert trace.amps == pytest.approx([1.5e-3, 2.5e-3, 2.5e-3])
    assert np.asarray(trace.volts) == pytest.approx([3.3, 3.301, 3.302])
    assert trace.pin is not None and trace.pin.tolist() == [False, True, True]


PLAIN = {"time": "t", "current": "i"}


def test_a_file_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    later = Clock(
        {
            2.0: lambda: path.write_text("t,i\n0,1\n"),
            2.3: lambda: path.write_text("t,i\n0,1\n1,1\n2,"),
            2.6: lambda: path.write_text("t,i\n0,1\n1,1\n2,1\n3,1\n"),
        }
    )
    given = meter(path, later, **PLAIN)
    given.arm()
    assert len(given.disarm().amps) == 4
    assert 3.0 < later.now < 4.0


def test_a_file_that_is_put_in_the_place_of_another_in_mid_run_is_the_one(tmp_path: Path) -> None:
    path, other = tmp_path / "it.csv", tmp_path / "other"
    path.write_text("t,i\n0,1\n1,1\n")
    other.write_text("t,i\n0,2\n1,2\n")
    os.utime(other, (5, 5))
    given = meter(path, Clock({1.0: lambda: other.replace(path)}), **PLAIN)
    given.arm()
    assert given.disarm().amps.tolist() == [2.0, 2.0]


def test_what_is_no_file_or_has_no_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(make: Callable[[Path], object], said: str) -> None:
        path = tmp_path / "it.csv"
        given = meter(path, **PLAIN)
        given.arm()
        make(path)
        with pytest.raises(CannotTell, match=said):
            given.disarm()
        path.unlink()

    refused(os.mkfifo, "it is no file")  # To open one waits for who writes to it.
    refused(lambda path: path.symlink_to("/dev/zero"), "it is no file")
    refused(lambda path: path.write_bytes(b"\0" * 70_000), "no line of it ends within 65536")
    monkeypatch.setattr("harness.meter.csvfile.MOST_ROWS", 3)
    refused(lambda path: path.write_text("t,i\n0,1\n1,1\n2,1\n3,1\n"), "more than 3 rows")


def test_a_file_that_was_there_before_is_not_this_runs(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    path.write_text("t,i\n0,1\n1,1\n")
    given = meter(path, **PLAIN)
    given.arm()
    with pytest.raises(MeterError, match=r"it.csv was not written 30 s after") as error:
        given.disarm()
    assert str(path) in str(error.value) and "record while the board runs" in str(error.value)
    given.arm()
    os.utime(path, (5, 5))
    assert len(given.disarm().amps) == 2


def test_a_file_that_never_rests_is_said(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    grows = Clock({at / 4: lambda at=at: path.write_text("x" * (at + 1)) for at in range(200)})
    given = meter(path, grows, **PLAIN, wait_s=5.0)
    given.arm()
    with pytest.raises(MeterError, match="still changes 5 s after"):
        given.disarm()


@pytest.mark.parametrize(
    ("text", "said"),
    (
        ("a,b\n1,2\n", "t, i"),
        ("t,i\n0,x\n", r"column i has what is no number"),
        (f"t,i\n0,{'9' * 400}\n1,2\n", "column i has what is no number"),
        ("t,i\n0,\n1,2\n", "column i has an empty cell"),
        ("", "No columns"),
        ("t,i\n", "brought no sample"),
        ("t,i\n1,1\n0,1\n2,1\n3,1\n", "times do not rise"),
        ('t,i\n0,"\x1b[31m\n', r"\\x1b\[31m|EOF"),
    ),
)
def test_what_cannot_be_read_names_file_and_columns(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "it.csv"
    with pytest.raises(CannotTell, match=said) as error:
        taken(meter(path, **PLAIN), lambda: path.write_text(text))
    assert str(path) in str(error.value) and "\x1b" not in str(error.value)


def test_logic_that_is_no_logic_and_a_channel_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    text = "t,i,l\n0,1,001\n1,1,002\n"
    for pin in (2, 7):
        with pytest.raises(CannotTell, match=f"column l has no 0 or 1 for channel {pin}"):
            taken(meter(path, pin=pin, **PLAIN, logic="l"), lambda: path.write_text(text))


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"time": "t"}, "current is missing"),
        ({**PLAIN, "separator": ",,"}, "separator must be one character"),
        ({**PLAIN, "wait_s": 0}, "wait_s must be above 0"),
        ({**PLAIN, "skip_lines": -1}, "skip_lines must be from 0"),
        ({**PLAIN, "current_unit": "kA"}, "current_unit must be A, mA, uA, nA"),
    ),
)
def test_a_wrong_rig_file_is_said_at_once(tmp_path: Path, options: Any, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        meter(tmp_path / "it.csv", **options)


def test_a_path_must_be_given_and_its_folder_be_there(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="needs a path"):
        CsvMeter(MeterSpec(kind="csv", options={**STATED, **PLAIN}))
    with pytest.raises(MeterError, match="is not there"):
        meter(tmp_path / "no" / "it.csv", **PLAIN).arm()
