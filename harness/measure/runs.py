"""Runs and their sessions, read from latency CSVs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ReportError
from harness.measure.csvfile import cell, read_rows
from harness.measure.gate import (
    LEAST_DELTA,
    SHARED_LEAST_DELTA,
    Sessions,
)
from harness.measure.tables import SESSION, LatencyRow
from harness.text import listed

_GROUP = ("run", "board", "runtime", "model_sha256", "dtype")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a run must share with its baseline. `host` is None unless its clock is the host's."""

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

    def __str__(self) -> str:
        place = f"{self.board} on {self.host}" if self.host else self.board
        return f"{place}, {self.runtime}, {self.model}_{self.dtype} {self.model_sha256[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one model on one board: its row, and those of its sessions.

    `lost` is how many sessions have no statistics, as after a reboot. Rows of before there were
    sessions are runs of one.
    """

    row: LatencyRow
    sessions: tuple[LatencyRow, ...]
    lost: int = 0

    @property
    def id(self) -> str:
        """Of the run, or of the only session of an old one."""
        return self.row.run or self.row.session

    @property
    def key(self) -> Key:
        """What its baseline must share."""
        row = self.row
        return Key(
            board=row.board,
            emulated=row.emulated,
            clock_hz=row.clock_hz,
            runtime=row.runtime,
            runtime_version=row.runtime_version,
            flags=row.flags,
            model=row.model,
            dtype=row.dtype,
            model_sha256=row.model_sha256,
            host=row.host if _times_the_host(row) else None,
        )

    @property
    def figures(self) -> Sessions:
        """What the gate judges: exact counts where every session has them, else medians in us."""
        counts = [row.instructions_p50 for row in self.sessions if row.instructions_p50]
        if counts and len(counts) == len(self.sessions):
            return Sessions(figures=tuple(map(float, counts)), exact=True)
        times = tuple(row.p50_us for row in self.sessions if row.p50_us)
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


def _measured(row: LatencyRow) -> bool:
    return row.error is None and row.p50_us is not None


def runs_of(rows: Iterable[LatencyRow]) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Complete runs in the order in which they ended, and notes on what is none.

    A run is complete when its own row is there, which is written last, and every session that it
    counts. Rows without a run are from before there were sessions.
    """
    runs: list[Run] = []
    open_runs: dict[tuple[str, ...], list[LatencyRow]] = {}
    notes, old = [], 0
    for row in rows:
        if row.run is None:
            old += 1
            if _measured(row):
                runs.append(Run(row=row, sessions=(row,)))
            continue
        if row.scope == SESSION:
            open_runs.setdefault(_group(row), []).append(row)
            continue
        sessions = open_runs.pop(_group(row), [])
        good = tuple(session for session in sessions if _measured(session))
        if len(good) < (row.sessions or 1):
            notes.append(f"run {row.run} has {len(good)} of its {row.sessions} sessions: left out")
            continue
        run = Run(row=row, sessions=good, lost=len(sessions) - len(good))
        if run.lost:
            notes.append(f"run {run.id}: {_lost(sessions)}; its other {len(good)} are used")
        runs.append(run)
    notes += [
        f"run {group[0]} on {group[1]} was never finished: {len(sessions)} sessions left out"
        for group, sessions in open_runs.items()
    ]
    if old:
        notes.append(f"{old} rows are from before there were sessions: each is a run of one")
    return tuple(runs), tuple(notes)


def _lost(sessions: Sequence[LatencyRow]) -> str:
    named = [
        f"session {row.session_number} was lost ({row.error or 'nothing measured'})"
        for row in sessions
        if not _measured(row)
    ]
    return ", ".join(named)


def _group(row: LatencyRow) -> tuple[str, ...]:
    return tuple(cell(getattr(row, name)) for name in _GROUP)


def load_runs(path: Path) -> Baselines:
    """The complete runs of a CSV, or of every latency CSV of a folder.

    Raises:
        ReportError: absent, an empty folder, or not one file with latency rows.
    """
    if not path.is_dir():
        loaded = read_rows(path, LatencyRow)
        runs, notes = runs_of(loaded.rows)
        return Baselines(source=str(path), runs=runs, notes=loaded.notes + notes)
    parts, others = [], []
    for file in sorted(path.glob("*.csv")):
        try:
            parts.append(load_runs(file))
        except ReportError:
            others.append(file.name)
    without = [f"{path}: no latency rows in {listed(others)}"] if others else []
    if not parts:
        raise ReportError(without[0] if without else f"folder {path} has no CSV file")
    found = sorted((run for part in parts for run in part.runs), key=lambda run: run.row.time_utc)
    said = tuple(note for part in parts for note in part.notes)
    return Baselines(source=str(path), runs=tuple(found), notes=(*said, *without))


def newest(runs: Iterable[Run]) -> dict[Key, Run]:
    """Of each key the run that ended last."""
    return {run.key: run for run in runs}
