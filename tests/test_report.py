from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import described
import pytest

from harness.report import COLUMNS, LatencyRow, append_rows, cell, table

ROOT = Path(__file__).parent.parent

ROW = described.row(emulated=True)


def row(session: str) -> LatencyRow:
    return described.row(session=session)


def sessions(path: Path) -> list[str]:
    """Sessions of a file in which every row is whole."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert all(len(cells) == len(COLUMNS) for cells in rows)
    return [cells[COLUMNS.index("session")] for cells in rows]


def test_header_is_written_once_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "latency.csv"
    append_rows(path, [row("a")])
    append_rows(path, [row("b"), row("c")])
    assert sessions(path) == ["a", "b", "c"]
    assert path.read_text().count("time_utc") == 1


def test_absent_values_are_empty_cells(tmp_path: Path) -> None:
    append_rows(tmp_path / "l.csv", [ROW])
    with (tmp_path / "l.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert (found["p99_us"], found["git_commit"], found["flash_bytes"]) == ("", "", "")
    assert (found["mcu"], found["emulated"], found["retries"]) == (
        "host, of this machine",
        "true",
        "0",
    )


@pytest.mark.parametrize(
    "value, text",
    [(None, ""), (True, "true"), (False, "false"), (0, "0"), (25_000_000, "25000000")]
    + [(1 / 3, "0.333333"), (1234567.0, "1.23457e+06"), (0.0, "0"), ("a", "a")],
)
def test_cell_shows_six_digits_and_no_made_up_value(value: object, text: str) -> None:
    assert cell(value) == text


def test_file_of_other_columns_is_set_aside_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    for number in (1, 2):
        path.write_text(f"other,columns\n{number},2\n")
        append_rows(path, [row("new")])
    assert sessions(path) == ["new"]
    for number in (1, 2):
        aside = tmp_path / f"latency.{number}.csv"
        assert aside.read_text() == f"other,columns\n{number},2\n"


@pytest.mark.parametrize("torn", ["2026-11-21T06:00:01Z,,s1,virt", "x"])
def test_torn_last_line_is_cut(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "latency.csv"
    append_rows(path, [row("a")])
    with path.open("a") as file:
        file.write(torn)
    append_rows(path, [row("b")])
    assert sessions(path) == ["a", "b"]


@pytest.mark.parametrize("left", ["", "time_utc,git_com"])
def test_empty_file_or_torn_header_begins_afresh(tmp_path: Path, left: str) -> None:
    path = tmp_path / "latency.csv"
    path.write_text(left)
    append_rows(path, [row("a")])
    assert sessions(path) == ["a"]
    assert not (tmp_path / "latency.1.csv").exists()


WRITER = f"""
import sys
from dataclasses import replace
from pathlib import Path
from harness.report import LatencyRow, append_rows

row = {ROW!r}
for index in range(int(sys.argv[3])):
    append_rows(Path(sys.argv[1]), [replace(row, session=sys.argv[2] + str(index))])
    print(index, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_two_processes_lose_and_tear_no_row(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    writers = [start_writer(path, name, 200) for name in "ab"]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    found = sessions(path)
    for name in "ab":
        assert [item for item in found if item[0] == name] == [f"{name}{i}" for i in range(200)]
    assert len(found) == 400


@pytest.mark.parametrize("reported", [1, 7, 20])
def test_writer_killed_in_the_middle_leaves_whole_rows_only(tmp_path: Path, reported: int) -> None:
    path = tmp_path / "latency.csv"
    with start_writer(path, "a", 1_000_000) as writer:
        assert writer.stdout is not None
        for _ in range(reported):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    append_rows(path, [row("after")])
    *survived, last = sessions(path)
    assert last == "after" and len(survived) >= reported
    assert survived == [f"a{i}" for i in range(len(survived))]


def test_table_aligns_the_first_column_left_and_the_others_right() -> None:
    text = table(("board", "us"), [("virtual", "5.1"), ("q", "120.0")])
    assert text.splitlines() == ["board       us", "virtual    5.1", "q        120.0"]
    assert table(("board",), []) == "board"
