"""`harness.report.data`: CSV files become measurements, and nothing unreadable goes unsaid."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import described, nights

from harness.errors import ReportError
from harness.measure.csvfile import append
from harness.measure.tables import moment
from harness.report.data import gather


def test_file_is_read_with_the_tables_beside_it(tmp_path: Path) -> None:
    csv = tmp_path / "mine.csv"
    nights.write(csv, nights.real_board(1))
    (item,) = gather(csv).measured
    assert item.subject == ("nano33ble", "tflm", "sine", "int8")
    assert (item.row.scope, len(item.sessions)) == ("run", nights.SESSIONS)
    assert len(item.samples) == nights.SESSIONS * nights.INVOKES
    assert (len(item.outputs), len(item.layers), len(item.memory)) == (256, 3, 2)
    assert gather(csv).notes == ()


def test_folder_is_read_whole_in_the_order_of_time(tmp_path: Path) -> None:
    evidence = gather(nights.write_week(tmp_path))
    assert len(evidence.measured) == 14
    times = [item.row.time_utc for item in evidence.measured]
    assert times == sorted(times) and evidence.notes == ()
    newest = evidence.newest()
    assert [item.row.board for item in newest] == ["nano33ble", "qemu-m4"]
    assert {item.row.git_commit for item in newest} == {"0000006"}
    assert {len(items) for items in evidence.history().values()} == {7}


def test_rows_found_twice_count_once(tmp_path: Path) -> None:
    nights.write(tmp_path / "latency.csv", nights.real_board(1))
    whole = gather(tmp_path)
    shutil.copy(tmp_path / "latency.csv", tmp_path / "latency.1.csv")
    again = gather(tmp_path)
    assert again.measured == whole.measured
    assert again.notes == ("4 rows found twice, counted once",)


def test_row_of_before_runs_is_a_measurement_of_its_own(tmp_path: Path) -> None:
    old = [described.row(session=name, p50_us=1.0) for name in ("a", "b")]
    append(tmp_path / "latency.csv", old)
    measured = gather(tmp_path).measured
    assert [item.row.session for item in measured] == ["a", "b"]
    assert [len(item.sessions) for item in measured] == [1, 1]
    assert not any(item.cut_short for item in measured)


def test_run_without_its_last_row_was_cut_short(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", nights.real_board(1)[:-1])
    (item,) = gather(tmp_path).measured
    assert item.cut_short and item.row.session_number == nights.SESSIONS


def test_lost_session_is_kept_with_its_error(tmp_path: Path) -> None:
    first, second, *rest = nights.real_board(1)
    lost = replace(second, error="board rebooted during RUN", p50_us=None, n=None)
    append(tmp_path / "latency.csv", [first, lost, *rest])
    (item,) = gather(tmp_path).measured
    assert [row.session_number for row in item.lost] == [2]
    assert len(item.sessions) == nights.SESSIONS and not item.row.error


def test_cut_short_run_shows_a_session_that_was_measured(tmp_path: Path) -> None:
    first, second, *_ = nights.real_board(1)
    append(tmp_path / "latency.csv", [first, replace(second, error="rebooted", p50_us=None)])
    (item,) = gather(tmp_path).measured
    assert item.row == gather(tmp_path).measured[0].sessions[0]


def test_profile_of_another_run_is_shown_with_the_same_model_and_board(tmp_path: Path) -> None:
    rows = nights.real_board(1)
    other = [replace(row, board="nano-b", run="b" * 12) for row in nights.real_board(2)]
    append(tmp_path / "latency.csv", [*rows, *other])
    append(tmp_path / "layers.csv", nights.layer_rows(rows[-1]))
    older = [replace(row, time_utc="2020-01-01T00:00:00Z") for row in nights.layer_rows(rows[-1])]
    append(tmp_path / "layers.csv", [replace(row, run="a" * 12, macs=0) for row in older])
    later = [
        replace(row, run="c" * 12, time_utc="2099-01-01T00:00:00Z") for row in nights.real_board(1)
    ]
    append(tmp_path / "latency.csv", later)
    with_profile, without, again = gather(tmp_path).measured
    assert [row.macs for row in with_profile.layers] == [16, 256, 16]
    assert without.layers == ()
    assert again.row.run == "c" * 12 and again.layers == with_profile.layers


def test_rows_of_no_measurement_are_counted(tmp_path: Path) -> None:
    nights.write(tmp_path / "latency.csv", nights.real_board(1))
    strangers = [replace(row, run="0" * 12) for row in nights.sample_rows(nights.real_board(1))]
    append(tmp_path / "samples.csv", strangers)
    assert gather(tmp_path).notes == ("360 rows of samples are of no measurement here: left out",)


def test_foreign_truncated_and_newer_files_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    nights.write(tmp_path / "latency.csv", nights.real_board(1))
    (tmp_path / "prices.csv").write_text("fruit,price\napple,1\n")
    (tmp_path / "empty.csv").write_text("")
    with (tmp_path / "samples.csv").open("a") as samples:
        samples.write("torn,")
    header, *lines = (tmp_path / "latency.csv").read_text().splitlines()
    newer = [f"{header},moon_phase", *(f"{line},full" for line in lines)]
    (tmp_path / "newer.csv").write_text("\n".join(newer) + "\n")
    evidence = gather(tmp_path)
    assert len(evidence.measured) == 1
    said = "\n".join(evidence.notes)
    assert f"{tmp_path / 'prices.csv'} is no CSV of the harness: left out" in said
    assert f"{tmp_path / 'empty.csv'} is no CSV of the harness: left out" in said
    assert "newer.csv is from a newer version: moon_phase left out" in said
    assert "samples.csv: 1 line is left out: the last line is torn" in said
    assert "4 rows found twice, counted once" in said


@pytest.mark.parametrize(
    "name, said",
    [("absent.csv", "cannot read"), ("empty", "holds no CSV file"), ("bare.csv", "no measurement")],
)
def test_nothing_to_report_is_said(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    append(tmp_path / "whole.csv", [described.row()])
    (tmp_path / "bare.csv").write_text((tmp_path / "whole.csv").read_text().split("\n")[0] + "\n")
    with pytest.raises(ReportError, match=said):
        gather(tmp_path / name)


def test_reasons_are_the_hint_when_nothing_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "latency.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match="holds no measurement") as caught:
        gather(tmp_path)
    assert "latency.csv is no CSV of the harness: left out" in caught.value.hint


def test_time_that_is_none_is_never_the_newest(tmp_path: Path) -> None:
    good, bad = described.row(session="a"), described.row(session="b", time_utc="yesterday")
    append(tmp_path / "latency.csv", [good, bad])
    assert [item.row.session for item in gather(tmp_path).newest()] == ["a"]
    assert moment("yesterday") is moment("0001-01-01T00:00:00Z") is moment("9999-12-31") is None
    assert moment("2026-11-21T06:00:00Z") == moment("2026-11-21T06:00:00")
