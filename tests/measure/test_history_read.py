from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from fakes.measured import rows
from fakes.nights import emulated_board, layer_rows, real_board

from harness.errors import ReportError
from harness.measure import history_read
from harness.measure.csvfile import append
from harness.measure.history import Move
from harness.measure.history_read import History, Wanted, read_history
from harness.measure.tables import EvaluationRow


def night(day: int) -> str:
    return f"2026-11-{day:02}T02:00:00Z"


def write(folder: Path, day: int, run: str, count: int = 2967, **changes) -> Path:
    known = {"time_utc": night(day), "instructions_p50": count, "emulated": True} | changes
    append(folder / str(day) / "latency.csv", rows(run, [100.0], **known))
    return folder


def changes(history: History) -> list[tuple[str, str, str]]:
    return [
        (figure.kind.name, change.good.run, change.bad.run)
        for subject in history.subjects
        for figure in subject.figures
        for change in figure.changes
    ]


def test_nights_of_a_folder_are_put_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, 3, "c", 3000)
    write(tmp_path, 1, "a", flash_bytes=10)
    write(tmp_path, 2, "b", flash_bytes=12, mismatches=0)
    history = read_history(tmp_path, Wanted())
    assert changes(history) == [("latency", "b", "c"), ("flash", "a", "b")]
    (subject,) = history.subjects
    assert (subject.runs, subject.first_utc, subject.last_utc) == (3, night(1), night(3))


@pytest.mark.parametrize(
    "asked",
    [{"board": "nano"}, {"model": "sine"}, {"model": "sine_int8"}, {"dtype": "int8"}],
)
def test_only_what_is_asked_for(tmp_path: Path, asked: dict[str, str]) -> None:
    write(tmp_path, 1, "a")
    write(tmp_path, 1, "b", board="other", model="mnist", dtype="float32")
    history = read_history(tmp_path, Wanted(**asked))
    assert [subject.subject for subject in history.subjects] == [("nano", "tflm", "sine", "int8")]


def test_nothing_of_what_is_asked_for_names_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, 1, "a", board="left\u202e")
    with pytest.raises(ReportError, match="no complete run of right sine") as error:
        read_history(tmp_path, Wanted(board="right", model="sine"))
    assert "board: left\ufffd\nruntime: tflm" in str(error.value)


def test_counts_and_times_of_one_board_are_two_figures(tmp_path: Path) -> None:
    write(tmp_path, 1, "a")
    write(tmp_path, 2, "b", instructions_p50=None)
    (subject,) = read_history(tmp_path, Wanted()).subjects
    assert [figure.kind.unit for figure in subject.figures] == ["instructions", "us"]


def test_the_stack_is_followed_where_no_interrupt_can_deepen_it(tmp_path: Path) -> None:
    for day, board, emulated in ((1, "real", False), (1, "qemu", True)):
        write(tmp_path, day, f"{board}1", board=board, emulated=emulated, stack_used_bytes=10)
    subjects = read_history(tmp_path, Wanted()).subjects
    assert {
        subject.subject[0]: [figure.kind.name for figure in subject.figures] for subject in subjects
    } == {"qemu": ["latency", "stack"], "real": ["latency"]}


def test_a_run_that_was_cut_short_or_has_no_time_is_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, 1, "a")
    append(tmp_path / "2" / "latency.csv", rows("cut", time_utc=night(2))[:-1])
    write(tmp_path, 3, "odd", time_utc="zzz")
    history = read_history(tmp_path, Wanted())
    assert history.subjects[0].runs == 1
    assert any("cut on nano was never finished" in note for note in history.notes)
    assert "2 rows of latency without a time left out" in history.notes


def test_a_night_found_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path, 1, "a")
    write(tmp_path / "copy", 1, "a")
    history = read_history(tmp_path, Wanted())
    assert history.subjects[0].runs == 1
    assert "2 rows found twice, counted once" in history.notes


def test_foreign_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, 1, "a")
    (tmp_path / "foreign.csv").write_text("a,b\n1,2\n")
    (tmp_path / "1" / "evaluation.csv").write_bytes(b"\xff\x00,\n" * 9)
    with (tmp_path / "1" / "latency.csv").open("a") as file:
        file.write("torn,")
    notes = "\n".join(read_history(tmp_path, Wanted()).notes)
    assert "foreign.csv is no CSV of the harness" in notes and "torn" in notes


def test_of_too_many_rows_the_newest_are_looked_at(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(history_read, "MOST_ROWS", 4)
    for day in range(1, 10):
        write(tmp_path, day, f"r{day}", 3000 + day)
    history = read_history(tmp_path, Wanted())
    assert changes(history) == [("latency", "r8", "r9")]
    assert "14 rows of latency older than the newest 4 left out" in history.notes


def evaluated(day: int, value: float, data_sha256: str) -> EvaluationRow:
    blank = {item.name: None for item in fields(EvaluationRow)}
    names = ("model_sha256", "runtime_version", "inputs")
    counts = ("data_samples", "resumed_at", "recoveries", "retries", "seconds")
    known = {
        **dict.fromkeys(names, "x"),
        **dict.fromkeys(counts, 0),
        **{"run": f"e{day}", "time_utc": night(day), "value": value, "data_sha256": data_sha256},
        **{"data": "set", "board": "nano", "runtime": "tflm", "model": "m", "dtype": "int8"},
        **{"metric": "accuracy", "samples": 4},
    }
    return EvaluationRow(**{**blank, **known})  # type: ignore[arg-type]


def test_evaluations_of_the_same_data_are_compared(tmp_path: Path) -> None:
    values = [(1, 0.9, "aa"), (2, 0.8, "aa"), (3, 0.7, "bb"), (4, float("nan"), "bb")]
    append(tmp_path / "evaluation.csv", [evaluated(*value) for value in values])
    history = read_history(tmp_path, Wanted())
    assert changes(history) == [("accuracy on set", "e1", "e2")]
    (figure,) = history.subjects[0].figures
    assert len(figure.points) == 3
    assert [split.reason for split in figure.splits] == [
        "other data: bb, 4 samples as x, before aa, 4 samples as x"
    ]


def test_operators_are_followed_when_asked_for(tmp_path: Path) -> None:
    for day, count in ((1, 500), (2, 520)):
        row = replace(
            emulated_board(0)[-1], time_utc=night(day), git_commit=f"c{day}", run=f"r{day}"
        )
        session = replace(row, scope="session", session_number=1)
        append(tmp_path / str(day) / "latency.csv", [session, replace(row, sessions=1)])
        layers = [replace(layer, run=f"r{day}") for layer in layer_rows(row)]
        layers[1] = replace(layers[1], instructions_p50=count)
        append(tmp_path / str(day) / "layers.csv", layers)
    assert changes(read_history(tmp_path, Wanted())) == []
    (subject,) = read_history(tmp_path, Wanted(layers=True)).subjects
    (operator,) = [figure for figure in subject.figures if figure.changes]
    assert operator.kind.name == "operator 1 FULLY_CONNECTED relu2"
    (change,) = operator.changes
    assert (change.good.commit, change.bad.commit, change.ratio) == ("c1", "c2", 1.04)


@pytest.mark.parametrize(
    "figures, step, move",
    (
        (("40 40.1 39.9 40 40.2", "44 44.1 43.9 44.2 44"), None, Move.MORE),
        (("40 40.1 39.9 40 40.2", "40.1 40 40 39.9 40.1"), None, Move.SAME),
        (("40 40.1 39.9 40 40.2", "44"), None, Move.CANNOT_TELL),
        (("40 40.1 39.9 40 40.2", ""), None, Move.CANNOT_TELL),
        (("0.5 0.5 0.5 0.5 0.5", "0.9 0.9 0.9 0.9 0.9"), 1.0, Move.CANNOT_TELL),
    ),
)
def test_operators_in_us_are_judged_by_the_sessions_of_their_profiles(
    tmp_path: Path, figures: tuple[str, str], step: float | None, move: Move
) -> None:
    for day, text in enumerate(figures, 1):
        row = replace(real_board(0)[-1], time_utc=night(day), run=f"r{day}")
        layers = [replace(layer, run=f"r{day}", timer_step_us=step) for layer in layer_rows(row)]
        layers[1] = replace(layers[1], session_p50_us=text)
        append(tmp_path / str(day) / "layers.csv", layers)
    (subject,) = read_history(tmp_path, Wanted(layers=True)).subjects
    (operator,) = [figure for figure in subject.figures if "relu2" in figure.kind.name]
    assert operator.points[1].move is move
    if move is Move.MORE:
        assert operator.points[1].point.value == 44
