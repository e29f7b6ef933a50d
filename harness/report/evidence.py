"""What the CSV files hold, as records for a report: measurements in the order of time."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ReportError
from harness.measure.csvfile import beside, columns, read_rows
from harness.measure.tables import (
    RUN,
    LatencyRow,
    LayerRow,
    MemoryRow,
    OutputRow,
    SampleRow,
)
from harness.text import counted

Row = TypeVar("Row")


Subject = tuple[str, str, str, str]
"""What was measured: board, runtime, model, dtype."""

_BESIDE: tuple[tuple[str, type[Any]], ...] = (
    ("samples", SampleRow),
    ("outputs", OutputRow),
    ("layers", LayerRow),
    ("memory", MemoryRow),
)
# In a folder the kind of a file is told by its columns; the first that fits.
_KINDS: tuple[type[Any], ...] = (LatencyRow, *(kind for _, kind in _BESIDE))
# Columns that every version of latency.csv had and nothing else has.
_HALLMARKS: dict[type[Any], frozenset[str]] = {
    LatencyRow: frozenset({"time_utc", "firmware_build", "clock_hz", "mcu"}),
    SampleRow: frozenset({"index", "ticks", "us"}),
    OutputRow: frozenset({"sample", "element", "board_raw"}),
    LayerRow: frozenset({"index", "operator", "macs"}),
    MemoryRow: frozenset({"section", "owner"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One board, runtime and model of one run.

    `summary` is the row of the whole run; of a run that was cut short, or written by a version that
    knew no runs, its last session's. `sessions` includes those that were lost. What no file holds
    is empty.
    """

    summary: LatencyRow
    sessions: tuple[LatencyRow, ...]
    cut_short: bool = False
    samples: tuple[SampleRow, ...] = ()
    outputs: tuple[OutputRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    memory: tuple[MemoryRow, ...] = ()

    @property
    def subject(self) -> Subject:
        """What was measured."""
        return subject_of(self.summary)

    @property
    def lost(self) -> tuple[LatencyRow, ...]:
        """Sessions that ended with an error."""
        return tuple(row for row in self.sessions if row.error)

    @property
    def when(self) -> datetime | None:
        """When it was written; None if the text is no time."""
        return moment(self.summary.time_utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything read of `source`. `notes` say what was left out, one line each."""

    source: Path
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]

    def of_runs(self, runs: Iterable[str]) -> tuple[Measured, ...]:
        """Measurements of these runs."""
        wanted = set(runs)
        return tuple(item for item in self.measured if item.summary.run in wanted)

    def newest(self) -> tuple[Measured, ...]:
        """The last measurement of every subject, sorted by model, board and runtime."""
        last = {item.subject: item for item in self.measured}
        return tuple(sorted(last.values(), key=_place))

    def history(self) -> dict[Subject, tuple[Measured, ...]]:
        """All measurements of every subject, in the order of time."""
        grouped = _grouped(self.measured, lambda item: item.subject)
        return {subject: tuple(items) for subject, items in grouped.items()}


def subject_of(row: LatencyRow | SampleRow | OutputRow | LayerRow | MemoryRow) -> Subject:
    """What a row is about."""
    return row.board, row.runtime, row.model, row.dtype


def moment(text: str) -> datetime | None:
    """A time of a row; None if it is none."""
    try:
        # Python 3.10 does not know that Z is UTC.
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def gather(source: Path) -> ReportData:
    """Read a `latency.csv` with the tables beside it, or every CSV under a folder.

    Files set aside (`latency.1.csv`) are read too; a row found twice counts once.

    Raises:
        ReportError: nothing there, or not one measurement in it; says what was left out and why.
    """
    tables = _Tables()
    if source.is_dir():
        tables.add_folder(source)
    else:
        tables.add_file(source)
    measured = tables.measured()
    if not measured:
        raise ReportError(
            f"{source} holds no measurement",
            hint="\n".join(tables.notes) or "Measure first: hil bench, or pytest --board ID",
        )
    return ReportData(source=source, measured=measured, notes=tuple(tables.notes))


class _Tables:
    """Rows by kind, each once, and what could not be read."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        # A dict, not a set, keeps the order of the file.
        self._rows: dict[type[Any], dict[Any, None]] = {kind: {} for kind in _KINDS}
        self._twice = 0

    def add_file(self, path: Path) -> None:
        """The latency table of this name and what is beside it."""
        self._add(path, LatencyRow)
        for name, kind in _BESIDE:
            if (other := beside(path, name)).exists():
                self._add_if_readable(other, kind)

    def add_folder(self, folder: Path) -> None:
        """Every CSV under a folder, of whatever kind."""
        paths = sorted(path for path in folder.rglob("*.csv") if path.is_file())
        if not paths:
            raise ReportError(f"{folder} holds no CSV file")
        for path in paths:
            kind = _kind_of(path)
            if kind is None:
                self.notes.append(f"{path} is no CSV of the harness: left out")
            else:
                self._add_if_readable(path, kind)

    def _add_if_readable(self, path: Path, kind: type[Any]) -> None:
        try:
            self._add(path, kind)
        except ReportError as error:
            self.notes.append(f"{error.what}: left out")

    def _add(self, path: Path, kind: type[Any]) -> None:
        loaded = read_rows(path, kind)
        self.notes += loaded.notes
        known = self._rows[kind]
        for row in loaded.rows:
            self._twice += row in known
            known[row] = None

    def _all(self, kind: type[Row]) -> list[Row]:
        rows: Any = self._rows
        return list(rows[kind])

    def measured(self) -> tuple[Measured, ...]:
        """Measurements in the order of time; completes the notes."""
        if self._twice:
            self.notes.append(f"{counted(self._twice, 'row')} found twice, counted once")
        groups = _grouped(self._all(LatencyRow), _identity)
        samples = _grouped(self._all(SampleRow), _run_of)
        outputs = _grouped(self._all(OutputRow), _run_of)
        layers = _grouped(self._all(LayerRow), _run_of)
        memory = _grouped(self._all(MemoryRow), _run_of)
        found = [
            _measurement(
                rows,
                samples=samples.pop(identity, []),
                outputs=outputs.pop(identity, []),
                layers=layers.get(identity, []),
                memory=memory.pop(identity, []),
            )
            for identity, rows in groups.items()
        ]
        found = [_with_profile(item, layers) for item in found]
        self._note_orphans("samples", samples)
        self._note_orphans("outputs", outputs)
        self._note_orphans("memory", memory)
        return tuple(sorted(found, key=_age))

    def _note_orphans(self, name: str, groups: Mapping[Any, Sequence[Any]]) -> None:
        if count := sum(len(rows) for rows in groups.values()):
            self.notes.append(
                f"{counted(count, 'row')} of {name} are of no measurement here: left out"
            )


def _kind_of(path: Path) -> type[Any] | None:
    try:
        with path.open(errors="replace", newline="") as file:
            header = set(next(csv.reader(file), []))
    except (OSError, csv.Error):
        return None
    fitting = [kind for kind in _KINDS if _HALLMARKS[kind] <= header]
    return max(fitting, key=lambda kind: len(header & set(columns(kind))), default=None)


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _run_of(row: SampleRow | OutputRow | LayerRow | MemoryRow) -> tuple[str, ...]:
    return row.run, *subject_of(row)


def _identity(row: LatencyRow) -> tuple[str, ...]:
    """Rows of one run on one subject share it; a row of before runs stands for itself."""
    return row.run or f"{row.time_utc} {row.session}", *subject_of(row)


def _measurement(
    rows: Sequence[LatencyRow],
    *,
    samples: Sequence[SampleRow],
    outputs: Sequence[OutputRow],
    layers: Sequence[LayerRow],
    memory: Sequence[MemoryRow],
) -> Measured:
    whole = [row for row in rows if row.scope == RUN]
    sessions = sorted((row for row in rows if row.scope != RUN), key=_session_place)
    good = [row for row in sessions if not row.error]
    return Measured(
        summary=next(reversed(whole or good or sessions)),
        sessions=tuple(sessions),
        cut_short=not whole and sessions[-1].run is not None,
        samples=tuple(sorted(samples, key=lambda row: (row.session_number, row.index))),
        outputs=tuple(sorted(outputs, key=lambda row: (row.sample, row.element))),
        layers=tuple(sorted(layers, key=lambda row: row.index)),
        memory=tuple(memory),
    )


def _with_profile(item: Measured, profiles: Mapping[Any, Sequence[LayerRow]]) -> Measured:
    """Without a profile of its own, it gets the newest of the same model and board."""
    if item.layers:
        return item
    fitting = [
        rows
        for rows in profiles.values()
        if subject_of(rows[0]) == item.subject and rows[0].model_sha256 == item.summary.model_sha256
    ]
    newest = max(fitting, key=lambda rows: rows[0].time_utc, default=())
    return replace(item, layers=tuple(sorted(newest, key=lambda row: row.index)))


def _session_place(row: LatencyRow) -> tuple[int, str]:
    return row.session_number or 0, row.time_utc


def _age(item: Measured) -> tuple[bool, str]:
    # A time that cannot be read comes first, so that it is never taken for the newest.
    return item.when is not None, item.summary.time_utc


def _place(item: Measured) -> tuple[str, str, str, str]:
    board, runtime, model, dtype = item.subject
    return model, dtype, board, runtime


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
