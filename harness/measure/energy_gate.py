"""Energies of runs against those of their baselines, and the energies that a baseline file keeps.

They are beside it, as energy.csv is beside latency.csv: of `baselines.csv` in
`baselines.energy.csv`. The rule is that of latency, over sessions; a change smaller than what the
meter leaves unknown counts for none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import hypot, isfinite, sqrt
from pathlib import Path
from typing import Any

from harness.errors import NotWritten, ReportError
from harness.files import refuse_foreign, write_atomic
from harness.locks import held
from harness.measure.baseline import flag_changes
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
from harness.measure.gate import Judgement, LatencyVerdict, Sessions, judge
from harness.measure.runs import Baselines, Subject, identity
from harness.measure.tables import FLASH, MEASURED, RUN, EnergyRow
from harness.measure.versus import MICROJOULES, ONLY_A, ONLY_B, REFUSED, VersusRow
from harness.text import counted, listed

MORE, LESS = "more", "less"
"""The verdicts of latency that are called otherwise here."""
WORDS = {LatencyVerdict.SLOWER: MORE, LatencyVerdict.FASTER: LESS}
_CANNOT_TELL = LatencyVerdict.CANNOT_TELL.value
_Name = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """Rows of whole runs whose energy is known, oldest first; `exists` if there is a file."""

    source: str
    rows: tuple[EnergyRow, ...] = ()
    notes: tuple[str, ...] = ()
    exists: bool = True


def load_energies(path: Path) -> Energies:
    """The energies beside a latency CSV, or of every energy CSV of a folder. None is no error."""
    tables = Tables()
    files = _files(path)
    for file in files:
        try:
            tables.add(file, "energy")
        except ReportError as error:
            tables.notes.append(f"{error.what}: left out")
    rows = records_of(tables.frame("energy"), EnergyRow) if tables.files["energy"] else ()
    told = [row for row in rows if row.scope == RUN and row.outcome == MEASURED]
    whole = sorted(filter(_readable, told), key=lambda row: row.time_utc)
    if unread := len(told) - len(whole):
        tables.notes.append(
            f"{path}: {counted(unread, 'run')} without numbers in session_uj or "
            "range_shares: left out"
        )
    return Energies(
        source=str(path), rows=tuple(whole), notes=tuple(tables.notes), exists=bool(files)
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted(path.glob("*.csv")) if table_in(file) == "energy"]
    file = beside(path, "energy")
    return [file] if file.exists() else []


def subject_of(row: EnergyRow) -> Subject:
    """What was measured."""
    return row.board, row.runtime, row.model, row.dtype


def _name(row: EnergyRow) -> _Name:
    return row.run, *subject_of(row)


def figures_of(row: EnergyRow) -> tuple[float, ...]:
    """Microjoules of an inference, one figure for each session."""
    return tuple(float(text) for text in (row.session_uj or "").split())


def _readable(row: EnergyRow) -> bool:
    """Whether the lists in its cells are of numbers, which any other program may have written."""
    try:
        _ = [float(text) for text in (row.range_shares or "").split()]
        return all(map(isfinite, figures_of(row)))
    except ValueError:
        return False


def energy_refusal(row: EnergyRow, base: EnergyRow) -> str | None:
    """Why the energies of two runs of one board, runtime and model are not to be compared."""
    if row.simulated != base.simulated:
        return "one is of a simulated meter and the other is not: never compared"
    if row.emulated != base.emulated:
        return "one board is emulated and the other is not: never compared"
    if (row.model_in or FLASH) != (base.model_in or FLASH):
        place, theirs = row.model_in or FLASH, base.model_in or FLASH
        return f"the model lay in {place}, the baseline's in {theirs}: never compared"
    if row.clock_hz != base.clock_hz:
        return f"other clock: {row.clock_hz} Hz, baseline {base.clock_hz} Hz"
    if row.meter != base.meter:
        return f"other kind of meter: {row.meter}, baseline {base.meter}"
    if row.idle_subtracted != base.idle_subtracted:
        without, with_idle = "without idle power", "with it"
        mine = without if row.idle_subtracted else with_idle
        theirs = with_idle if row.idle_subtracted else without
        return f"this run's energy is {mine}, the baseline's {theirs}"
    if _differ(row.volts, base.volts):
        return f"other supply: {row.volts:.4g} V, baseline {base.volts:.4g} V"
    if row.runtime_version != base.runtime_version:
        return f"other runtime version: {row.runtime_version}, baseline {base.runtime_version}"
    if row.flags != base.flags:
        return f"other compiler flags: {flag_changes(base.flags, row.flags)}"
    return None


MOST_APART = 0.02
"""Two supplies of one voltage, as meters read them."""


def _differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return abs(one - other) > MOST_APART * max(one, other)


def find_energy(baselines: Energies, row: EnergyRow, *, track: bool) -> EnergyRow | str:
    """The newest energy that a run is to be compared with, or the reason why there is none."""
    if not baselines.exists:
        return f"no energy beside baseline {baselines.source}: hil baseline save keeps it"
    others = [base for base in baselines.rows if base.run != row.run]
    of_board = [base for base in others if base.board == row.board]
    if not of_board:
        known = sorted({base.board for base in others})
        return f"no energy of board {row.board} in the baseline; there is {listed(known) or 'none'}"
    named = [base for base in of_board if (base.model, base.dtype) == (row.model, row.dtype)]
    of_model = [base for base in named if track or base.model_sha256 == row.model_sha256]
    fitting = [base for base in of_model if base.runtime == row.runtime]
    if not fitting:
        other = "; one of that name has other bytes, which --hil-track takes" if named else ""
        return (
            f"no energy of model {row.model}_{row.dtype} on {row.board} with {row.runtime} in the "
            f"baseline{other}"
        )
    reasons = [(base, energy_refusal(row, base)) for base in fitting]
    matching = [base for base, reason in reasons if reason is None]
    return matching[-1] if matching else f"refused: {reasons[-1][1]}"


def judge_energy(row: EnergyRow, baselines: Energies, *, track: bool) -> EnergyRow:
    """A run's row with the verdict on it."""
    base = find_energy(baselines, row, track=track)
    if isinstance(base, str):
        return replace(row, baseline_verdict=_CANNOT_TELL, baseline_rule=base)
    found = compare_energies(base, row)
    return replace(
        row,
        baseline_run=base.run,
        baseline_verdict=WORDS.get(found.verdict, found.verdict.value),
        baseline_ratio=found.ratio,
        baseline_low=found.low,
        baseline_high=found.high,
        baseline_rule=found.rule,
    )


def compare_energies(base: EnergyRow, row: EnergyRow) -> Judgement:
    """The gate's verdict, where `slower` stands for more energy."""
    figures = figures_of(base), figures_of(row)
    if any(not figure > 0 for side in figures for figure in side):
        return Judgement(
            verdict=LatencyVerdict.CANNOT_TELL, rule="a session's energy is not above 0"
        )
    alike = _one_instrument(base, row)
    moved = _moved(base, row)
    return judge(
        *(
            Sessions(figures=side, step_us=_unknown_uj(of, alike, moved))
            for side, of in zip(figures, (base, row), strict=True)
        )
    )


def _one_instrument(base: EnergyRow, row: EnergyRow) -> bool:
    """Whether what the meter gets wrong is the same in both runs."""
    return bool(
        row.meter_serial
        and row.meter_serial == base.meter_serial
        and row.meter_calibrated == base.meter_calibrated
    )


def _moved(base: EnergyRow, row: EnergyRow) -> float:
    """Share of what was drawn that the meter had in another range: 0 where it does not tell."""
    texts = base.range_shares, row.range_shares
    if None in texts:
        return 0.0
    sides = ([float(share) for share in (text or "").split()] for text in texts)
    return sum(abs(one - other) for one, other in zip_longest(*sides, fillvalue=0.0)) / 2


def _unknown_uj(row: EnergyRow, alike: bool, moved: float) -> float:
    """The uncertainty that a change has to exceed.

    Each range has its own error, so that of what has moved to another one that of both counts.
    """
    whole, of_run = row.energy_u_uj or 0.0, row.run_u_uj or 0.0
    if not alike:
        return whole
    of_meter = sqrt(max(0.0, whole**2 - of_run**2))
    return hypot(of_run, sqrt(2) * moved * of_meter)


def save_energies(csv: Path, baseline: Path, runs: Iterable[_Name]) -> Path | None:
    """Put the energies of runs beside a baseline file, in one step; None if none has any.

    Args:
        csv: the latency.csv that the runs are of.
        runs: identities of those that the baseline file was given.

    Raises:
        WrongUse: a file of something else is in that place. Nothing was changed.
    """
    path, names = beside(baseline, "energy"), set(runs)
    fresh = [row for row in load_energies(csv).rows if _name(row) in names]
    if not fresh:
        return None
    refuse_foreign_energies(baseline)
    try:
        with held(Path(f"{path}.lock"), f"{path} is being written"):
            old = load_energies(baseline)
            if old.notes:
                shutil.copyfile(path, free_name(path))
            gone = {(*subject_of(row), row.simulated) for row in fresh}
            kept = [row for row in old.rows if (*subject_of(row), row.simulated) not in gone]
            header = columns(EnergyRow)
            rows = [*kept, *fresh]
            write_atomic(path, lines_of([header, *(cells_of(row, header) for row in rows)]))
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror or error}") from error
    return path


def refuse_foreign_energies(baseline: Path) -> None:
    """Raise WrongUse if the place beside a baseline file has another file than energies."""
    refuse_foreign(
        beside(baseline, "energy"),
        "the energies beside --baseline:",
        "energy CSV of the harness",
        lambda path: not header_of(begin_of(path)) or table_in(path) == "energy",
    )


def names_of(baselines: Baselines) -> set[_Name]:
    """Identities of runs, to which energies belong."""
    return {identity(run.row) for run in baselines.runs}


def energies_versus(a: Energies, b: Energies) -> tuple[VersusRow, ...]:
    """Every board, runtime, model and dtype whose energy is in A or in B, in order of name."""
    before, after = _by_subject(a.rows), _by_subject(b.rows)
    return tuple(
        _versus(subject, before.get(subject, []), after.get(subject, []))
        for subject in sorted(before.keys() | after.keys())
    )


def _by_subject(rows: Iterable[EnergyRow]) -> dict[Subject, list[EnergyRow]]:
    found: dict[Subject, list[EnergyRow]] = {}
    for row in rows:
        found.setdefault(subject_of(row), []).append(row)
    return found


def _versus(subject: Subject, before: Sequence[EnergyRow], after: Sequence[EnergyRow]) -> VersusRow:
    board, runtime, model, dtype = subject
    empty = VersusRow(
        board=board,
        runtime=runtime,
        model=model,
        dtype=dtype,
        verdict="",
        reason="",
        unit=MICROJOULES,
    )
    if not before or not after:
        where = ONLY_A if before else ONLY_B
        lacks = f"no energy of it in {'B' if before else 'A'}"
        known = _side(before[-1], "a") if before else _side(after[-1], "b")
        return replace(empty, verdict=where, reason=lacks, **known)
    row = after[-1]
    reasons = [(base, energy_refusal(row, base)) for base in before]
    base, why = ([pair for pair in reasons if pair[1] is None] or reasons)[-1]
    both = _side(base, "a") | _side(row, "b")
    if why is not None:
        return replace(empty, verdict=REFUSED, reason=_sides(why), **both)
    found = compare_energies(base, row)
    return replace(
        empty,
        verdict=WORDS.get(found.verdict, found.verdict.value),
        reason=_sides(found.rule),
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        delta=found.delta,
        **both,
    )


def _side(row: EnergyRow, side: str) -> dict[str, Any]:
    figures = figures_of(row)
    median = Sessions(figures=figures).median if figures and min(figures) > 0 else row.energy_uj
    return {side: median, f"run_{side}": row.run, f"commit_{side}": row.git_commit}


def _sides(reason: str) -> str:
    return reason.replace("this run", "B").replace("the baseline", "A").replace("baseline", "A")


def any_more(rows: Iterable[VersusRow]) -> bool:
    """Whether the gate should close."""
    return any(row.verdict == MORE for row in rows)
