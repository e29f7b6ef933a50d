from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import described
from fakes.measured import QUIET, a_run, rows

from harness.errors import ReportError
from harness.measure.baseline import find_baseline, flag_changes, judge_row, load_baselines, save
from harness.measure.csvfile import append, columns
from harness.measure.gate import LatencyVerdict
from harness.measure.runs import Baselines, Run, complete, load_runs, newest, runs_of
from harness.measure.tables import SampleRow


def kept(*runs: Run) -> Baselines:
    return Baselines(source="b.csv", runs=runs)


def test_figures_of_a_run_are_its_sessions_medians() -> None:
    assert a_run("r1").figures.figures == QUIET


def test_lost_session_is_counted_named_and_not_used() -> None:
    found, notes = complete(runs_of(rows("r1", (100.0, None, 101.0, 99.0))))
    assert (found[0].figures.figures, len(found[0].lost)) == ((100.0, 101.0, 99.0), 1)
    assert notes == (
        "run r1: session 2 was lost (board rebooted during RUN); its other 3 are used",
    )


def test_run_that_was_killed_before_its_end_is_left_out_and_named() -> None:
    found, notes = complete(runs_of(rows("r1")[:-1]))
    assert found == () and "r1 on nano was never finished: 5 sessions" in notes[0]


def test_run_whose_session_lines_are_torn_away_is_left_out_and_named() -> None:
    found, notes = complete(runs_of(rows("r1")[2:]))
    assert found == () and notes == ("run r1 has 3 of its 5 sessions: left out",)


def test_row_of_before_there_were_sessions_is_a_run_of_one() -> None:
    found, notes = complete(runs_of([described.row(session="old", p50_us=7.0)]))
    assert (found[0].id, found[0].figures.figures) == ("old", (7.0,))
    assert "1 rows are from before there were sessions" in notes[0]


def test_old_files_of_the_repository_can_be_read_as_runs() -> None:
    path = Path(__file__).parents[1] / "vectors" / "csv" / "latency-45-columns.csv"
    found = load_runs(path)
    assert len(found.runs) == 4 and "from before there were sessions" in found.notes[-1]
    qemu = next(run for run in found.runs if run.key.board == "qemu-m4")
    assert qemu.figures.exact and qemu.figures.figures == (2967.0,)


def test_of_each_key_the_newest_run_counts() -> None:
    runs = (a_run("r1"), a_run("r2"), a_run("r3", board="other"))
    assert {key.board: run.id for key, run in newest(runs).items()} == {"nano": "r2", "other": "r3"}


def test_host_is_part_of_the_key_only_where_the_clock_is_the_hosts() -> None:
    assert a_run("r", host="here", mcu="Cortex-M4").key.host is None
    virtual = a_run("r", host="here", board="virtual", mcu="host", emulated=True)
    assert virtual.key.host == "here" and virtual.figures.least_delta == 1.0


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"board": "x"}, "no baseline for board x; there are some for nano"),
        ({"model": "mnist"}, "no baseline for model mnist_int8 on nano"),
        (
            {"model_sha256": "ff"},
            "no baseline for model sine_int8 on nano; one of that name has other bytes, "
            "which --hil-track takes",
        ),
        ({"runtime": "aot"}, "no baseline with runtime aot; there are some with tflm"),
        ({"emulated": True}, "refused: one is emulated and the other is not: never compared"),
        ({"clock_hz": 2}, "refused: other clock: 2 Hz, baseline 1 Hz"),
        ({"runtime_version": "2"}, "refused: other runtime version: 2, baseline 1"),
    ],
)
def test_missing_or_foreign_baseline_is_named(changes: dict[str, Any], reason: str) -> None:
    assert find_baseline(
        kept(a_run("r1", mcu="M4")), a_run("r2", mcu="M4", **changes), track=False
    ) == (reason)


def test_no_file_is_named_with_what_makes_one(tmp_path: Path) -> None:
    found = find_baseline(load_baselines(tmp_path / "b.csv"), a_run("r1"), track=False)
    assert found == f"no baseline file {tmp_path}/b.csv: hil baseline save makes one"


def test_other_flags_are_named() -> None:
    run = a_run("r2")
    other = replace(run, row=replace(run.row, flags="-O3 -mcpu=cortex-m4"))
    assert find_baseline(kept(a_run("r1")), other, track=False) == (
        "refused: other compiler flags: -O3 only in this run, -Os only in the baseline"
    )
    silent = replace(run, row=replace(run.row, flags=None))
    assert find_baseline(kept(silent), a_run("r3"), track=False) == (
        "refused: the baseline does not say its compiler flags"
    )
    assert flag_changes("-a -b", "-b -a") == "the same in another order"


def test_a_model_in_ram_is_never_held_against_one_in_flash() -> None:
    flash, ram = a_run("r1", model_in="flash"), a_run("r2", model_in="ram")
    assert find_baseline(kept(flash), ram, track=False) == (
        "refused: the model lay in ram, the baseline's in flash: never compared"
    )
    assert find_baseline(kept(flash, ram), a_run("r3", model_in="ram"), track=False) is ram
    # Rows of before there was the column are of models that were linked in.
    old = a_run("r0")
    assert find_baseline(kept(old), a_run("r3", model_in="flash"), track=False) is old
    assert set(newest((old, flash, ram)).values()) == {flash, ram}


def test_another_host_is_refused_for_a_board_of_its_clock() -> None:
    here, there = (
        a_run(host, host=host, mcu="host", emulated=True, board="virtual")
        for host in ("here", "there")
    )
    assert find_baseline(kept(here), there, track=False) == (
        "refused: other host, and the clock is the host's: there, baseline here"
    )


def test_tracking_takes_a_retrained_model_of_the_same_name() -> None:
    base, run = a_run("r1"), a_run("r2", model_sha256="ff")
    assert find_baseline(kept(base), run, track=True) is base


def test_a_run_is_not_its_own_baseline() -> None:
    run = a_run("r1")
    assert isinstance(find_baseline(kept(run), run, track=False), str)


def test_slower_run_is_judged_against_the_newest_baseline() -> None:
    *sessions, whole = rows("r3", [1.05 * time for time in QUIET])
    baselines = kept(a_run("r1"), a_run("r2", git_commit="abc"))
    found = judge_row(whole, sessions, baselines)
    assert found.judgement.verdict is LatencyVerdict.SLOWER
    assert (found.baseline_run, found.baseline_commit, found.refused) == ("r2", "abc", False)


def test_without_a_baseline_the_verdict_is_cannot_tell_and_says_why() -> None:
    *sessions, whole = rows("r1")
    found = judge_row(whole, sessions, Baselines(source="b.csv", exists=False))
    assert found.refused and found.judgement.verdict is LatencyVerdict.CANNOT_TELL
    assert "no baseline file b.csv" in found.judgement.rule


def test_instruction_counts_are_judged_exactly() -> None:
    exact = {"emulated": True, "mcu": "Cortex-M4F"}
    *sessions, whole = rows("r2", [380.0], instructions_p50=2968, **exact)
    base = a_run("r1", [380.0], instructions_p50=2967, **exact)
    assert judge_row(whole, sessions, kept(base)).judgement.verdict is LatencyVerdict.SLOWER


def ids(path: Path) -> list[str]:
    return [run.id for run in load_runs(path).runs]


def test_saving_keeps_what_is_there_and_refuses_a_key_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "new" / "b.csv"
    save(path, [a_run("r1")], replace_old=False)
    save(path, [a_run("r2", board="other")], replace_old=False)
    before = path.read_bytes()
    with pytest.raises(ReportError, match="has a baseline already for nano, tflm.*\n.*--replace"):
        save(path, [a_run("r3"), a_run("r4", board="third")], replace_old=False)
    assert path.read_bytes() == before
    assert ids(path) == ["r1", "r2"]


def test_replacing_takes_away_the_rows_of_that_key_only(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    save(path, [a_run("r1"), a_run("r2", board="other")], replace_old=False)
    done = save(path, [a_run("r3")], replace_old=True)
    assert [key.board for key in done.replaced] == ["nano"]
    assert ids(path) == ["r2", "r3"]
    assert [item.name for item in tmp_path.iterdir() if item.suffix != ".lock"] == ["b.csv"]


def test_saving_into_a_file_of_a_newer_version_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    append(path, rows("r1", board="other"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},joules", *(f"{line},7" for line in lines[1:])]) + "\n")
    done = save(path, [a_run("r2")], replace_old=False)
    assert "from a newer version: joules" in done.notes[0]
    with path.open(newline="") as file:
        found = [(row["run"], row["joules"]) for row in csv.DictReader(file)]
    assert found == [("r1", "7")] * 6 + [("r2", "")] * 6


def test_saving_into_a_damaged_file_keeps_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    append(path, rows("r1", board="other"))
    damaged = path.read_text() + "too,few\n2026-11-21T06:0"
    path.write_text(damaged)
    done = save(path, [a_run("r2")], replace_old=False)
    assert (tmp_path / "b.1.csv").read_text() == damaged
    assert "2 lines are left out" in done.notes[0] and "kept as" in done.notes[-1]
    assert ids(path) == ["r1", "r2"]


def test_old_baseline_without_sessions_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    append(path, [described.row(session="old", p50_us=7.0, flags="-Os -mcpu=cortex-m4")])
    save(path, [a_run("r1")], replace_old=True)
    assert ids(path) == ["r1"]


def test_foreign_file_is_named_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match="has no rows of LatencyRow"):
        save(path, [a_run("r1")], replace_old=True)
    assert path.read_text() == "a,b\n1,2\n"


def test_folder_is_read_whole_and_other_tables_in_it_are_named(tmp_path: Path) -> None:
    append(tmp_path / "two.csv", rows("r2", time_utc="2026-11-22T06:00:00Z"))
    append(tmp_path / "zero.csv", rows("r1"))
    (tmp_path / "samples.csv").write_text("run,us\n1,2\n")
    found = load_runs(tmp_path)
    assert [run.id for run in found.runs] == ["r1", "r2"]
    assert found.notes == (f"{tmp_path}: no latency rows in samples.csv",)


def test_tables_that_lie_beside_the_latency_rows_need_no_word(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", rows("r1"))
    (tmp_path / "samples.csv").write_text(",".join(columns(SampleRow)) + "\n")
    assert load_runs(tmp_path).notes == ()


@pytest.mark.parametrize("other, said", [(None, "has no CSV file"), ("x.csv", "no latency rows")])
def test_folder_without_latency_rows_is_named(tmp_path: Path, other: str | None, said: str) -> None:
    if other:
        (tmp_path / other).write_text("a\n1\n")
    with pytest.raises(ReportError, match=said):
        load_runs(tmp_path)
