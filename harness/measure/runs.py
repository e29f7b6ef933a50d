"""The CSV files of runs, read as tables and as runs: for baselines, `hil compare` and reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.errors import ReportError
from harness.measure.csvfile import columns
from harness.measure.frames import Tables, records_of, table_in
from harness.measure.gate import LEAST_DELTA, SHARED_LEAST_DELTA, Sessions
from harness.measure.samples import Samples
from harness.measure.tables import (
    FLASH,
    RUN,
    CallRow,
    CurrentRow,
    EnergyRow,
    FunctionRow,
    LatencyRow,
    LayerRow,
    MemoryRow,
    OperatorRow,
    OutputRow,
    moment,
)
from harness.text import listed

Subject = tuple[str, str, str, str]
"""What was measured: board, runtime, model, dtype."""

SUBJECT = ["board", "runtime", "model", "dtype"]
IDENTITY = ["run", *SUBJECT]
"""Columns that the rows of a run share in all tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a run must share with its baseline. `host` is None unless its clock is the host's.

    `model_in` is FLASH where no row says so: until models could be brought, all were linked in.
    """

    board: str
    emulated: bool
    clock_hz: int
    runtime: str
    runtime_version: str
    flags: str | None
    model: str
    dtype: str
    model_sha256: str
    host: str | None
    model_in: str = FLASH

    def __str__(self) -> str:
        place = f"{self.board} on {self.host}" if self.host else self.board
        return f"{place}, {self.runtime}, {self.model}_{self.dtype} {self.model_sha256[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one model on one board.

    `row` is that of the whole run; of a run that was cut short, or of before there were runs, its
    last session's. `sessions` includes those that were lost. What no file holds is empty.
    """

    row: LatencyRow
    sessions: tuple[LatencyRow, ...]
    samples: Samples | None = None
    outputs: tuple[OutputRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    operators: tuple[OperatorRow, ...] = ()
    functions: tuple[FunctionRow, ...] = ()
    calls: tuple[CallRow, ...] = ()
    memory: tuple[MemoryRow, ...] = ()
    energy: tuple[EnergyRow, ...] = ()
    currents: tuple[CurrentRow, ...] = ()

    @property
    def id(self) -> str:
        """Of the run, or of the only session of an old one."""
        return self.row.run or self.row.session

    @property
    def subject(self) -> Subject:
        """What was measured."""
        return self.row.board, self.row.runtime, self.row.model, self.row.dtype

    @property
    def good(self) -> tuple[LatencyRow, ...]:
        """Sessions with statistics."""
        return tuple(row for row in self.sessions if _has_statistics(row))

    @property
    def lost(self) -> tuple[LatencyRow, ...]:
        """Sessions without, as after a reboot."""
        return tuple(row for row in self.sessions if not _has_statistics(row))

    @property
    def cut_short(self) -> bool:
        """Whether its own row is missing, which is written last."""
        return self.row.run is not None and self.row.scope != RUN

    @property
    def when(self) -> datetime | None:
        """When it was written; None if the text is no time."""
        return moment(self.row.time_utc)

    @property
    def key(self) -> Key:
        """What its baseline must share."""
        shared = {name: getattr(self.row, name) for name in columns(Key)}
        own = {
            "host": self.row.host if _times_the_host(self.row) else None,
            "model_in": self.row.model_in or FLASH,
        }
        return Key(**shared | own)

    @property
    def figures(self) -> Sessions:
        """What the gate judges: exact counts where every session has them, else medians in us."""
        good = self.good
        counts = [row.instructions_p50 for row in good if row.instructions_p50]
        if counts and len(counts) == len(good):
            return Sessions(figures=tuple(map(float, counts)), exact=True)
        times = tuple(row.p50_us for row in good if row.p50_us)
        step, rate = self.row.timer_step_ticks, self.row.tick_hz
        step_us = step * 1e6 / rate if step and rate else 0.0
        return Sessions(figures=times, step_us=step_us, least_delta=least_delta_of(self.row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """Complete runs of a file or several, oldest first; `notes` say what could not be used."""

    source: str
    runs: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()
    exists: bool = True


def _times_the_host(row: LatencyRow) -> bool:
    """Whether the board's clock is that of the machine it is a process on."""
    return row.emulated and row.mcu.startswith("host")


def least_delta_of(row: LatencyRow) -> float:
    """The smallest change of a board's time that counts, as a share of its baseline."""
    return SHARED_LEAST_DELTA if _times_the_host(row) else LEAST_DELTA


def _has_statistics(row: LatencyRow) -> bool:
    return row.error is None and row.p50_us is not None


def identity(row: LatencyRow) -> tuple[str, ...]:
    """What the rows of a run share; a row of before there were runs stands for itself."""
    run = row.run or f"{row.time_utc} {row.session}"
    return run, row.board, row.runtime, row.model, row.dtype


def runs_of(rows: Iterable[LatencyRow]) -> tuple[Run, ...]:
    """Rows taken together by run, in the order in which the runs ended."""
    groups: dict[tuple[str, ...], list[LatencyRow]] = {}
    for row in rows:
        held = groups.pop(identity(row), [])
        held.append(row)
        groups[identity(row)] = held
    return tuple(map(_run, groups.values()))


def _run(rows: Sequence[LatencyRow]) -> Run:
    whole = [row for row in rows if row.scope == RUN]
    sessions = [row for row in rows if row.scope != RUN]
    sessions.sort(key=lambda row: (row.session_number or 0, row.time_utc))
    good = [row for row in sessions if not row.error]
    return Run(row=(whole or good or sessions)[-1], sessions=tuple(sessions))


def complete(runs: Sequence[Run]) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """The runs that have their own row and every session that it counts; notes on the others.

    Rows of before there were sessions are runs of one.
    """
    kept, notes = [], []
    for run in runs:
        good = len(run.good)
        if why := _incomplete(run):
            notes.append(f"{why} left out")
        elif good:
            kept.append(run)
            if run.lost:
                notes.append(f"run {run.id}: {_lost(run.lost)}; its other {good} are used")
    if old := sum(run.row.run is None for run in runs):
        notes.append(f"{old} rows are from before there were sessions: each is a run of one")
    return tuple(kept), tuple(notes)


def _incomplete(run: Run) -> str | None:
    row, good = run.row, len(run.good)
    if run.cut_short:
        return f"run {row.run} on {row.board} was never finished: {len(run.sessions)} sessions"
    if row.run is not None and good < (row.sessions or 1):
        return f"run {row.run} has {good} of its {row.sessions} sessions:"
    if run.good and not run.figures.figures:
        return f"run {run.id} on {row.board} has no median above 0:"
    return None


def _lost(sessions: Sequence[LatencyRow]) -> str:
    return ", ".join(
        f"session {row.session_number} was lost ({row.error or 'nothing measured'})"
        for row in sessions
    )


def load_runs(path: Path) -> Baselines:
    """The complete runs of a CSV, or of every latency CSV of a folder.

    Raises:
        ReportError: absent, an empty folder, or not one file with latency rows.
    """
    tables, others, empty = Tables(), [], True
    for file in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
        empty = False
        try:
            tables.add(file, "latency")
        except ReportError:
            if file == path:
                raise
            if table_in(file) in (None, "latency"):
                others.append(file.name)
    without = [f"{path}: no latency rows in {listed(others)}"] if others else []
    if not tables.files["latency"]:
        lacks = "has no CSV file" if empty else "has no CSV file with latency rows"
        raise ReportError(without[0] if without else f"folder {path} {lacks}")
    found = runs_of(records_of(tables.frame("latency"), LatencyRow))
    if path.is_dir():
        found = tuple(sorted(found, key=lambda run: run.row.time_utc))
    runs, notes = complete(found)
    return Baselines(source=str(path), runs=runs, notes=(*tables.notes, *notes, *without))


def newest(runs: Iterable[Run]) -> dict[Key, Run]:
    """Of each key the run that ended last."""
    return {run.key: run for run in runs}
