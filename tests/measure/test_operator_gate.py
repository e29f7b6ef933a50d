from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.measured import rows
from fakes.profiled import CNN, counted

from harness.errors import WrongUse
from harness.measure.baseline import load_baselines, save
from harness.measure.csvfile import append, beside
from harness.measure.frames import read_rows
from harness.measure.operator_gate import (
    change_of,
    judge_profile,
    profiles_versus,
    save_profiles,
    with_profiles,
)
from harness.measure.runs import load_runs
from harness.measure.tables import LayerRow, OperatorRow

SLOWER = [*CNN[:3], (*CNN[3][:3], 3061)]


def measured(folder: Path, run: str, operators=CNN, **changes) -> Path:
    """A latency.csv with a run of it, and its profile beside it."""
    path = folder / "latency.csv"
    append(path, rows(run, **changes))
    append(beside(path, "layers"), counted(run, operators))
    return path


def profiled(path: Path):
    return with_profiles(load_runs(path), path)


def kept(path: Path, csv: Path, **how) -> None:
    runs = profiled(csv).runs
    save(path, runs, replace_old=how.get("replace_old", False))
    save_profiles(path, runs)


def judged(path: Path, operators=CNN, *, track=False, run="now", **changes):
    row = rows(run, **changes)[-1]
    baselines = with_profiles(load_baselines(path), path)
    return judge_profile(row, counted(run, operators), baselines, track=track)


def test_a_saved_profile_judges_a_later_one(tmp_path: Path) -> None:
    file = tmp_path / "baselines.csv"
    kept(file, measured(tmp_path / "a", "r1"))
    assert (tmp_path / "baselines.layers.csv").exists()
    found = judged(file, SLOWER)
    assert [(row.operator, row.verdict) for row in found if row.verdict != "same"] == [
        ("FULLY_CONNECTED", "slower")
    ]
    assert {(row.run, row.baseline_run, row.board) for row in found} == {("now", "r1", "nano")}
    assert {row.verdict for row in judged(file)} == {"same"}


def test_one_instruction_more_of_millions_is_still_one_more_in_the_file(tmp_path: Path) -> None:
    big = [("CONV_2D", "c", "1x8", 92_758_910)]
    file = tmp_path / "baselines.csv"
    kept(file, measured(tmp_path / "a", "r1", big))
    append(tmp_path / "operators.csv", judged(file, [(*big[0][:3], 92_758_911)]))
    first = read_rows(tmp_path / "operators.csv", OperatorRow).rows[0]
    change = change_of(first)
    assert (change.a, change.b, change.verdict) == (92_758_910, 92_758_911, "slower")
    assert change.ratio > 1


def test_any_latency_csv_with_its_layers_is_a_baseline(tmp_path: Path) -> None:
    csv = measured(tmp_path / "a", "r1")
    assert {row.verdict for row in judged(csv)} == {"same"}


def test_without_a_profile_to_compare_with_one_row_says_why(tmp_path: Path) -> None:
    append(tmp_path / "b.csv", rows("r1"))
    (row,) = judged(tmp_path / "b.csv")
    assert (row.operator, row.verdict, row.baseline_run) == ("profile", "cannot tell", None)
    assert "baseline run r1 has no profile" in row.rule
    (row,) = judged(tmp_path / "absent.csv")
    assert "no baseline file" in row.rule
    csv = measured(tmp_path / "a", "r2")
    (row,) = judged(csv, runtime="aot")
    assert "no baseline with runtime aot" in row.rule
    (row,) = judged(csv, flags="-O3")
    assert "other compiler flags" in row.rule


def test_the_newest_run_that_was_profiled_is_the_baseline(tmp_path: Path) -> None:
    csv = measured(tmp_path, "r1")
    append(csv, rows("r2", time_utc="2026-11-22T06:00:00Z"))
    assert {row.baseline_run for row in judged(csv)} == {"r1"}


def test_a_model_that_changed_is_compared_where_that_is_asked_for(tmp_path: Path) -> None:
    csv = measured(tmp_path, "r1")
    longer = [*CNN, ("SOFTMAX", "soft", "1x10", 700)]
    (row,) = judged(csv, longer, model_sha256="cd")
    assert "other bytes" in row.rule
    found = judged(csv, longer, model_sha256="cd", track=True)
    assert [(row.operator, row.index, row.verdict) for row in found if row.verdict != "same"] == [
        ("SOFTMAX", 4, "appeared")
    ]


def test_replacing_a_baseline_replaces_its_profile_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "baselines.csv"
    csv = measured(tmp_path / "a", "r1")
    append(csv, rows("o1", board="other"))
    append(beside(csv, "layers"), counted("o1", board="other"))
    kept(file, csv)
    kept(file, measured(tmp_path / "b", "r2", SLOWER), replace_old=True)
    runs = {run.id: len(run.layers) for run in with_profiles(load_baselines(file), file).runs}
    assert runs == {"o1": 4, "r2": 4}
    saved = read_rows(tmp_path / "baselines.layers.csv", LayerRow).rows
    assert {row.run for row in saved} == {"o1", "r2"}
    # A run without a profile in the place of one with it leaves none behind.
    append(tmp_path / "c" / "latency.csv", rows("r3"))
    kept(file, tmp_path / "c" / "latency.csv", replace_old=True)
    assert {row.run for row in read_rows(tmp_path / "baselines.layers.csv", LayerRow).rows} == {
        "o1"
    }


def test_profiles_that_cannot_be_read_are_kept_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "baselines.csv"
    kept(file, measured(tmp_path / "a", "r1"))
    layers = tmp_path / "baselines.layers.csv"
    layers.write_bytes(layers.read_bytes() + b"torn,line\n")
    before = layers.read_bytes()
    kept(file, measured(tmp_path / "b", "r2"), replace_old=True)
    assert (tmp_path / "baselines.layers.1.csv").read_bytes() == before
    assert {row.run for row in read_rows(layers, LayerRow).rows} == {"r2"}


def test_a_file_of_somebody_elses_is_refused_and_stays(tmp_path: Path) -> None:
    foreign = tmp_path / "baselines.layers.csv"
    foreign.write_text("mine,all\n1,2\n")
    csv = measured(tmp_path / "a", "r1")
    with pytest.raises(WrongUse, match="already and is no layers CSV"):
        save_profiles(tmp_path / "baselines.csv", profiled(csv).runs)
    assert foreign.read_text() == "mine,all\n1,2\n"


def test_of_a_run_that_was_profiled_twice_the_later_profile_counts(tmp_path: Path) -> None:
    csv = measured(tmp_path, "r1")
    later = [replace(row, time_utc="2026-11-21T07:00:00Z") for row in counted("r1", SLOWER)]
    append(beside(csv, "layers"), later)
    (run,) = profiled(csv).runs
    assert [row.instructions_p50 for row in run.layers][-1] == 3061 and len(run.layers) == 4


def test_two_folders_are_compared_by_operators(tmp_path: Path) -> None:
    a, b = measured(tmp_path / "a", "r1"), measured(tmp_path / "b", "r2", SLOWER)
    append(b, rows("t1", runtime="aot"))
    append(beside(b, "layers"), counted("t1", runtime="aot"))
    alone, both = profiles_versus(profiled(a), profiled(b.parent))
    assert (alone.runtime, alone.refused, alone.changes) == ("aot", "profiled only in B", ())
    assert [c.label for c in both.changes if c.verdict == "slower"] == ["3 FULLY_CONNECTED"]
    assert (both.run_a, both.run_b) == ("r1", "r2")


def test_other_flags_are_refused_between_two_folders_as_well(tmp_path: Path) -> None:
    a, b = measured(tmp_path / "a", "r1"), measured(tmp_path / "b", "r2", flags="-O3")
    (only,) = profiles_versus(profiled(a), profiled(b))
    assert "other compiler flags" in (only.refused or "") and not only.changes
