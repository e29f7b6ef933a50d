from __future__ import annotations

from pathlib import Path

import pytest
from fakes.measured import rows
from fakes.profiled import counted

from harness.cli import main
from harness.measure.csvfile import append


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "latency.csv"
    append(path, [*rows("r1"), *rows("r2", board="other"), *rows("r3", git_commit="abc")])
    return path


def hil(*words: object) -> int:
    return main([str(word) for word in words])


def test_save_list_and_show(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = measured.with_name("b.csv")
    assert hil("baseline", "save", "--csv", measured, "--baseline", file) == 0
    assert "saved nano, tflm, sine_int8 ab: 100 us, 5 sessions" in capsys.readouterr().out
    assert hil("baseline", "list", "--baseline", file) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["nano", "tflm", "sine_int8", "100", "us", "5", "-", "abc"],
        ["other", "tflm", "sine_int8", "100", "us", "5", "-", "-"],
    ]
    assert hil("baseline", "show", "nano", "sine", "--baseline", file) == 0
    shown = capsys.readouterr().out
    assert "run r3, commit abc" in shown and "100 100.1 99.9 100.2 99.8" in shown
    assert "-Os -mcpu=cortex-m4" in shown and "other" not in shown


def test_saving_twice_is_refused_without_replace(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = measured.with_name("b.csv")
    save = ("baseline", "save", "--csv", measured, "--baseline", file, "--board", "nano")
    assert hil(*save) == 0
    before = file.read_bytes()
    assert hil(*save) == 2
    assert "--replace" in capsys.readouterr().err and file.read_bytes() == before
    assert hil(*save, "--replace") == 0
    assert "replaced nano" in capsys.readouterr().out


def test_filter_that_nothing_fits_is_named(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("baseline", "save", "--csv", measured, "--model", "mnist") == 2
    assert "has no complete run of mnist" in capsys.readouterr().err


def test_few_sessions_are_saved_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tmp_path / "l.csv", rows("r1", [100.0]))
    assert hil("baseline", "save", "--csv", tmp_path / "l.csv", "--baseline", tmp_path / "b") == 0
    assert "under 3 sessions nothing can be told" in capsys.readouterr().err


def test_absent_baseline_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hil("baseline", "list", "--baseline", tmp_path / "b.csv") == 2
    assert "there is no baseline file" in capsys.readouterr().err


def test_profiles_are_saved_listed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, file = tmp_path / "latency.csv", tmp_path / "b.csv"
    append(csv, [*rows("r1"), *rows("r2", board="other")])
    append(tmp_path / "layers.csv", counted("r1"))
    assert hil("baseline", "save", "--csv", csv, "--baseline", file) == 0
    said = capsys.readouterr().out
    assert "sine_int8 ab: 100 us, 5 sessions, profile of 4 operators\n" in said
    assert f"in {file} and {tmp_path / 'b.layers.csv'}" in said
    assert hil("baseline", "list", "--baseline", file) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[6] for line in listed[1:]] == ["4", "-"]
    assert hil("baseline", "show", "nano", "--baseline", file) == 0
    shown = capsys.readouterr().out
    assert "2 CONV_2D" in shown and "416506" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_foreign_file_in_the_place_of_profiles_stops_a_save_before_anything_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, file = tmp_path / "latency.csv", tmp_path / "b.csv"
    append(csv, rows("r1"))
    (tmp_path / "b.layers.csv").write_text("mine,all\n")
    assert hil("baseline", "save", "--csv", csv, "--baseline", file) == 2
    assert "b.layers.csv: that file is there already" in capsys.readouterr().err
    assert not file.exists() and (tmp_path / "b.layers.csv").read_text() == "mine,all\n"
