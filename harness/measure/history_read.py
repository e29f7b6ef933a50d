"""What a folder of CSV files holds of the past: every figure of every board and model by time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from harness.errors import ReportError
from harness.measure.frames import DataFrame, Tables, records_of
from harness.measure.gate import Sessions
from harness.measure.history import (
    FigureHistory,
    FigureKind,
    Point,
    Setup,
    figure_history,
    setup_of,
)
from harness.measure.operators import operator_sessions
from harness.measure.runs import Key, Run, Subject, complete, identity, runs_of
from harness.measure.tables import EvaluationRow, LatencyRow, LayerRow, moment
from harness.text import counted, listed, printable

MOST_ROWS = 100_000
"""Of a table: the newest that are looked at, some nights' of ten boards and models for years."""

INSTRUCTIONS = FigureKind(name="latency", unit="instructions", more="slower", less="faster")
LATENCY = FigureKind(name="latency", unit="us", more="slower", less="faster")
_STACK = "stack_used_bytes"
_SIZES = {
    "flash_bytes": FigureKind(name="flash", unit="bytes"),
    "ram_bytes": FigureKind(name="RAM", unit="bytes"),
    "arena_used_bytes": FigureKind(name="arena", unit="bytes"),
    _STACK: FigureKind(name="stack", unit="bytes"),
    "mismatches": FigureKind(name="mismatches", unit="inputs", more="more", less="fewer"),
    "accuracy": FigureKind(name="accuracy", unit="share", more="higher", less="lower"),
}
"""Figures that are the same in every session of a run, by the column of latency.csv.

How deep the stack was is one on emulated boards only: on others an interrupt may come at its depth.
"""

_SHOWN = 8
"""Boards, models and so on that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose history is asked for; what is None is not asked about. `layers`: also operators."""

    board: str | None = None
    runtime: str | None = None
    model: str | None = None
    dtype: str | None = None
    layers: bool = False

    def __str__(self) -> str:
        words = (self.board, self.runtime, self.model, self.dtype)
        return " ".join(printable(word, 60) for word in words if word) or "anything"

    def of(self, frame: DataFrame) -> DataFrame:
        """The rows of a table that are asked for; a model also by its name with the dtype."""
        kept = frame
        for column in ("board", "runtime", "dtype"):
            if (name := getattr(self, column)) is not None:
                kept = kept[kept[column] == name]
        if self.model is not None:
            full = kept["model"] + "_" + kept["dtype"]
            kept = kept[(kept["model"] == self.model) | (full == self.model)]
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectHistory:
    """Every figure of one board, runtime, model and dtype, and when it was measured."""

    subject: Subject
    runs: int
    first_utc: str
    last_utc: str
    figures: tuple[FigureHistory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was asked for of `source`; `notes` say what was left out, one line each."""

    source: str
    subjects: tuple[SubjectHistory, ...]
    notes: tuple[str, ...]


def read_history(source: Path, wanted: Wanted) -> History:
    """The history of a `latency.csv` with the tables beside it, or of every CSV under a folder.

    Raises:
        ReportError: nothing there, or nothing of what is asked for; it says what there is.
    """
    files, seen = Tables(), _Seen()
    files.add_source(source, ("latency", "evaluation", *(("layers",) if wanted.layers else ())))
    rows = _newest_rows(files, "latency", wanted, seen)
    runs, notes = complete(runs_of(records_of(rows, LatencyRow)))
    points: dict[Subject, dict[FigureKind, list[Point]]] = {}
    for run in sorted(runs, key=lambda run: run.row.time_utc):
        for kind, point in _points_of(run):
            points.setdefault(run.subject, {}).setdefault(kind, []).append(point)
    evaluated = records_of(_newest_rows(files, "evaluation", wanted, seen), EvaluationRow)
    _add(points, _evaluation_points(evaluated))
    if wanted.layers:
        layers = records_of(_newest_rows(files, "layers", wanted, seen), LayerRow)
        _add(points, _layer_points(layers, {identity(run.row): run for run in runs}))
    if not points:
        raise ReportError(
            f"{source} has no complete run of {wanted}",
            hint="\n".join([*seen.lines(), *files.notes, *notes]),
        )
    return History(
        source=str(source),
        subjects=tuple(_subject(name, points[name]) for name in sorted(points)),
        notes=(*files.notes, *notes),
    )


def _subject(subject: Subject, points: Mapping[FigureKind, list[Point]]) -> SubjectHistory:
    times = sorted(point.time_utc for items in points.values() for point in items)
    return SubjectHistory(
        subject=subject,
        runs=len({point.run for items in points.values() for point in items}),
        first_utc=times[0],
        last_utc=times[-1],
        figures=tuple(figure_history(kind, items) for kind, items in points.items()),
    )


class _Seen:
    """Which boards and so on the files have, whatever is asked for."""

    _COLUMNS = ("board", "runtime", "model", "dtype")

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {column: {} for column in self._COLUMNS}

    def add(self, frame: DataFrame) -> None:
        for column, names in self._names.items():
            if len(names) <= _SHOWN:
                names.update(dict.fromkeys(frame[column].unique()[: 2 * _SHOWN].tolist()))

    def lines(self) -> list[str]:
        """What there is, to be said where nothing was found."""
        return [
            f"{column}: {listed([printable(name, 60) for name in sorted(names)], _SHOWN)}"
            for column, names in self._names.items()
            if names
        ]


def _newest_rows(files: Tables, table: str, wanted: Wanted, seen: _Seen) -> DataFrame:
    """The newest MOST_ROWS rows that are asked for, each once, whatever the size of the files."""
    import pandas as pd

    kept: list[DataFrame] = []
    cut = timeless = twice = 0

    def newest() -> None:
        nonlocal kept, cut, twice
        frame = pd.concat(kept)
        double = frame.duplicated().to_numpy()
        frame = frame[~double].sort_values("time_utc", kind="stable")
        twice += int(double.sum())
        cut += max(0, len(frame) - MOST_ROWS)
        kept = [frame.iloc[-MOST_ROWS:]]

    for frame in files.frames(table):
        seen.add(frame)
        chosen = wanted.of(frame)
        known = chosen["time_utc"].map(_is_time).astype(bool).to_numpy()
        timeless += int((~known).sum())
        kept.append(chosen[known])
        if sum(map(len, kept)) > 2 * MOST_ROWS:
            newest()
    if not kept:
        return files.frame(table)  # Of no file: no rows, but columns.
    newest()
    if twice:
        files.note_twice(table, twice)
    if cut:
        files.notes.append(
            f"{counted(cut, 'row')} of {table} older than the newest {MOST_ROWS} left out"
        )
    if timeless:
        files.notes.append(f"{counted(timeless, 'row')} of {table} without a time left out")
    return kept[0]


def _is_time(text: str) -> bool:
    return moment(text) is not None


def _points_of(run: Run) -> Iterable[tuple[FigureKind, Point]]:
    """The figures of a run."""
    row, figures = run.row, run.figures
    setup = setup_of(run.key, row.compiler)
    yield (
        INSTRUCTIONS if figures.exact else LATENCY,
        _point(row, run.id, figures.median, setup, figures),
    )
    for column, kind in _SIZES.items():
        value = getattr(row, column)
        if value is not None and (column != _STACK or row.emulated):
            yield kind, _point(row, run.id, float(value), setup)


def _point(
    row: LatencyRow | LayerRow | EvaluationRow,
    run: str,
    value: float,
    setup: Setup,
    sessions: Sessions | None = None,
) -> Point:
    return Point(
        time_utc=row.time_utc,
        run=run,
        commit=getattr(row, "git_commit", None),
        value=value,
        setup=setup,
        model_sha256=row.model_sha256,
        runtime_version=row.runtime_version,
        sessions=sessions,
    )


_Named = tuple[Subject, FigureKind, Point]


def _add(points: dict[Subject, dict[FigureKind, list[Point]]], named: Iterable[_Named]) -> None:
    for subject, kind, point in named:
        points.setdefault(subject, {}).setdefault(kind, []).append(point)


def _evaluation_points(rows: Sequence[EvaluationRow]) -> Iterable[_Named]:
    """Metrics of data sets, in the order of time; the same data and samples are compared."""
    for row in sorted(rows, key=lambda row: row.time_utc):
        if row.metric is None or row.value is None or not isfinite(row.value):
            continue
        of = f"{row.data}, output {row.output}" if row.output else row.data
        unit = "share" if row.metric == "accuracy" else ""
        kind = FigureKind(name=f"{row.metric} on {of}", unit=unit, more="higher", less="lower")
        data = f"{row.data_sha256[:8]}, {row.samples} samples as {row.inputs}"
        yield (
            _subject_of(row),
            kind,
            _point(row, row.run, row.value, setup_of(_key(row), data=data)),
        )


def _layer_points(
    rows: Sequence[LayerRow], runs: Mapping[tuple[str, ...], Run]
) -> Iterable[_Named]:
    """Operators, in the order of time and then of the model.

    A profile's own run, if it is here, says its flags, compiler and commit.
    """
    for row in sorted(rows, key=lambda row: (row.time_utc, row.index)):
        named = f"operator {row.index} {row.operator} {row.name}".rstrip()
        run = runs.get((row.run, *_subject_of(row)))
        setup = setup_of(_key(row)) if run is None else setup_of(run.key, run.row.compiler)
        sessions = operator_sessions(row)
        value = row.p50_us if row.instructions_p50 is None else float(row.instructions_p50)
        if sessions is not None and sessions.figures:
            value = sessions.median
        exact = sessions is None
        kind = replace(INSTRUCTIONS if exact else LATENCY, name=named)
        point = _point(row, row.run, value, setup, sessions)
        commit = None if run is None else run.row.git_commit
        yield _subject_of(row), kind, replace(point, commit=commit)


def _subject_of(row: LayerRow | EvaluationRow) -> Subject:
    return row.board, row.runtime, row.model, row.dtype


def _key(row: LayerRow | EvaluationRow) -> Key:
    """A key of what the row says; evaluations have no clock."""
    return Key(
        board=row.board,
        emulated=bool(row.emulated),
        clock_hz=row.clock_hz if isinstance(row, LayerRow) else 0,
        runtime=row.runtime,
        runtime_version=row.runtime_version,
        flags=None,
        model=row.model,
        dtype=row.dtype,
        model_sha256=row.model_sha256,
        host=None,
    )
