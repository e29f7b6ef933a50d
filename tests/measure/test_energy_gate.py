"""Energies against their baselines."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.energies import energy_row

from harness.errors import WrongUse
from harness.measure.csvfile import append
from harness.measure.energy_gate import (
    Energies,
    any_more,
    energies_versus,
    judge_energy,
    load_energies,
    save_energies,
)

BASE = energy_row(run="base")


def judged(row, *bases, track=False):
    return judge_energy(row, Energies(source="b.csv", rows=bases or (BASE,)), track=track)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ((10.0, 10.01, 9.99), "same"),
        ((11.0, 11.02, 10.98), "more"),
        ((9.0, 9.01, 8.99), "less"),
        ((10.0, 12.0, 9.0), "cannot tell"),
        ((11.0, 11.1), "cannot tell"),  # Of two sessions nothing is said.
    ],
)
def test_sessions_decide_as_those_of_latency_do(figures, verdict) -> None:
    row = judged(energy_row(figures))
    assert (row.baseline_verdict, row.baseline_run) == (verdict, "base")


def test_a_change_below_what_the_meter_leaves_unknown_is_none() -> None:
    more = (10.6, 10.61, 10.59)
    base = energy_row((10.0, 10.01, 9.99), run="base", energy_u_uj=1.0)
    assert judged(energy_row(more), base).baseline_verdict == "more"  # The same instrument.
    other = energy_row(more, meter_serial="D2")
    assert judged(other, base).baseline_verdict == "same"
    calibrated = energy_row(more, meter_calibrated="2026-11-01")
    assert judged(calibrated, base).baseline_verdict == "same"


def test_of_what_has_moved_to_another_range_of_the_meter_its_errors_count() -> None:
    more = (10.6, 10.61, 10.59)
    base = energy_row((10.0, 10.01, 9.99), run="base", energy_u_uj=1.0, range_shares="0 0 0.6 0.4")
    assert judged(energy_row(more, range_shares="0 0 0.6 0.4"), base).baseline_verdict == "more"
    other = energy_row(more, energy_u_uj=1.0, range_shares="0 0 0 0.4 0.6")
    assert judged(other, base).baseline_verdict == "same"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"simulated": True}, "one is of a simulated meter and the other is not: never compared"),
        ({"emulated": True}, "one board is emulated"),
        ({"meter": "joulescope"}, "other kind of meter: joulescope, baseline ppk2"),
        ({"volts": 3.3}, "other supply: 3.3 V, baseline 3 V"),
        ({"idle_subtracted": True}, "this run's energy is without idle power, the baseline's with"),
        ({"clock_hz": 32_000_000}, "other clock"),
        ({"model_in": "ram"}, "the model lay in ram, the baseline's in flash: never compared"),
        ({"flags": "-O3"}, "-O3 only in this run"),
        ({"model_sha256": "other"}, "has other bytes, which --hil-track takes"),
        ({"board": "left"}, "no energy of board left in the baseline; there is nano"),
        ({"runtime": "aot"}, "no energy of model sine_int8 on nano with aot"),
    ],
)
def test_what_is_not_to_be_compared_is_refused(changes, said) -> None:
    row = judged(energy_row((20.0, 20.0, 20.0), **changes))
    assert row.baseline_verdict == "cannot tell" and said in row.baseline_rule
    assert row.baseline_run is None and row.baseline_ratio is None


def test_a_retrained_model_is_held_to_its_name_on_request() -> None:
    row = energy_row((20.0, 20.02, 19.98), model_sha256="other")
    assert judged(row, track=True).baseline_verdict == "more"


def test_a_session_without_energy_is_no_figure() -> None:
    row = judged(energy_row((1.0, -0.5, 1.0)))
    assert row.baseline_rule == "a session's energy is not above 0"


def test_without_a_file_there_is_no_verdict_but_a_reason(tmp_path: Path) -> None:
    found = load_energies(tmp_path / "baselines.csv")
    row = judge_energy(energy_row(), found, track=False)
    assert row.baseline_verdict == "cannot tell" and "hil baseline save" in row.baseline_rule


def test_energies_are_kept_beside_the_baselines_and_replaced(tmp_path: Path) -> None:
    csv, baseline = tmp_path / "latency.csv", tmp_path / "baselines.csv"
    rows = [
        energy_row(run="a"),
        energy_row(run="b", board="left"),
        energy_row(run="b", board="left", scope="session"),
        energy_row(run="c", outcome="cannot tell"),
    ]
    append(tmp_path / "energy.csv", rows)
    names = [("a", "nano", "tflm", "sine", "int8"), ("b", "left", "tflm", "sine", "int8")]
    assert save_energies(csv, baseline, names) == tmp_path / "baselines.energy.csv"
    assert [row.run for row in load_energies(baseline).rows] == ["a", "b"]
    append(tmp_path / "energy.csv", [energy_row(run="d", time_utc="2026-11-22T06:00:00Z")])
    save_energies(csv, baseline, [("d", "nano", "tflm", "sine", "int8")])
    assert [row.run for row in load_energies(baseline).rows] == ["b", "d"]
    assert save_energies(csv, tmp_path / "other.csv", [("x", *names[0][1:])]) is None


def test_a_foreign_file_beside_the_baselines_stays(tmp_path: Path) -> None:
    append(tmp_path / "energy.csv", [energy_row(run="a")])
    foreign = tmp_path / "baselines.energy.csv"
    foreign.write_text("mine,yours\n1,2\n")
    with pytest.raises(WrongUse, match="energy CSV"):
        save_energies(
            tmp_path / "latency.csv",
            tmp_path / "baselines.csv",
            [("a", "nano", "tflm", "sine", "int8")],
        )
    assert foreign.read_text() == "mine,yours\n1,2\n"


def test_two_sides_by_side() -> None:
    a = Energies(source="A", rows=(BASE, energy_row(board="only-a")))
    b = Energies(source="B", rows=(energy_row((12.0, 12.02, 11.98)),))
    rows = {row.board: row for row in energies_versus(a, b)}
    assert (rows["nano"].verdict, rows["nano"].unit, rows["nano"].a) == ("more", "uJ", 10.0)
    assert rows["only-a"].verdict == "only in A" and any_more(rows.values())
    simulated = Energies(source="B", rows=(energy_row(simulated=True),))
    (row,) = energies_versus(Energies(source="A", rows=(BASE,)), simulated)
    assert row.verdict == "refused" and not any_more([row])


@pytest.mark.parametrize(
    "changes",
    [
        {"session_uj": "9.9 inf 10"},
        {"session_uj": "9.9 nan"},
        {"session_uj": "9,9"},
        {"range_shares": "half half"},
    ],
)
def test_a_run_whose_lists_are_no_numbers_is_left_out_with_a_note(tmp_path: Path, changes) -> None:
    append(tmp_path / "energy.csv", [energy_row(run="a"), energy_row(run="b", **changes)])
    found = load_energies(tmp_path / "latency.csv")
    assert [row.run for row in found.rows] == ["a"]
    (note,) = found.notes
    assert "1 run without numbers in session_uj" in note
