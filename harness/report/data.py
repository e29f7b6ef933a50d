"""What the CSV files hold, for a report: runs in the order of time, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ReportError
from harness.measure.frames import DataFrame, Tables, records_of
from harness.measure.runs import IDENTITY, SUBJECT, Run, Subject, identity, runs_of
from harness.measure.samples import Samples, SampleTable
from harness.measure.tables import TABLES, EvaluationRow, LatencyRow
from harness.text import counted

# Tables beside latency.csv, and the columns that order a run's rows of them. `samples` is no table
# of rows here: it may be larger than memory.
_ORDERS = {
    "outputs": ["output", "sample", "element"],
    "layers": ["index"],
    "operators": [],
    "functions": [],
    "calls": ["index"],
    "memory": [],
    "energy": [],
    "currents": [],
}
_MODEL = [*SUBJECT, "model_sha256"]
_Name = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportData:
    """Everything read of `source`. `notes` say what was left out, one line each.

    `runs` are in the order of time and have rows of latency.csv only: of their many rows in
    `tables`, which `places` finds by the run's identity, a report shows few.
    """

    source: Path
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    tables: Mapping[str, DataFrame]
    """Without rows of runs that `gather` did not choose."""
    places: Mapping[str, Mapping[_Name, Any]]
    profiles: Mapping[_Name, _Name]
    """By subject and model file which run's profile is the newest."""
    samples: Mapping[_Name, Samples]
    evaluations: tuple[EvaluationRow, ...] = ()
    """Data sets through boards: the newest of each data set, board, runtime and model."""

    @property
    def measured(self) -> tuple[Run, ...]:
        """All runs, with their rows of all tables."""
        return tuple(map(self.joined, self.runs))

    def of_runs(self, runs: Iterable[str]) -> tuple[Run, ...]:
        """Measurements of these runs."""
        return tuple(map(self.joined, those_of(self.runs, runs)))

    def newest(self) -> tuple[Run, ...]:
        """The last measurement of every subject, sorted by model, board and runtime."""
        return tuple(map(self.joined, newest_of(self.runs)))

    def history(self) -> dict[Subject, list[Run]]:
        """All runs of every subject, in the order of time, without their other tables."""
        grouped: dict[Subject, list[Run]] = {}
        for run in self.runs:
            grouped.setdefault(run.subject, []).append(run)
        return grouped

    def joined(self, run: Run) -> Run:
        """With its rows of all tables; without a profile of its own, with its model's newest."""
        names = dict.fromkeys(_ORDERS, identity(run.row))
        if names["layers"] not in self.places["layers"]:
            model = (*run.subject, run.row.model_sha256)
            names["layers"] = self.profiles.get(model, names["layers"])
        rows: dict[str, Any] = {table: self._rows(table, name) for table, name in names.items()}
        return replace(run, **rows, samples=self.samples.get(identity(run.row)))

    def _rows(self, table: str, name: _Name) -> tuple[Any, ...]:
        frame = self.tables[table].take(self.places[table].get(name, []))
        if order := _ORDERS[table]:
            frame = frame.sort_values(order, kind="stable")
        return records_of(frame, TABLES[table])


def newest_of(runs: Sequence[Run]) -> list[Run]:
    """The last of every subject, sorted by model, board and runtime."""
    last = {run.subject: run for run in runs}
    place = itemgetter(2, 3, 0, 1)
    return [last[subject] for subject in sorted(last, key=place)]


def those_of(runs: Sequence[Run], ids: Iterable[str]) -> list[Run]:
    """Those with these ids."""
    wanted = set(ids)
    return [run for run in runs if run.row.run in wanted]


def gather(
    source: Path, choose: Callable[[Sequence[Run]], Collection[Run]] | None = None
) -> ReportData:
    """Read a `latency.csv` with the tables beside it, or every CSV under a folder.

    Files set aside (`latency.1.csv`) are read too; a row found twice counts once.

    Args:
        choose: runs whose rows of all tables are to be held; every one's if None. Files may be
            larger than memory, what a page shows is not.

    Raises:
        ReportError: nothing there, or not one measurement in it; says what was left out and why.
    """
    files = Tables()
    files.add_source(source)
    found = runs_of(records_of(files.frame("latency"), LatencyRow))
    runs = tuple(sorted(found, key=_age))
    chosen = runs if choose is None else choose(runs)
    picks = {
        table: _Pick(known={identity(run.row) for run in runs}, chosen=chosen)
        for table in ("samples", *_ORDERS)
    }
    samples = _samples(files, picks["samples"])
    keeping: dict[str, Callable[[DataFrame], DataFrame]] = {**picks, "layers": _of_models(chosen)}
    tables = {table: files.frame(table, keeping[table]) for table in _ORDERS}
    evaluations = _newest_evaluations(records_of(files.frame("evaluation"), EvaluationRow))
    if not runs and not evaluations:
        raise ReportError(
            f"{source} holds no measurement",
            hint="\n".join(files.notes) or "Measure first: hil bench, or pytest --board ID",
        )
    by_run = {table: frame.groupby(IDENTITY, sort=False).indices for table, frame in tables.items()}
    return ReportData(
        source=source,
        runs=runs,
        notes=(*files.notes, *_orphans(picks)),
        tables=tables,
        places=by_run,
        profiles=_newest_profiles(tables["layers"]),
        samples=samples,
        evaluations=evaluations,
    )


class _Pick:
    """Picks rows of chosen runs out of a table, and counts those of no `known` run."""

    def __init__(self, known: Collection[_Name], chosen: Iterable[Run]) -> None:
        self._known = known
        self.wanted = {identity(run.row) for run in chosen}
        self.orphans = 0

    def __call__(self, frame: DataFrame) -> DataFrame:
        kept = [np.arange(0)]
        for name, places in frame.groupby(IDENTITY, sort=False).indices.items():
            if name in self.wanted:
                kept.append(places)
            elif name not in self._known:
                self.orphans += len(places)
        return frame.iloc[np.sort(np.concatenate(kept))]


def _of_models(chosen: Iterable[Run]) -> Callable[[DataFrame], DataFrame]:
    """Picks profiles: one of another run may stand for that of a chosen one."""
    models = {(*run.subject, run.row.model_sha256) for run in chosen}

    def pick(frame: DataFrame) -> DataFrame:
        groups = frame.groupby(_MODEL, sort=False).indices
        kept = [places for name, places in groups.items() if name in models]
        return frame.iloc[np.sort(np.concatenate([np.arange(0), *kept]))]

    return pick


def _samples(files: Tables, pick: _Pick) -> dict[_Name, Samples]:
    table = SampleTable(IDENTITY, pick.wanted)
    for frame in files.frames("samples"):
        table.add(pick(frame))
    if table.twice:
        files.note_twice("samples", table.twice)
    return table.of_runs()


def _newest_evaluations(rows: Sequence[EvaluationRow]) -> tuple[EvaluationRow, ...]:
    last = {}
    for row in sorted(rows, key=lambda row: row.time_utc):
        name = (row.model, row.dtype, row.data, row.board, row.runtime, row.output or "")
        last[name] = row
    return tuple(last[name] for name in sorted(last))


def _newest_profiles(layers: DataFrame) -> dict[_Name, _Name]:
    first_rows = layers.drop_duplicates(IDENTITY)
    last = first_rows.sort_values("time_utc", ascending=False, kind="stable")
    last = last.drop_duplicates(_MODEL)
    names = [last[columns].itertuples(index=False, name=None) for columns in (_MODEL, IDENTITY)]
    return dict(zip(*names, strict=True))


def _orphans(picks: Mapping[str, _Pick]) -> list[str]:
    """Notes on rows of no run; a profile may stand alone."""
    return [
        f"{counted(pick.orphans, 'row')} of {table} are of no measurement here: left out"
        for table, pick in picks.items()
        if pick.orphans
    ]


def _age(run: Run) -> tuple[bool, str]:
    # A time that cannot be read comes first, so that it is never taken for the newest.
    return run.when is not None, run.row.time_utc


COUNT, TIME = "instructions", "µs"


def label_of(subject: Subject) -> str:
    """A subject as it is called in pictures and headings."""
    board, runtime, model, dtype = subject
    return f"{model} {dtype} on {board}, {runtime}"


def latency_unit(row: LatencyRow) -> str:
    """Exact instructions where they are known, else microseconds."""
    return TIME if row.instructions_p50 is None else COUNT


def median_of(row: LatencyRow) -> float | None:
    """What baselines and trends compare, in `latency_unit(row)`."""
    if row.instructions_p50 is not None:
        return float(row.instructions_p50)
    return row.p50_us if row.session_p50_us is None else row.session_p50_us
