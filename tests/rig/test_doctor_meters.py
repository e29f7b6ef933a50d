"""What doctor says of meters, by those that need no instrument, and by scripted answers."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest
from fakes.instruments import STATED, in_background, tcp_instrument

from harness.board.meters import MeterSpec
from harness.board.rigfile import Plugged
from harness.errors import MeterError
from harness.meter.meter import Identity, look_at_meter, open_meter
from harness.rig.doctor import Finding
from harness.rig.doctor_meters import look_at_meters, meter_findings


def board(name: str, spec: MeterSpec | None) -> Plugged:
    return Plugged(id=name, kind="virtual", meter=spec)


def finding(spec: MeterSpec) -> Finding:
    (one,) = meter_findings(look_at_meters([board("left", spec)]))
    assert one.point == "meter of left" and one.needed
    return one


def test_each_meter_that_is_named_is_a_point_and_no_other_board() -> None:
    seen = look_at_meters([board("left", MeterSpec(kind="simulated")), board("right", None)])
    (one,) = meter_findings(seen)
    assert one == Finding(point="meter of left", ok=True, detail="simulated")


def test_which_it_is_and_when_it_was_calibrated() -> None:
    found = Identity(
        kind="ppk2", serial_number="D1", firmware="1.2\x1b[31m", calibrated=date(2026, 11, 2)
    )
    rig = [board("left", MeterSpec(kind="ppk2", serial_number="D1"))]
    (one,) = meter_findings(look_at_meters(rig, look=lambda *_: found))
    assert one.ok and one.detail == "ppk2 D1, firmware 1.2\\x1b[31m, calibrated 2026-11-02"


@pytest.mark.parametrize(
    ("spec", "said", "cure"),
    (
        (MeterSpec(kind="ppk3"), "unknown kind of meter 'ppk3'", "entry point group"),
        (MeterSpec(kind="csv", path="/no/such/place/x.csv"), "is not there", "into this place"),
        (MeterSpec(kind="csv", path="/tmp"), "resolution_amps is missing", "gain_error is missing"),
        (MeterSpec(kind="lines", port="/dev/no-such"), "cannot open the meter", "plugged in"),
        (MeterSpec(kind="ppk2"), "voltage of the board's supply is not known", "volts = 3.3"),
    ),
)
def test_what_is_wrong_is_said_with_what_to_do(spec: MeterSpec, said: str, cure: str) -> None:
    if spec.path != "/tmp":
        spec = replace(spec, options=_options(spec.kind))
    one = finding(spec)
    assert not one.ok and said in one.detail and cure in one.cure


def _options(kind: str) -> dict[str, object]:
    columns = {"time": "t", "current": "i"} if kind == "csv" else {}
    return {**STATED, **columns} if kind in ("csv", "lines") else {}


def test_lines_are_asked_for_one() -> None:
    with tcp_instrument() as instrument:
        spec = MeterSpec(kind="lines", port=instrument.url, options={**STATED, "begin": "go"})

        def send() -> None:
            with suppress(OSError):  # Until it has seen one, and lets go.
                for _ in range(500):
                    instrument.send(b"heading\n0.1,3.0,0.01\n0.2,3.0,0.01\n")
                    time.sleep(0.01)

        line = in_background(send)
        assert finding(spec).ok
        line.join()


def test_one_that_is_in_use_is_left_alone_and_its_holder_named() -> None:
    spec = MeterSpec(kind="csv", path="/tmp", options=_options("csv"))
    with open_meter(spec, lock_timeout_s=0):
        one = finding(spec)
    assert one.ok and "in use by" in one.detail and "not asked" in one.detail
    assert look_at_meter(spec) is not None


def test_a_driver_that_hangs_or_ends_the_program_costs_one_point() -> None:
    over = threading.Event()

    def look(name: str, spec: MeterSpec) -> Identity | None:
        if name == "hangs":
            over.wait(10)
        if name == "exits":
            raise SystemExit(3)
        if name == "fails":
            raise MeterError("no\x07pe", hint="plug it in")
        return None

    rig = [board(name, MeterSpec(kind="own")) for name in ("hangs", "exits", "fails", "silent")]
    hangs, exits, fails, silent = meter_findings(look_at_meters(rig, look=look, deadline_s=0.2))
    over.set()
    assert not hangs.ok and "does not answer within 0.2 s" in hangs.detail
    assert not exits.ok and exits.detail == "own: SystemExit: 3"
    assert fails.detail == "own: no\\x07pe" and fails.cure == "plug it in"
    assert silent.ok and "does not say which instrument" in silent.detail
