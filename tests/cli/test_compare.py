from __future__ import annotations

from pathlib import Path

import pytest
from fakes.measured import QUIET, rows

from harness.cli import main
from harness.measure.csvfile import append

SLOWER = [1.05 * time for time in QUIET]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "latency.csv"
    append(path, [*rows("r1"), *rows("r2", board="other"), *rows("r3", git_commit="abc")])
    return path


def hil(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def after(tmp_path: Path) -> Path:
    path = tmp_path / "after" / "latency.csv"
    append(path, [*rows("s1", SLOWER), *rows("s2", board="other")])
    return path.parent


def test_compare_fails_on_a_slowdown_only_when_it_is_to_gate(
    measured: Path, after: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hil("compare", measured, after) == 0
    assert "1.050" in capsys.readouterr().out
    assert hil("compare", measured, after, "--gate") == 12
    assert hil("compare", measured, measured, "--gate") == 0


@pytest.mark.parametrize("kind, first", [("csv", "board,runtime"), ("markdown", "| board |")])
def test_compare_writes_a_file(measured: Path, after: Path, kind: str, first: str) -> None:
    target = after / "out" / "compared"
    assert hil("compare", measured, after, "--format", kind, "--output", target) == 0
    assert target.read_text().startswith(first)


def test_compare_uses_what_is_readable_of_a_damaged_file_and_counts_the_rest(
    measured: Path, after: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (after / "latency.csv").open("a") as file:
        file.write("too,few\n2026-11-21T06")
    assert hil("compare", measured, after) == 0
    done = capsys.readouterr()
    assert "2 lines are left out" in done.err and "1.050" in done.out


@pytest.mark.parametrize("name, said", [("absent.csv", "cannot read"), ("empty", "no CSV file")])
def test_compare_names_what_is_absent_or_empty(
    measured: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (measured.parent / "empty").mkdir()
    assert hil("compare", measured, measured.parent / name) == 2
    assert said in capsys.readouterr().err
