"""A board's energy with a meter that is told what the board did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.energies import energy_row
from fakes.memory_board import INVOKE_S, memory_board
from fakes.told_meter import Currents, ToldMeter

from harness.board.meters import MeterSpec
from harness.board.rigfile import Plugged
from harness.errors import CannotTell, MeterError, PortLost, TooMuchEnergy, Where
from harness.measure.frames import read_rows
from harness.measure.tables import CurrentRow, EnergyRow
from harness.rig.energy import WINDOWS, EnergyPlan, Taken, measure_energy, refuse_unknown
from harness.rig.metering import BoardMeter, hold_energy
from harness.rig.supply import Supplies

GIVEN = Currents()


@pytest.fixture
def opened():
    return memory_board()


def measured(opened, meter: ToldMeter, folder: Path, **plan) -> Taken:
    asked = EnergyPlan(csv=folder / "latency.csv", run="r1", sleep=meter.sleep, **plan)
    return measure_energy(opened, meter, asked)


def rows_of(folder: Path) -> tuple[EnergyRow, ...]:
    return read_rows(folder / "energy.csv", EnergyRow).rows


def watts(row: EnergyRow) -> float:
    """Mean power in the windows, by the row."""
    assert row.gross_uj and row.window_s and row.inferences and row.windows
    return row.gross_uj / 1e6 * row.inferences / (row.window_s * row.windows)


def test_the_energy_that_goes_in_comes_out(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(), tmp_path, sessions=2).run
    assert (row.outcome, row.scope, row.windows, row.sessions) == (
        "measured",
        "run",
        2 * WINDOWS,
        2,
    )
    assert watts(row) == pytest.approx(GIVEN.volts * GIVEN.active_amps, rel=2e-3)
    assert row.idle_uw == pytest.approx(GIVEN.volts * GIVEN.idle_amps * 1e6, rel=2e-3)
    assert row.net_uj == pytest.approx(row.gross_uj * 10 / 12, rel=2e-3)
    assert row.energy_uj == row.gross_uj and not row.idle_subtracted
    assert row.mean_ua == pytest.approx(12e3, rel=2e-3) and row.volts == 3.0
    assert 0 < row.energy_u_uj < 0.02 * row.energy_uj
    # The counter's reading is said to take 2 us, and here takes none.
    assert row.invoke_us == pytest.approx(1e6 * INVOKE_S - 2, rel=1e-3)
    assert (row.meter, row.meter_serial, row.simulated) == ("told", "M1", True)
    kept = rows_of(tmp_path)
    assert [item.scope for item in kept] == ["session", "session", "run"]
    assert [item.session_number for item in kept] == [1, 2, None]
    assert len({item.session for item in kept[:2]}) == 1  # The board's own id of this opening.


def test_idle_power_is_subtracted_on_request(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(), tmp_path, net=True).run
    assert row.energy_uj == row.net_uj < row.gross_uj and row.idle_subtracted


def test_windows_are_as_long_as_the_noise_asks_for(opened, tmp_path: Path) -> None:
    quiet = measured(opened, ToldMeter(), tmp_path / "a").run
    noisy = ToldMeter(Currents(noise_amps=0.02))
    loud = measured(opened, noisy, tmp_path / "b", most_share=0.1).run
    assert quiet.window_s == pytest.approx(0.2, rel=0.01)
    assert 2 * quiet.window_s < loud.window_s < 10
    assert loud.outcome == "measured" and loud.energy_u_uj <= 0.1 * loud.energy_uj


def test_an_energy_too_uncertain_is_not_told(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(Currents(resolution_amps=2e-3)), tmp_path).run
    assert row.outcome == "cannot tell" and "above 5.00%" in row.reason
    assert watts(row) == pytest.approx(0.036, rel=2e-3)  # Its figures are kept.
    assert row.reason.endswith(", most of it from the meter's resolution")
    with pytest.raises(CannotTell, match="above 5.00%.*virtual.*told M1") as caught:
        refuse_unknown(row)
    assert caught.value.hint == "A meter, or a range of it, with a finer resolution."


def test_a_meter_that_is_not_calibrated_tells_what_its_own_runs_differ_by(
    opened, tmp_path: Path
) -> None:
    row = measured(opened, ToldMeter(Currents(gain_error=0.1)), tmp_path).run
    assert row.outcome == "measured" and row.energy_u_uj > 0.11 * row.energy_uj
    assert row.run_u_uj < 0.01 * row.energy_uj
    # Its limits are held with all that is not known of it.
    near = hold_energy(row, {"budget": 1.1 * row.energy_uj}, Where())
    assert near is not None and "may be above or below" in near
    assert hold_energy(row, {"budget": 1.2 * row.energy_uj}, Where()) is None


def test_windows_that_the_meter_does_not_see_are_no_energy(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(loses=1), tmp_path).run
    assert row.outcome == "cannot tell" and row.energy_uj is None
    assert "the pin went high never while the board ran 1 window" in row.reason
    assert not (tmp_path / "currents.csv").exists()


def test_without_a_pin_the_current_finds_the_windows(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(pin=False), tmp_path).run
    assert (row.outcome, row.found_by) == ("measured", "current")
    assert watts(row) == pytest.approx(0.036, rel=5e-3)


def test_a_meter_that_is_unplugged_costs_its_own_session_alone(opened, tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="the meter is gone.*board virtual, meter told M1"):
        measured(opened, ToldMeter(fails_at=3), tmp_path, sessions=3)
    kept = rows_of(tmp_path)
    assert [(row.scope, row.outcome) for row in kept] == [
        ("session", "measured"),
        ("session", "meter failed"),
        ("run", "meter failed"),
    ]
    assert kept[0].energy_uj and kept[2].energy_uj is None
    assert kept[2].reason == "the meter is gone"
    # The board is as before.
    assert opened.dut.infer(opened.checks.inputs[:1]).retries == 0


def test_a_board_that_is_lost_leaves_the_meter_disarmed(opened, tmp_path: Path) -> None:
    meter = ToldMeter()

    def lost(high: bool, *, at_s: float) -> None:
        raise PortLost("the port is gone", where=opened.dut.link.where, in_flight="RUN")

    meter.mark = lost
    with pytest.raises(PortLost):
        measured(opened, meter, tmp_path)
    meter.arm()  # It would say that it is armed.


def test_a_run_that_is_interrupted_waits_for_nothing_of_the_meter(opened, tmp_path: Path) -> None:
    meter, disarmed = ToldMeter(), []

    def interrupted(high: bool, *, at_s: float) -> None:
        raise KeyboardInterrupt

    meter.mark, meter.disarm = interrupted, lambda: disarmed.append(True)
    with pytest.raises(KeyboardInterrupt):
        measured(opened, meter, tmp_path)
    assert disarmed == []


def test_one_window_is_kept_as_a_curve(opened, tmp_path: Path) -> None:
    row = measured(opened, ToldMeter(), tmp_path).run
    curve = read_rows(tmp_path / "currents.csv", CurrentRow).rows
    assert 100 < len(curve) <= 400 and {point.run for point in curve} == {"r1"}
    assert curve[0].begin_us == pytest.approx(-0.1e6 * row.window_s, rel=0.2)
    inside = [point.mean_ua for point in curve if point.inside]
    outside = [point.mean_ua for point in curve if not point.inside]
    assert min(inside[1:-1]) > 11e3 and np.median(outside) < 2.1e3
    assert all(point.low_ua <= point.mean_ua <= point.high_ua for point in curve)


def test_sessions_reset_the_board(opened, tmp_path: Path) -> None:
    before = opened.dut.hello
    measured(opened, ToldMeter(), tmp_path, sessions=2)
    assert opened.dut.hello is not before and replace(opened.dut.hello) == before


def test_a_meter_that_cannot_be_opened_is_a_row_and_is_tried_again(opened, tmp_path: Path) -> None:
    plugged = Plugged(id="left", kind="virtual", meter=MeterSpec(kind="told", serial_number="M1"))
    meters = [MeterError("busy"), MeterError("busy"), ToldMeter()]

    def opener(spec: MeterSpec) -> ToldMeter:
        found = meters.pop(0)
        if isinstance(found, MeterError):
            raise found
        return found

    metered, told = BoardMeter(plugged, "left", supplies=Supplies(opener)), meters[2]
    plan = EnergyPlan(csv=tmp_path / "latency.csv", run="r1", sleep=told.sleep)
    with metered:
        metered.begin()  # Before the board, and silently: its latency is measured all the same.
        with pytest.raises(MeterError, match="busy .board left, model sine"):
            metered.measure(opened, plan)
        (row,) = rows_of(tmp_path)
        assert (row.scope, row.outcome, row.reason) == ("run", "meter failed", "busy")
        assert (row.meter, row.meter_serial) == ("told", "M1")
        assert metered.measure(opened, plan).run.outcome == "measured"
    assert told.closed


def test_limits_are_exceeded_kept_or_in_doubt() -> None:
    row = energy_row(energy_uj=10.0, energy_u_uj=0.5)
    assert hold_energy(row, {"a": 11.0}, Where()) is None
    with pytest.raises(TooMuchEnergy, match="1.11 times the limit of 9 uJ .b."):
        hold_energy(row, {"a": 11.0, "b": 9.0}, Where(board="left"))
    assert "may be above or below the limit of 10.2 uJ (c)" in hold_energy(
        row, {"c": 10.2}, Where()
    )
