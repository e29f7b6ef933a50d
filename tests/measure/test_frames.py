"""CSV files as tables of pandas: right types, nothing guessed, nothing unreadable left unsaid."""

from __future__ import annotations

import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakes import described, nights
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ReportError
from harness.measure.csvfile import append, columns, content_of
from harness.measure.frames import Loaded, load_frame, read_rows
from harness.measure.tables import FunctionRow, LatencyRow, SampleRow

ROOT = Path(__file__).parents[2]
SAMPLE = SampleRow(
    run="000000000001",
    session_number=1,
    board="NA",
    runtime="null",
    model="1e5",
    dtype="int8",
    index=0,
    ticks=64,
    us=1.0,
    instructions=None,
)


def test_a_folder_of_runs_is_one_table_of_the_right_types(tmp_path: Path) -> None:
    frame = load_frame(nights.write_week(tmp_path))
    assert tuple(frame.columns) == columns(LatencyRow)
    assert len(frame) == 7 * 2 * (nights.SESSIONS + 1) and list(frame.index) == [*range(len(frame))]
    expected = {"str": "string", "int": "Int64", "bool": "boolean", "float": "float64"}
    types = {item.name: expected[str(item.type).split(" ")[0]] for item in fields(LatencyRow)}
    types["time_utc"] = "datetime64[ns, UTC]"
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == types
    newest = frame.query("scope == 'run'").groupby("board")["time_utc"].max()
    assert set(newest) == {pd.Timestamp("2026-11-20T02:00:00Z")}


def test_absent_values_are_na(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", [described.row(), described.row(n=3, p50_us=1.5)])
    frame = load_frame(tmp_path)
    for name in ("n", "p50_us", "git_commit"):
        assert frame[name].isna().tolist() == [True, name == "git_commit"]
    assert (frame["n"].sum(), frame["p50_us"].mean()) == (3, 1.5)


@pytest.mark.parametrize("number", ["9" * 18, "9" * 19, "9" * 20, "9" * 40, "9" * 400])
def test_a_count_beyond_64_bits_costs_its_own_line_only(tmp_path: Path, number: str) -> None:
    (*_, row) = nights.emulated_board(1)
    functions, _ = nights.counted_rows(row)
    path = tmp_path / "functions.csv"
    append(path, functions)
    path.write_text(path.read_text().replace(",1920,", f",{number},", 1))
    loaded = read_rows(path, FunctionRow)
    fits = int(number) < 2**63
    assert len(loaded.rows) == len(functions) - (not fits)
    assert bool(loaded.notes) != fits


def test_another_table_is_read_by_its_name(tmp_path: Path) -> None:
    nights.write(tmp_path / "latency.csv", nights.real_board(1))
    for source in (tmp_path, tmp_path / "samples.csv"):
        samples = load_frame(source, "samples")
        assert samples.groupby("session_number").size().tolist() == [nights.INVOKES] * 3
    assert set(load_frame(str(tmp_path), "memory")["owner"]) == {"model", "rest"}


def test_text_that_looks_like_a_number_or_like_nothing_stays_text(tmp_path: Path) -> None:
    append(tmp_path / "samples.csv", [SAMPLE, replace(SAMPLE, board="nan", model="")])
    frame = load_frame(tmp_path / "samples.csv", "samples")
    assert frame["run"].tolist() == ["000000000001"] * 2
    assert frame["board"].tolist() == ["NA", "nan"] and frame["runtime"].tolist() == ["null"] * 2
    assert frame["model"].tolist() == ["1e5", ""]


def test_time_that_is_none_is_na(tmp_path: Path) -> None:
    times = ["2026-11-21T06:00:00Z", "yesterday", "9999-01-01T00:00:00Z", "2026-11-21T06:00:00"]
    append(tmp_path / "latency.csv", [described.row(time_utc=time) for time in times])
    found = load_frame(tmp_path)["time_utc"]
    assert found.isna().tolist() == [False, True, True, False] and found[0] == found[3]


def test_what_is_left_out_is_a_warning(tmp_path: Path) -> None:
    csv = tmp_path / "latency.csv"
    append(csv, [described.row(session="a", p50_us=1.0), described.row(session="b")])
    header, first, second = csv.read_text().splitlines()
    shutil.copy(csv, tmp_path / "latency.1.csv")
    bad = second.replace(",1,false,", ",one,false,")
    csv.write_text(f"{header},joules\n{first},1\n{bad},1\nshort,\n{second[:40]}")
    (tmp_path / "prices.csv").write_text("fruit,price\napple,1\n")
    with pytest.warns(UserWarning) as caught:
        assert load_frame(tmp_path)["session"].tolist() == ["a", "b"]
    assert [str(one.message).replace(f"{tmp_path}/", "") for one in caught] == [
        "prices.csv is no CSV of the harness: left out",
        "latency.csv is from a newer version: joules left out",
        "latency.csv: 3 lines are left out: line 3 (clock_hz: invalid literal for int() with base "
        f"10: 'one'), line 4 has 2 of {len(columns(LatencyRow)) + 1} cells, the last line is torn",
        "1 row found twice, counted once",
    ]
    assert {Path(one.filename).name for one in caught} == {"test_frames.py"}


def test_older_files_get_defaults_beside_newer_ones(tmp_path: Path) -> None:
    append(tmp_path / "new.csv", [described.row(scope="run", run="r1", retries=2)])
    for count in (42, 45):
        shutil.copy(ROOT / f"tests/vectors/csv/latency-{count}-columns.csv", tmp_path)
    frame = load_frame(tmp_path)
    assert frame["scope"].value_counts().to_dict() == {"session": 8, "run": 1}
    assert frame["run"].isna().sum() == 8


def test_no_such_table_is_refused(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", [described.row()])
    with pytest.raises(ReportError, match="holds no table samples"):
        load_frame(tmp_path, "samples")
    with pytest.raises(ReportError, match="no table sample, but latency, samples"):
        load_frame(tmp_path, "sample")
    with pytest.raises(ReportError, match="has no rows of SampleRow"):
        load_frame(tmp_path / "latency.csv", "samples")
    with pytest.raises(ReportError, match="cannot read"):
        load_frame(tmp_path / "none.csv")


def test_the_example_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.write_week(tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/csv.md").read_text(), re.DOTALL)
    exec(code, {})
    said = capsys.readouterr().out
    assert "instructions_p50" in said and "median" in said and "nano33ble 1 " in said


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ',=\""), max_size=9)
WHOLE = st.integers(0, 2**63 - 1)


def rows_of(kind: Any) -> Any:
    plain = {"str": TEXT, "int": WHOLE, "bool": st.booleans(), "float": st.floats(0, 1)}
    drawn = {}
    for item in fields(kind):
        name, _, optional = str(item.type).partition(" ")
        drawn[item.name] = st.none() | plain[name] if optional else plain[name]
    return st.lists(st.builds(kind, **drawn), max_size=3)


@settings(max_examples=40)  # Of up to 270 cells each.
@given(st.one_of(rows_of(LatencyRow), rows_of(SampleRow)))
def test_every_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    kind = type(rows[0]) if rows else SampleRow
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(content_of(rows, kind))
    loaded = read_rows(path, kind)
    # Six digits of a number and no empty text where none may be meant are what a cell can hold.
    assert content_of(loaded.rows, kind) == content_of(rows, kind)
    assert loaded.notes == () and len(loaded.rows) == len(rows)


@pytest.mark.parametrize(
    "line, why",
    [
        ('"000000000001,1,b,tflm,sine,int8,1,64,1,', "has 1 of 10 cells"),
        ("", "has 0 of 10 cells"),
        (f"{'9' * 200_000},1,b,tflm,sine,int8,1,64,1,", "has more than 100000 characters"),
        (f'"{"9" * 200_000}",1,b,tflm,sine,int8,1,64,1,', "has more than 100000 characters"),
        ("r,1,b,tflm,sine,int8,1,9223372036854775808,1,", "(ticks: 9223372036854775808 has"),
        (f"r,1,b,tflm,sine,int8,1,{'x' * 9000},1,", "(ticks: invalid literal"),
        ("r,,b,tflm,sine,int8,1,64,1,", "(session_number: is empty)"),
    ],
)
def test_a_bad_line_costs_itself_only(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "samples.csv"
    append(path, [SAMPLE])
    header, row = path.read_text().splitlines()
    path.write_text("\n".join([header, row, line, row]) + "\n")
    loaded = read_rows(path, SampleRow)
    assert loaded.rows == (SAMPLE, SAMPLE)
    assert f"1 line is left out: line 3 {why}" in loaded.notes[0] and len(loaded.notes[0]) < 500


def test_quotes_inside_a_cell_are_text(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    append(path, [SAMPLE])
    path.write_text(path.read_text().replace(",NA,", ',5" disk,'))
    assert read_rows(path, SampleRow) == Loaded(rows=(replace(SAMPLE, board='5" disk'),))


@pytest.mark.parametrize("content", [b"\xff\xfe\0t\0", b"\x80" * 300_000, b",\n" * 9, b'"\n"\n'])
def test_bytes_that_are_no_text_are_refused_or_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "strange.csv").write_bytes(content)
    append(tmp_path / "samples.csv", [SAMPLE])
    with (tmp_path / "samples.csv").open("ab") as file:
        file.write(content)
    with pytest.warns(UserWarning) as caught:
        frame = load_frame(tmp_path, "samples")
    assert "strange.csv is no CSV of the harness" in str(caught[0].message)
    assert len(caught) == 2 and frame["run"].tolist() == [SAMPLE.run]


@pytest.mark.parametrize(
    "change, why",
    [
        ((b",NA,", b",N\0A,"), "line 2 has a NUL byte"),
        ((b",NA,", b",N\xe4,"), "line 2 is no UTF-8 text: byte 0xe4"),
        ((b",NA,", b",N\rA,"), "line 2 is no line of a CSV: "),
        ((b",NA,", b',"N' + b"A" * 140_000), "line 2 has more than 100000 characters"),
        ((b",64,1,", b",64,nan,"), "line 2 (us: nan is no finite number)"),
        ((b",64,1,", b",64,inf,"), "line 2 (us: inf is no finite number)"),
        ((b",64,1,", b",64,1e300,"), "line 2 (us: 1e300 is above what can be)"),
        ((b",64,1,", b",64,-4294964.0,"), "line 2 (us: -4294964.0 is below what can be)"),
        ((b",64,1,", b",-64,1,"), "line 2 (ticks: -64 is below 0)"),
        ((b",64,1,", b",6_4,1,"), "line 2 (ticks: '6_4' is no number)"),
    ],
)
def test_a_row_that_cannot_be_costs_itself_only(
    tmp_path: Path, change: tuple[bytes, bytes], why: str
) -> None:
    path = tmp_path / "samples.csv"
    append(path, [SAMPLE])
    header, row = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([header, row.replace(*change), row, b""]))
    loaded = read_rows(path, SampleRow)
    assert loaded.rows == (SAMPLE,)
    (note,) = loaded.notes
    assert note.startswith(f"{path}: 1 line is left out: {why}") and len(note) < 500


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_that_another_program_saved_is_read_or_refused(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "samples.csv"
    append(path, [SAMPLE])
    text = path.read_text().rstrip("\n")
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    if encoding == "utf-8-sig":
        assert read_rows(path, SampleRow) == Loaded(rows=(SAMPLE,))
    else:
        with pytest.raises(ReportError, match=r"UTF-16|has no rows of SampleRow"):
            read_rows(path, SampleRow)


def test_blocks_of_a_file_make_up_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "samples.csv"
    rows = [replace(SAMPLE, index=index, us=float(index)) for index in range(50)]
    append(path, rows)
    path.write_text(path.read_text().replace(",7,64,7,", ",7,x,7,") + "torn")
    for size in (1, 90, 1000):
        monkeypatch.setattr("harness.measure.lines.BLOCK_BYTES", size)
        loaded = read_rows(path, SampleRow)
        assert loaded.rows == tuple(row for row in rows if row.index != 7)
        assert "2 lines are left out: line 9 (ticks: " in loaded.notes[0]
        assert loaded.notes[0].endswith(", the last line is torn")
