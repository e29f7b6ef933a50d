"""Baselines: runs kept to judge later ones by, and the reasons for which one is no baseline.

A baseline file has the columns of latency.csv, so that any latency.csv is one: of each key its
newest complete run counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import NotWritten, ReportError
from harness.files import write_atomic
from harness.locks import held
from harness.measure.csvfile import cells_of, columns, free_name, header_of, lines_of
from harness.measure.frames import frame_of_block, records_of
from harness.measure.gate import Judgement, LatencyVerdict, judge
from harness.measure.lines import blocks_of, open_source
from harness.measure.runs import Baselines, Key, Run, identity, load_runs, newest
from harness.measure.tables import RUN, LatencyRow
from harness.text import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a run is against its baseline. Without one, `judgement` says why it cannot tell."""

    judgement: Judgement
    baseline_run: str | None = None
    baseline_commit: str | None = None

    @property
    def refused(self) -> bool:
        """Whether there was nothing to compare with."""
        return self.baseline_run is None


def load_baselines(path: Path) -> Baselines:
    """As `load_runs`; a file that does not exist has no baselines."""
    if not path.exists():
        return Baselines(source=str(path), exists=False)
    return load_runs(path)


def flag_changes(before: str | None, after: str | None) -> str:
    """Which compiler flags are only in one of two builds."""
    old, new = (before or "").split(), (after or "").split()
    parts = [
        f"{' '.join(only)} only in {side}"
        for side, only in (
            ("this run", [flag for flag in new if flag not in old]),
            ("the baseline", [flag for flag in old if flag not in new]),
        )
        if only
    ]
    return ", ".join(parts) or "the same in another order"


def refusal(key: Key, base: Key, *, any_version: bool = False) -> str | None:
    """Why two runs of one board, runtime and model cannot be compared; None if they can.

    Args:
        any_version: of the runtime, where a newer one is what is to be compared.
    """
    if key.emulated != base.emulated:
        return "one is emulated and the other is not: never compared"
    if key.clock_hz != base.clock_hz:
        return f"other clock: {key.clock_hz} Hz, baseline {base.clock_hz} Hz"
    if key.model_in != base.model_in:
        return f"the model lay in {key.model_in}, the baseline's in {base.model_in}: never compared"
    if key.host != base.host:
        if key.host is None or base.host is None:
            side = "this run" if key.host is None else "the baseline"
            return f"the clock is the host's, and {side} does not name its host"
        return f"other host, and the clock is the host's: {key.host}, baseline {base.host}"
    if key.runtime_version != base.runtime_version and not any_version:
        return f"other runtime version: {key.runtime_version}, baseline {base.runtime_version}"
    if key.flags != base.flags:
        if key.flags is None or base.flags is None:
            side = "this run" if key.flags is None else "the baseline"
            return f"{side} does not say its compiler flags"
        return f"other compiler flags: {flag_changes(base.flags, key.flags)}"
    return None


def find_baseline(baselines: Baselines, run: Run, *, track: bool) -> Run | str:
    """The newest baseline of a run, or the reason why there is none.

    Args:
        track: a model is the same by name and dtype, retrained or not, and not by its bytes.
    """
    key = run.key
    name = (key.model, key.dtype)
    if not baselines.exists:
        return f"no baseline file {baselines.source}: hil baseline save makes one"
    of_board = [
        base for base in baselines.runs if base.key.board == key.board and base.id != run.id
    ]
    if not of_board:
        known = sorted({base.key.board for base in baselines.runs})
        return f"no baseline for board {key.board}; there are some for {listed(known)}"
    named = [base for base in of_board if (base.key.model, base.key.dtype) == name]
    of_model = [base for base in named if track or base.key.model_sha256 == key.model_sha256]
    if not of_model:
        other = "; one of that name has other bytes, which --hil-track takes" if named else ""
        return f"no baseline for model {key.model}_{key.dtype} on {key.board}{other}"
    of_runtime = [base for base in of_model if base.key.runtime == key.runtime]
    if not of_runtime:
        known = sorted({base.key.runtime for base in of_model})
        return f"no baseline with runtime {key.runtime}; there are some with {listed(known)}"
    reasons = [(base, refusal(key, base.key)) for base in of_runtime]
    matching = [base for base, reason in reasons if reason is None]
    return matching[-1] if matching else f"refused: {reasons[-1][1]}"


def judge_row(
    run_row: LatencyRow,
    session_rows: Sequence[LatencyRow],
    baselines: Baselines,
    track: bool = False,
) -> Against:
    """The verdict on a run just measured.

    Args:
        run_row: with scope `run`; alone, it is a run of one session.
        session_rows: of the same run; lost ones do not count.
    """
    run = Run(row=run_row, sessions=tuple(session_rows) or (run_row,))
    base = find_baseline(baselines, run, track=track)
    if isinstance(base, str):
        return Against(judgement=Judgement(verdict=LatencyVerdict.CANNOT_TELL, rule=base))
    return against(base, run)


def against(base: Run, run: Run) -> Against:
    """The verdict on a run against one that may be its baseline."""
    return Against(
        judgement=judge(base.figures, run.figures),
        baseline_run=base.id,
        baseline_commit=base.row.git_commit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Keys of baselines that are `replaced` now, and notes."""

    replaced: tuple[Key, ...]
    notes: tuple[str, ...]


def save(path: Path, runs: Sequence[Run], *, replace_old: bool) -> Saved:
    """Put runs into a baseline file, all or none; other rows and columns in it stay as they are.

    The new file takes the old one's place in one step. If lines of the old one cannot be read, it
    is kept as well, under a numbered name.

    Raises:
        ReportError: a key is there already and `replace_old` is not asked for, or the file is not
            a latency CSV. Nothing was changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(Path(f"{path}.lock"), f"{path} is being written"):
            return _save(path, runs, replace_old=replace_old)
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror or error}") from error


def _save(path: Path, runs: Sequence[Run], *, replace_old: bool) -> Saved:
    before = load_baselines(path)
    keys = {run.key for run in runs}
    old = [run for run in before.runs if run.key in keys]
    taken = tuple(newest(old))
    if taken and not replace_old:
        raise ReportError(
            f"{path} has a baseline already for {'; '.join(map(str, taken))}",
            hint="Put the new one in its place with --replace, or take another --baseline.",
        )
    notes = before.notes
    content, damaged = _without(path, {identity(run.row) for run in old})
    if damaged:
        aside = shutil.copyfile(path, free_name(path))
        notes += (f"{path} as it was is kept as {aside}",)
    header = header_of(content.partition(b"\n")[0].decode())
    fresh = [cells_of(row, header) for run in runs for row in _rows(run)]
    write_atomic(path, content + lines_of(fresh))
    return Saved(replaced=taken, notes=notes)


def _rows(run: Run) -> tuple[LatencyRow, ...]:
    """What is kept of a run: an old one's row is that of its only session."""
    own = (replace(run.row, sessions_lost=len(run.lost)),) if run.row.scope == RUN else ()
    return (*run.good, *own)


def _without(path: Path, gone: Collection[tuple[str, ...]]) -> tuple[bytes, bool]:
    """A file's whole lines but those of certain runs, in all our columns; and if it is damaged.

    Lines that are left out of what is read for their numbers are whole all the same.
    """
    if not path.exists():
        return lines_of([columns(LatencyRow)]), False
    source = open_source(path, LatencyRow)
    new = [name for name in columns(LatencyRow) if name not in source.header]
    content = [lines_of([[*source.header, *new]])]
    damaged = False
    for block in blocks_of(source):
        frame = frame_of_block(block, source.header, LatencyRow)
        rows = zip(frame.index, records_of(frame, LatencyRow), strict=True)
        left_out = {number for number, row in rows if identity(row) in gone}
        lines = zip(block.numbers.tolist(), block.text.split(b"\n")[:-1], strict=True)
        content += [line + b"," * len(new) + b"\n" for at, line in lines if at not in left_out]
        damaged |= bool(block.bad)
    return b"".join(content), damaged
