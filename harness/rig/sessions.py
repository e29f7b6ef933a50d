"""Measuring a board in sessions; each session's rows are appended as soon as it is over.

A session is one start of the board: reset, cold invoke, warm-up, samples. Some things differ only
between sessions (cache alignment, a clock that settles): repeating within one does not show them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.errors import (
    BoardRebooted,
    HilError,
    ImpossibleTime,
    NotKept,
    SlowerThanBaseline,
    Where,
)
from harness.link.answers import Measurement
from harness.link.dut import Dut
from harness.link.faults import parse_faults
from harness.measure.baseline import judge_row
from harness.measure.clock import ClockStamp, clock_rate
from harness.measure.csvfile import append, beside
from harness.measure.gate import LatencyVerdict
from harness.measure.latency import (
    ASKED,
    DEFAULT,
    EMULATED_PER_S,
    MODELLED_SLOWDOWN,
    MOST_INVOKES,
    SHORTENED,
    SIMULATED_PER_S,
    affordable_invokes,
    impossible,
    impossible_by_host,
)
from harness.measure.runs import Baselines
from harness.measure.tables import LatencyRow
from harness.model.samples import Batch
from harness.rig.opened import OpenBoard
from harness.rig.other_rows import memory_rows, output_rows
from harness.rig.recovery import Attempt, lost
from harness.rig.rows import Session, blank_row, run_row, sample_rows, session_row

T = TypeVar("T")

STAMPS = 5
"""Readings of the board's clock at each end of a session; the quickest ones count most."""

CLOCK_SPAN_S = 10.0
"""The longest time to measure the clock after the last of several sessions."""

CLOCK_PAUSE_S = 0.5

Judging = Callable[[LatencyRow, Sequence[LatencyRow]], LatencyRow]
"""Compares the row of a run, given with those of its sessions, with a baseline; completes it."""


def new_run() -> str:
    """Id of a run, 12 hex digits."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure and where to write it.

    `samples` are timed invokes in each of `sessions`; None for as many as `affordable_invokes`
    says, by the first session's warm-up. `csv` is latency.csv; the other tables are
    beside it. `judge` compares the row of a whole run, given with those of its sessions, with a
    baseline and returns it completed. `recovered` is told what brought a board back after an error
    of the link, and then what was lost is measured again, once in a run; None: nothing is.
    """

    samples: int | None
    csv: Path
    commit: str | None = None
    sessions: int = 1
    judge: Judging | None = None
    recovered: Callable[[HilError, tuple[Attempt, ...]], None] | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc))
    sleep: Callable[[float], None] = time.sleep


def judged_by(baselines: Baselines, *, track: bool) -> Judging:
    """The `judge` of a Plan: compares a run with its baseline and completes its row.

    Args:
        track: find the baseline by the model's name, retrained or not, instead of its bytes.
    """

    def judge(row: LatencyRow, sessions: Sequence[LatencyRow]) -> LatencyRow:
        found = judge_row(row, sessions, baselines, track)
        judgement = found.judgement
        return replace(
            row,
            baseline_run=found.baseline_run,
            baseline_verdict=judgement.verdict.value,
            baseline_ratio=judgement.ratio,
            baseline_low=judgement.low,
            baseline_high=judgement.high,
            baseline_rule=judgement.rule,
        )

    return judge


def refuse_slower(row: LatencyRow) -> None:
    """Raise SlowerThanBaseline if the run was judged slower."""
    if row.baseline_verdict == LatencyVerdict.SLOWER.value and row.baseline_ratio is not None:
        raise SlowerThanBaseline(
            where=Where(board=row.board, port=row.port, model=row.model),
            ratio=row.baseline_ratio,
            low=row.baseline_low,
            high=row.baseline_high,
            rule=row.baseline_rule or "",
            baseline=f"run {row.baseline_run}",
        )


def measure_session(
    opened: OpenBoard, sample: Batch, number: int, plan: Plan, *, last: bool = True
) -> Session:
    """Reset the board unless it was just started, and measure it.

    Args:
        last: no session follows. Of several sessions the last also measures the clock for longer.

    Raises:
        StaleFirmware: it came back with other firmware.
        BoardError: it does not answer. A reboot is not raised: the session's `error` names it.
    """
    began, cold_ticks = "running", None
    session = opened.session if number == 1 else new_run()
    dut = opened.dut
    try:
        fresh_ticks = opened.take_cold()
        if number == 1 and fresh_ticks is not None:
            began, cold_ticks = "start", fresh_ticks
        elif plan.sessions > 1:
            opened.reset()
            began = "reset"
        stamps = [] if opened.declared.emulated else _stamps(dut)
        count = plan.samples or partial(_affordable, opened)
        measured = dut.measure(sample, count, cold=began == "reset")
        _refuse_impossible(opened, measured, cold_ticks)
        memory = dut.memory()
        if not opened.declared.emulated:
            stamps += _stamps(dut)
            patient = last and plan.sessions > 1
            if patient:
                _look_longer(dut, stamps, opened.declared.clock_tolerance_ppm, plan.sleep)
    except BoardRebooted as error:
        dut.greet()
        return Session(number=number, began=began, id=session, error=error)
    return Session(
        number=number,
        began=began,
        id=session,
        measured=measured,
        cold_ticks=cold_ticks if measured.cold_ticks is None else measured.cold_ticks,
        clock=clock_rate(stamps),
        memory=memory,
    )


def _refuse_impossible(opened: OpenBoard, measured: Measurement, cold_ticks: int | None) -> None:
    """Raise ImpossibleTime if any of the ticks cannot be those of an invoke."""
    first = [] if cold_ticks is None else [np.array([cold_ticks], np.uint32)]
    held = [*first, *(request.ticks for request in measured.requests), measured.ticks]
    reasons = [impossible(ticks, measured.timer) for ticks in held]
    board = opened.declared
    ns = board.ns_per_instruction
    if ns is not None or not board.emulated or _keeps_time(opened):
        reasons += [
            impossible_by_host(request, measured.timer, ns) for request in measured.requests
        ]
    if why := next(filter(None, reasons), None):
        raise ImpossibleTime(why, where=opened.dut.link.where)


def _keeps_time(opened: OpenBoard) -> bool:
    """Whether a board without silicon counts the host's time: the virtual one does if it is not
    told to seem slower.
    """
    _, _, faults = opened.port.partition("?")
    return opened.declared.attachment == "virtual" and parse_faults(faults).slow == 1.0


def _affordable(opened: OpenBoard, ticks: int) -> int:
    """How many invokes like this one to time; of an emulated board by its instructions."""
    timer, took = opened.dut.timer, np.array([ticks], np.uint32)
    ns = opened.declared.ns_per_instruction
    if ns is None:
        slow = 1 if opened.declared.simulator is None else MODELLED_SLOWDOWN
        return affordable_invokes(slow * float(timer.us(took)[0]) / 1e6)
    instructions = int(timer.instructions(took, ns)[0])
    per_s = EMULATED_PER_S if opened.declared.simulator is None else SIMULATED_PER_S
    return affordable_invokes(instructions / per_s)


def _stamps(dut: Dut) -> list[ClockStamp]:
    return [stamp for _ in range(STAMPS) if (stamp := dut.read_clock()) is not None]


def _look_longer(
    dut: Dut, stamps: list[ClockStamp], tolerance_ppm: float, sleep: Callable[[float], None]
) -> None:
    """Read the clock until its rate is known to half the tolerance, or time is up."""
    for _ in range(int(CLOCK_SPAN_S / CLOCK_PAUSE_S)):
        rate = clock_rate(stamps)
        if rate is not None and (not rate.steady or rate.error_ppm <= tolerance_ppm / 2):
            return
        sleep(CLOCK_PAUSE_S)
        stamps += _stamps(dut)


class _OnceMore:
    """Does something with a board; after the first error of the link, once more."""

    def __init__(self, opened: OpenBoard, plan: Plan) -> None:
        self._opened = opened
        self._tell = plan.recovered

    def __call__(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except HilError as error:
            tell, self._tell = self._tell, None
            if tell is None or not lost(error):
                raise
            tell(error, self._opened.recover_in_run(error))
        return act()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The rows of latency.csv that a measurement appended."""

    run: LatencyRow
    sessions: tuple[LatencyRow, ...]


class _Keeping:
    """Appends rows. A file that cannot be written does not end the measurement."""

    def __init__(self) -> None:
        self._error: NotKept | None = None

    def __call__(self, path: Path, rows: Sequence[Any]) -> None:
        try:
            append(path, rows)
        except NotKept as error:
            self._error = self._error or error

    def finish(self, whole: LatencyRow) -> None:
        """Raise the first error, with the row of the run to show."""
        if self._error is not None:
            self._error.rows = (whole,)
            raise self._error


def measure_board(opened: OpenBoard, plan: Plan, sample: Batch | None = None) -> Recorded:
    """Measure a board in sessions; append each to the CSV files at once, then the whole run.

    A session in which the board rebooted is appended with its error and without statistics; the
    run is made of the others.

    Args:
        sample: one input, as `Dut.infer` takes it; the first check input if None.

    Raises:
        BoardRebooted: in every session.
        ImpossibleTime: the board's ticks cannot be.
        NotKept: rows could not be appended. All was measured; the error has the run's row.
    """
    chosen = opened.checks.inputs[:1] if sample is None else sample
    run, asked = new_run(), plan.samples is not None
    sessions: list[Session] = []
    rows: list[LatencyRow] = []

    def blank() -> LatencyRow:
        row = blank_row(opened, run=run, commit=plan.commit, now=plan.now())
        shortened = plan.samples is not None and plan.samples < MOST_INVOKES
        return replace(row, n_rule=ASKED if asked else SHORTENED if shortened else DEFAULT)

    again, keep = _OnceMore(opened, plan), _Keeping()
    # Compared before, so that sessions take equally long and the time left is right.
    again(opened.comparison)
    with opened.dut.progress(f"{opened.declared.id}: session", plan.sessions) as advance:
        for number in range(1, plan.sessions + 1):
            last = number == plan.sessions
            session = again(partial(measure_session, opened, chosen, number, plan, last=last))
            if session.measured is not None:
                plan = replace(plan, samples=len(session.measured.ticks))
            rows.append(session_row(opened, session, blank()))
            keep(beside(plan.csv, "samples"), sample_rows(opened, session, run))
            keep(plan.csv, rows[-1:])
            sessions.append(session)
            advance(1)
    if all(session.measured is None for session in sessions):
        assert sessions[-1].error is not None
        raise sessions[-1].error
    whole = run_row(opened, sessions, rows, blank())
    if plan.judge is not None:
        whole = plan.judge(whole, rows)
    keep(beside(plan.csv, "outputs"), output_rows(opened, run))
    keep(beside(plan.csv, "memory"), memory_rows(opened, whole, run))
    keep(plan.csv, [whole])
    keep.finish(whole)
    return Recorded(run=whole, sessions=tuple(rows))
