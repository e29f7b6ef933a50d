"""The fixture `energy` and `--hil-energy`: boards with meters that measure nothing, or are gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.measure.frames import read_rows
from harness.measure.tables import EnergyRow, LatencyRow
from harness.model.wheels import tflm_version

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

RIG = """
[boards.left]
kind = "virtual"
meter = { kind = "simulated", serial_number = "L", pin = 0, options = { active_amps = 0.02 } }
[boards.right]
kind = "virtual"
budget_uj = { sine = 0.001 }
meter = { kind = "simulated", serial_number = "R", pin = 3, options = { active_amps = 0.05 } }
[boards.gone]
kind = "virtual"
meter = { kind = "csv", path = "nowhere/trace.csv", options = { time = "t", current = "i", \
resolution_amps = 0, gain_error = 0, offset_amps = 0 } }
"""
TESTS = """
def test_latency(latency): latency(n=5)
def test_energy(energy):
    assert energy(at_most_uj=1e6).outcome == "measured"
"""


def amps(row: EnergyRow) -> float:
    """Mean current in the windows, by the energy of an inference."""
    assert row.gross_uj and row.inferences and row.window_s and row.windows and row.volts
    return row.gross_uj * 1e-6 * row.inferences / (row.window_s * row.windows * row.volts)


def test_each_window_goes_to_its_own_board_and_a_meter_costs_no_latency(run):
    (run.path / "rig.toml").write_text(RIG)
    options = ("--hil-rig", "rig.toml", "--junitxml", "junit.xml")
    result = run("--board", "left,right,gone", *options, tests=TESTS)
    assert result.parseoutcomes() == {"passed": 4, "failed": 1, "errors": 1}
    assert result.ret == 12
    said = result.stdout.str()
    assert "right: 1 too much energy, 1 passed" in said
    assert "gone: 1 meter failed, 1 passed" in said
    assert "budget_uj.sine of the rig file" in said and "wrong numbers" not in said
    assert "simulated meters: no instrument has measured this" in said
    folder: Path = run.path / "reports"
    energies = read_rows(folder / "energy.csv", EnergyRow).rows
    whole = {row.board: row for row in energies if row.scope == "run"}
    assert amps(whole["left"]) == pytest.approx(0.02, rel=0.01)
    assert amps(whole["right"]) == pytest.approx(0.05, rel=0.01)
    assert [whole[board].meter_serial for board in ("left", "right")] == ["L", "R"]
    assert whole["gone"].outcome == "meter failed" and "nowhere" in whole["gone"].reason
    latencies = read_rows(folder / "latency.csv", LatencyRow).rows
    runs = {row.board: row.run for row in latencies if row.scope == "run"}
    assert {row.board: row.run for row in whole.values()} == runs
    junit = (run.path / "junit.xml").read_text()
    assert re.search(r'<error message="meter failed: .*nowhere.*" type="meter failed"', junit)
    assert '<failure message="too much energy: ' in junit
    assert 'name="hil_energy_uj"' in junit and 'name="hil_meter_serial" value="L"' in junit


def test_a_board_without_a_meter_skips_unless_energy_is_asked_for(run):
    result = run("--board", "virtual", tests=TESTS)
    assert result.parseoutcomes() == {"passed": 1, "skipped": 1}
    result = run("--board", "virtual", "--hil-energy", tests="def test_l(latency): latency(n=5)")
    assert result.parseoutcomes() == {"passed": 1, "errors": 1} and result.ret == 10
    assert "meter failed: the board has no meter" in " ".join(result.stdout.str().split())
