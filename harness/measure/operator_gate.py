"""Profiles of runs against those of their baselines, and the profiles that a baseline file keeps.

The profiles of a baseline file are beside it, as layers.csv is beside latency.csv: of
`baselines.csv` in `baselines.layers.csv`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import NotWritten, ReportError
from harness.files import refuse_foreign, write_atomic
from harness.locks import held
from harness.measure.baseline import find_baseline, load_baselines, refusal
from harness.measure.csvfile import (
    begin_of,
    beside,
    cells_of,
    columns,
    free_name,
    header_of,
    lines_of,
)
from harness.measure.frames import Tables, records_of, table_in
from harness.measure.gate import LatencyVerdict
from harness.measure.operators import (
    OperatorChange,
    any_slower,
    compare_operators,
    profile_refusal,
)
from harness.measure.runs import Baselines, Run, Subject, identity
from harness.measure.tables import PROFILE, LatencyRow, LayerRow, OperatorRow
from harness.measure.versus import INSTRUCTIONS, REFUSED

_CANNOT_TELL = LatencyVerdict.CANNOT_TELL.value
_Name = tuple[str, ...]


def load_profiles(path: Path) -> tuple[tuple[LayerRow, ...], tuple[str, ...]]:
    """The profiles beside a latency CSV, or of every layers CSV of a folder; and notes.

    Of a run that was profiled twice the later one counts. No profile is no error.
    """
    tables = Tables()
    for file in _files(path):
        try:
            tables.add(file, "layers")
        except ReportError as error:
            tables.notes.append(f"{error.what}: left out")
    rows = records_of(tables.frame("layers"), LayerRow) if tables.files["layers"] else ()
    last: dict[_Name, str] = {}
    for row in rows:
        last[_name(row)] = max(row.time_utc, last.get(_name(row), ""))
    return tuple(row for row in rows if row.time_utc == last[_name(row)]), tuple(tables.notes)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted(path.glob("*.csv")) if table_in(file) == "layers"]
    file = beside(path, "layers")
    return [file] if file.exists() else []


def with_profiles(baselines: Baselines, path: Path) -> Baselines:
    """The runs that `load_runs` read of `path`, each with its profile."""
    if not baselines.exists:
        return baselines
    rows, notes = load_profiles(path)
    of_run: dict[_Name, list[LayerRow]] = {}
    for row in rows:
        of_run.setdefault(_name(row), []).append(row)
    runs = tuple(
        replace(run, layers=tuple(of_run.get(identity(run.row), ()))) for run in baselines.runs
    )
    return replace(baselines, runs=runs, notes=(*baselines.notes, *notes))


def _name(row: LayerRow) -> _Name:
    return row.run, row.board, row.runtime, row.model, row.dtype


def judge_profile(
    run_row: LatencyRow, layers: Sequence[LayerRow], baselines: Baselines, *, track: bool
) -> tuple[OperatorRow, ...]:
    """Rows of operators.csv: a run's profile against that of its baseline.

    Where there is none to compare with, one row for the whole profile says why.

    Args:
        run_row: of the whole run that the profile belongs to.
        baselines: with profiles.
    """
    base = _baseline(Run(row=run_row, sessions=()), baselines, track=track)
    if isinstance(base, Run) and (reason := profile_refusal(base.layers, layers)):
        base = f"refused: {reason}"
    if isinstance(base, str):
        return (_unjudged(run_row, base),)
    return tuple(
        _operator_row(run_row, change, base.id) for change in compare_operators(base.layers, layers)
    )


def _baseline(run: Run, baselines: Baselines, *, track: bool) -> Run | str:
    """The newest baseline that was profiled, or why there is none."""
    profiled = tuple(base for base in baselines.runs if base.layers)
    found = find_baseline(replace(baselines, runs=profiled), run, track=track)
    if isinstance(found, str):
        whole = find_baseline(baselines, run, track=track)
        if isinstance(whole, Run):
            return (
                f"baseline run {whole.id} has no profile: save one that was measured with "
                "--hil-profile"
            )
        return whole
    return found


def _operator_row(run: LatencyRow, change: OperatorChange, baseline_run: str) -> OperatorRow:
    counts = change.unit == INSTRUCTIONS
    a, b = change.a, change.b
    return OperatorRow(
        run=run.run or run.session,
        time_utc=run.time_utc,
        board=run.board,
        emulated=run.emulated,
        runtime=run.runtime,
        model=run.model,
        dtype=run.dtype,
        index=change.index_b,
        index_before=change.index_a,
        operator=change.operator,
        name=change.name,
        shape=change.shape,
        before_us=None if counts else a,
        now_us=None if counts else b,
        before_instructions=int(a) if counts and a is not None else None,
        now_instructions=int(b) if counts and b is not None else None,
        verdict=change.verdict,
        ratio=change.ratio,
        low=change.low,
        high=change.high,
        rule=change.rule,
        baseline_run=baseline_run,
    )


def _unjudged(run: LatencyRow, reason: str) -> OperatorRow:
    change = OperatorChange(
        index_a=None,
        index_b=None,
        operator=PROFILE,
        name="",
        shape="",
        unit="us",
        a=None,
        b=None,
        verdict=_CANNOT_TELL,
        rule=reason,
    )
    return replace(_operator_row(run, change, ""), baseline_run=None)


def change_of(row: OperatorRow) -> OperatorChange:
    """The change that a row of operators.csv holds."""
    counts = row.before_instructions is not None or row.now_instructions is not None
    a, b = (
        (row.before_instructions, row.now_instructions) if counts else (row.before_us, row.now_us)
    )
    return OperatorChange(
        index_a=row.index_before,
        index_b=row.index,
        operator=row.operator,
        name=row.name,
        shape=row.shape,
        unit=INSTRUCTIONS if counts else "us",
        a=None if a is None else float(a),
        b=None if b is None else float(b),
        verdict=row.verdict,
        rule=row.rule,
        # Of exact counts anew: the file has six digits, in which one instruction more may be none.
        ratio=b / a if counts and a and b else row.ratio,
        low=row.low,
        high=row.high,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileVersus:
    """The operators of one board, runtime, model and dtype in A and B; or why not: `refused`."""

    board: str
    runtime: str
    model: str
    dtype: str
    changes: tuple[OperatorChange, ...] = ()
    refused: str | None = None
    run_a: str | None = None
    run_b: str | None = None

    @property
    def slower(self) -> bool:
        """Whether an operator of B is slower."""
        return any_slower(self.changes)


def profiles_versus(a: Baselines, b: Baselines) -> tuple[ProfileVersus, ...]:
    """Of everything that was profiled in A and in B, the newest of B with the newest that fits.

    Args:
        a, b: with profiles.
    """
    before, after = _profiled(a.runs), _profiled(b.runs)
    return tuple(
        _versus(subject, before.get(subject, []), after.get(subject, []))
        for subject in sorted(before.keys() | after.keys())
    )


def _profiled(runs: Iterable[Run]) -> dict[Subject, list[Run]]:
    found: dict[Subject, list[Run]] = {}
    for run in runs:
        if run.layers:
            found.setdefault(run.subject, []).append(run)
    return found


def _versus(subject: Subject, before: Sequence[Run], after: Sequence[Run]) -> ProfileVersus:
    board, runtime, model, dtype = subject
    empty = ProfileVersus(board=board, runtime=runtime, model=model, dtype=dtype)
    if not before or not after:
        where = "A" if before else "B"
        return replace(empty, refused=f"profiled only in {where}")
    run = after[-1]
    reasons = [(base, refusal(run.key, base.key, any_version=True)) for base in before]
    base, why = ([pair for pair in reasons if pair[1] is None] or reasons)[-1]
    why = why or profile_refusal(base.layers, run.layers)
    known = replace(empty, run_a=base.id, run_b=run.id)
    if why is not None:
        return replace(known, refused=f"{REFUSED}: {why}")
    return replace(known, changes=compare_operators(base.layers, run.layers))


def save_profiles(baseline: Path, runs: Sequence[Run]) -> Path | None:
    """Put the profiles of runs beside a baseline file, in one step; None if none has a profile.

    The profiles of runs that the baseline file no longer has go. If the old file holds what cannot
    be read, it is kept as well, under a numbered name.

    Args:
        baseline: the file that holds the runs, which `baseline.save` wrote.

    Raises:
        WrongUse: a file of something else is in that place. Nothing was changed.
    """
    path = profiles_beside(baseline)
    fresh = [row for run in runs for row in run.layers]
    if not fresh and not path.exists():
        return None
    refuse_foreign_profiles(baseline)
    try:
        with held(Path(f"{path}.lock"), f"{path} is being written"):
            kept, notes = load_profiles(baseline)
            if notes:
                shutil.copyfile(path, free_name(path))
            held_runs = {identity(run.row) for run in load_baselines(baseline).runs}
            gone = {identity(run.row) for run in runs}
            rows = [row for row in kept if _name(row) in held_runs - gone] + fresh
            header = columns(LayerRow)
            write_atomic(path, lines_of([header, *(cells_of(row, header) for row in rows)]))
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror or error}") from error
    return path if fresh else None


def profiles_beside(baseline: Path) -> Path:
    """Where the profiles of a baseline file are."""
    return beside(baseline, "layers")


def refuse_foreign_profiles(baseline: Path) -> None:
    """Raise WrongUse if the place beside a baseline file has another file than profiles."""
    refuse_foreign(
        profiles_beside(baseline),
        "the profiles beside --baseline:",
        "layers CSV of the harness",
        _ours,
    )


def _ours(path: Path) -> bool:
    return not header_of(begin_of(path)) or table_in(path) == "layers"
