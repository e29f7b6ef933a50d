from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from fakes.measured import rows

from harness.cli import main
from harness.measure.csvfile import append


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    for day, (board, count) in enumerate((("qemu-m4", 9000), ("qemu-m4", 3000), ("qemu-m3", 4500))):
        known = {"emulated": True, "instructions_p50": count, "macs": 300, "board": board}
        made = rows(f"r{day}", [100.0], time_utc=f"2026-11-0{day + 1}T02:00:00Z", **known)
        append(tmp_path / board / "latency.csv", made)
    return tmp_path


def test_the_newest_runs_of_a_folder_are_one_table(measured: Path, capsys) -> None:
    assert main(["cores", str(measured)]) == 0
    told = capsys.readouterr().out
    assert [line.split()[:4] for line in told.splitlines() if line.startswith("  qemu")] == [
        ["qemu-m4", "3000", "10.00", "1.000"],
        ["qemu-m3", "4500", "15.00", "1.500"],
    ]


def test_the_csv_may_lie_among_what_is_read(measured: Path, capsys) -> None:
    assert main(["cores", str(measured), "--format", "csv"]) == 0
    made = capsys.readouterr().out
    assert [row["ratio"] for row in csv.DictReader(io.StringIO(made))] == ["1", "1.5"]
    (measured / "cores.csv").write_text(made)
    assert main(["cores", str(measured), "--format", "csv"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == (made, "")


def test_what_a_file_says_of_names_cannot_act_on_the_terminal(tmp_path: Path, capsys) -> None:
    named = {"emulated": True, "instructions_p50": 7, "board": "a\x1b[2J;b", "model": "::error::x"}
    append(tmp_path / "latency.csv", rows("r", [1.0], **named))
    assert main(["cores", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "[2J;b" in told and "\x1b" not in told and "::error::" not in told


@pytest.mark.parametrize("known", [{}, {"emulated": True}])
def test_a_file_without_counts_says_what_to_measure(tmp_path: Path, known, capsys) -> None:
    append(tmp_path / "latency.csv", rows("r", [1.0], **known))
    assert main(["cores", str(tmp_path)]) == 2
    assert "hil bench --board all-emulated" in capsys.readouterr().err


def test_commands_of_one_board_refuse_all_emulated(capsys) -> None:
    assert main(["build", "--board", "all-emulated"]) == 2
    told = capsys.readouterr().err
    assert "this command takes one board, all-emulated is several" in told
