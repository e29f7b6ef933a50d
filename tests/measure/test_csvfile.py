from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import described

from harness.errors import NotKept, ReportError
from harness.measure.csvfile import append, beside, cell, columns, latency_beside
from harness.measure.frames import Loaded, read_rows
from harness.measure.place import check_place
from harness.measure.tables import LatencyRow

ROOT = Path(__file__).parents[2]

ROW = described.row(emulated=True)
COLUMNS = columns(LatencyRow)


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
    append(path, [row("a")])
    append(path, [row("b"), row("c")])
    assert sessions(path) == ["a", "b", "c"]
    assert path.read_text().count("time_utc") == 1


def test_absent_values_are_empty_cells(tmp_path: Path) -> None:
    append(tmp_path / "l.csv", [ROW])
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
        append(path, [row("new")])
    assert sessions(path) == ["new"]
    for number in (1, 2):
        aside = tmp_path / f"latency.{number}.csv"
        assert aside.read_text() == f"other,columns\n{number},2\n"


@pytest.mark.parametrize("torn", ["2026-11-21T06:00:01Z,,s1,virt", "x"])
def test_torn_last_line_is_cut(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a")])
    with path.open("a") as file:
        file.write(torn)
    append(path, [row("b")])
    assert sessions(path) == ["a", "b"]


@pytest.mark.parametrize("left", ["", "time_utc,git_com"])
def test_empty_file_or_torn_header_begins_afresh(tmp_path: Path, left: str) -> None:
    path = tmp_path / "latency.csv"
    path.write_text(left)
    append(path, [row("a")])
    assert sessions(path) == ["a"]
    assert not (tmp_path / "latency.1.csv").exists()


WRITER = f"""
import sys
from dataclasses import replace
from pathlib import Path
from harness.measure.csvfile import append
from harness.measure.tables import LatencyRow

row = {ROW!r}
for index in range(int(sys.argv[3])):
    append(Path(sys.argv[1]), [replace(row, session=sys.argv[2] + str(index))])
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
    append(path, [row("after")])
    *survived, last = sessions(path)
    assert last == "after" and len(survived) >= reported
    assert survived == [f"a{i}" for i in range(len(survived))]


TRICKY = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''@x", "'quoted'", "a,b", 'say "x"', "", "é"]


@pytest.mark.parametrize("text", TRICKY)
def test_text_comes_back_as_it_was_and_is_no_formula(tmp_path: Path, text: str) -> None:
    path = tmp_path / "latency.csv"
    append(path, [described.row(mcu=text, clock_ppm=-1.5)])
    with path.open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert not found["mcu"].startswith(("=", "+", "-", "@"))
    assert found["clock_ppm"] == "-1.5"
    assert read_rows(path, LatencyRow).rows == (described.row(mcu=text, clock_ppm=-1.5),)


def test_what_cannot_be_printed_tears_no_row(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [described.row(mcu="a\nb\r\tc\0")])
    (found,) = read_rows(path, LatencyRow).rows
    assert found.mcu == "a?b??c?".replace("?", "\N{REPLACEMENT CHARACTER}")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    full = described.row(
        git_commit="abc", flash_bytes=26208, p50_us=12.5, n=1000, emulated=True, scope="run"
    )
    append(path, [ROW, full])
    assert read_rows(path, LatencyRow) == Loaded(rows=(ROW, full))


def without(path: Path, *names: str) -> None:
    """Rewrite a CSV as a version would have that lacked some columns."""
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    keep = [index for index, name in enumerate(header) if name not in names]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [line[index] for index in keep] for line in (header, *lines)
        )


def test_an_older_files_missing_columns_get_defaults(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [described.row(scope="run", p50_us=2.0)])
    without(path, "scope", "run", "flags")
    assert read_rows(path, LatencyRow) == Loaded(rows=(described.row(p50_us=2.0),))


def test_a_newer_files_columns_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [ROW])
    header, line = path.read_text().splitlines()
    path.write_text(f"{header},joules\n{line},0.1\n")
    loaded = read_rows(path, LatencyRow)
    assert loaded.rows == (ROW,)
    assert loaded.notes == (f"{path} is from a newer version: joules left out",)


def test_lines_that_cannot_be_read_are_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a"), row("b"), row("c"), row("d")])
    lines = path.read_text().splitlines()
    lines[2] = lines[2].partition(",")[0]
    lines[3] = lines[3].replace(",1,false,", ",one,false,")
    path.write_text("\n".join(lines))
    loaded = read_rows(path, LatencyRow)
    assert [item.session for item in loaded.rows] == ["a", "d"]
    assert loaded.notes == (
        f"{path}: 2 lines are left out: line 3 has 1 of {len(COLUMNS)} cells, line 4 (clock_hz: "
        "invalid literal for int() with base 10: 'one')",
    )


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\0\0\0", "time_utc"])
def test_a_file_that_is_none_of_ours_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(ReportError, match="other.csv has no rows of LatencyRow: it is without"):
        read_rows(path, LatencyRow)


def test_an_absent_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot read .*none.csv: No such file"):
        read_rows(tmp_path / "none.csv", LatencyRow)


def test_other_tables_are_beside_latency_csv() -> None:
    assert beside(Path("r/latency.csv"), "samples") == Path("r/samples.csv")
    assert beside(Path("r/mine.csv"), "samples") == Path("r/mine.samples.csv")
    for path in (Path("r/latency.csv"), Path("r/mine.csv")):
        assert latency_beside(beside(path, "layers"), "layers") == path
        assert latency_beside(path, "layers") == path


@pytest.mark.parametrize("count", [42, 45])
def test_real_files_of_older_versions_are_read_whole(count: int) -> None:
    loaded = read_rows(ROOT / f"tests/vectors/csv/latency-{count}-columns.csv", LatencyRow)
    assert loaded.notes == () and len(loaded.rows) == 4
    assert {item.board for item in loaded.rows} <= {"qemu-m4", "virtual"}
    assert all(item.n == 1000 and item.run is None for item in loaded.rows)
    assert {item.scope for item in loaded.rows} == {"session"}


@pytest.mark.parametrize(
    "content",
    [
        "notes on a bench, one line without an end",
        "fruit,price\napple,1",
        "\ufefffruit;price\r\napple;1\r\n",
        "time_utc but no such header\nlast line",
        "x" * 500_000,
    ],
)
def test_a_foreign_file_loses_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content.encode())
    with pytest.raises(ReportError, match="notes.txt is no latency CSV of the harness: it begins"):
        check_place(path)
    assert path.read_bytes() == content.encode()
    append(path, [row("a")])
    assert (tmp_path / "notes.1.txt").read_bytes() == content.encode()
    assert sessions(path) == ["a"]


@pytest.mark.parametrize("end", ["", "\r\n", "\n"])
def test_a_file_saved_by_an_editor_keeps_its_last_row(tmp_path: Path, end: str) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a"), row("b")])
    text = path.read_text().rstrip("\n")
    path.write_bytes(("\ufeff" + (text.replace("\n", "\r\n") if "\r" in end else text)).encode())
    with path.open("a", newline="") as file:
        file.write(end)
    append(path, [row("c")])
    assert [item.session for item in read_rows(path, LatencyRow).rows] == ["a", "b", "c"]
    assert read_rows(path, LatencyRow).notes == ()


def test_a_last_line_of_too_many_cells_is_no_torn_row(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a")])
    with path.open("a") as file:
        file.write("," * 200 + "what is this")
    append(path, [row("b")])
    assert "what is this\n" in path.read_text()
    assert [item.session for item in read_rows(path, LatencyRow).rows] == ["a", "b"]


def test_a_file_of_older_columns_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a")])
    without(path, "scope", "run", "flags")
    check_place(path)
    path.write_text("time_utc,git_c")
    check_place(path)


@pytest.mark.parametrize("name", ["latency.csv", "samples.csv"])
def test_a_folder_or_a_file_of_another_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ReportError, match=f"{name} is a folder: rows of"):
        check_place(tmp_path / "latency.csv")
    with pytest.raises(NotKept, match=f"cannot write .*{name}: "):
        append(tmp_path / name, [row("a")])
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="file is no folder"):
        check_place(tmp_path / "file" / "latency.csv")
    append(tmp_path / "layers.csv", [row("a")])
    (tmp_path / name).rmdir()
    with pytest.raises(ReportError, match="layers.csv is no layers CSV of the harness"):
        check_place(tmp_path / "latency.csv")


FULL = f"""
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from harness.errors import NotKept
from harness.measure.csvfile import append
from harness.measure.tables import LatencyRow
path = Path(sys.argv[1])
append(path, [{ROW!r}])
before = path.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, -1))
try:
    append(path, [{ROW!r}] * 9)
except NotKept as error:
    assert path.read_bytes() == before
    print(error)
"""


def test_a_file_that_cannot_grow_is_left_as_it_was(tmp_path: Path) -> None:
    # The limit on a file's size fails in the middle of a write, as a full disk does.
    command = [sys.executable, "-c", FULL, str(tmp_path / "latency.csv")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert f"cannot write {tmp_path / 'latency.csv'}: File too large" in done.stdout


def test_appending_takes_no_more_memory_for_a_larger_file(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    append(path, [row("a")])
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # Without a byte on the disk.
    append(path, [row("b")])
    assert path.stat().st_size > 1 << 33
