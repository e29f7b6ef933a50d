"""Measuring the energy of a model on an open board, with a meter on its supply.

Nothing here changes what was measured of latency: it comes after, in starts of the board and rows
of its own. A session is as there: one start of the board, then windows of invokes with idle around
them while the meter samples. How long a window must be is found in the first one, by a short
capture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from math import ceil, inf
from pathlib import Path

import numpy as np

from harness.errors import CannotTell, HilError, MeterError, MoreThanBaseline, Where
from harness.link.answers import MOST_IN_WINDOW, Window
from harness.measure.csvfile import append, beside
from harness.measure.energy import Energy, energy_of, find_windows, length_needed
from harness.measure.energy_gate import MORE
from harness.measure.energy_sessions import points
from harness.measure.energy_trace import Trace
from harness.measure.energy_trace import Window as Found
from harness.measure.tables import MEASURED, RUN, UNKNOWN, EnergyRow
from harness.meter.meter import Identity, Meter, marked
from harness.rig.energy_rows import (
    blank_energy_row,
    current_rows,
    failed_row,
    remedy_of,
    run_row,
    session_row,
    uncertain,
    unknown_row,
)
from harness.rig.opened import OpenBoard
from harness.rig.sim import PinEdges

WINDOWS = 3
"""In a session; idle power is seen before, between and after them."""
PILOT_S = 0.1
"""A window of the first, short capture."""
LEAST_WINDOW_S = 0.2
USUAL_WINDOW_S = 1.0
"""Where no length of a window would make the energy certain enough."""
MOST_WINDOW_S = 10.0
LEAST_IDLE_S = 0.1
IDLE_SHARE = 0.4
"""Idle around a window, by the window's length."""

Judging = Callable[[EnergyRow], EnergyRow]
"""Compares the row of a run with a baseline and completes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPlan:
    """What to measure and where to write it.

    `csv` is latency.csv; energy.csv is beside it. `run` is that of the latency. `net` asks for the
    energy without idle power; both are kept. `most_share` is the largest uncertainty by energy of
    which anything is said. `judge` compares the row of the run with a baseline.
    """

    csv: Path
    run: str
    sessions: int = 1
    net: bool = False
    most_share: float = 0.05
    commit: str | None = None
    judge: Judging | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc))
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Captured:
    """One capture: its trace, the windows in it as the board and as the meter have them."""

    trace: Trace
    ran: tuple[Window, ...]
    found: tuple[Found, ...]

    def energy(self, *, net: bool) -> Energy:
        """Energy per inference, however uncertain.

        Raises:
            CannotTell: the samples do not tell it.
        """
        counts = [window.invokes for window in self.ran]
        return energy_of(self.trace, windows=self.found, inferences=counts, subtract_idle=net)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The rows of energy.csv that a measurement appended."""

    run: EnergyRow
    sessions: tuple[EnergyRow, ...]


def measure_energy(opened: OpenBoard, meter: Meter, plan: EnergyPlan) -> Taken:
    """Measure a board's energy in sessions; append each to energy.csv at once, then the whole run.

    An energy that cannot be told is a row too, and no error here: `refuse_unknown` makes it one.

    Raises:
        MeterError: of the meter; rows that say so were appended.
        HilError: of the board. Nothing was changed of what was measured before.
    """
    return _Measuring(opened, meter, plan).run()


def note_failure(opened: OpenBoard, meter: Identity, plan: EnergyPlan, error: MeterError) -> None:
    """Append the row of a run whose meter could not even be opened."""
    blank = blank_energy_row(opened, meter, run=plan.run, commit=plan.commit, now=plan.now())
    row = failed_row(replace(blank, scope=RUN, sessions=0), error.what)
    append(beside(plan.csv, "energy"), [row])


def refuse_unknown(row: EnergyRow) -> None:
    """Raise CannotTell where a run's energy is not known well enough."""
    if row.outcome == UNKNOWN:
        reason = row.reason or "no reason was said"
        raise CannotTell(reason, where=_where(row), hint=remedy_of(reason))


def refuse_more(row: EnergyRow) -> None:
    """Raise MoreThanBaseline if the run was judged to take more than its baseline."""
    if row.baseline_verdict == MORE and row.baseline_ratio is not None:
        raise MoreThanBaseline(
            where=_where(row),
            ratio=row.baseline_ratio,
            rule=row.baseline_rule or "",
            baseline=f"run {row.baseline_run}",
        )


def _where(row: EnergyRow) -> Where:
    name = f"{row.meter} {row.meter_serial}" if row.meter_serial else row.meter
    return Where(board=row.board, meter=name, port=row.port, model=row.model)


class _Told:
    """Tells a meter without a wire to the pin of its edges, on the board's own clock.

    An emulated board's time is not the host's: only its windows pass on it, and idle in between as
    on the host. Where its simulator tells what the pin does, those are the edges; else they are the
    window's begin and end by the board's counter.
    """

    def __init__(self, meter: Meter, edges: PinEdges | None) -> None:
        self._marked = marked(meter)
        self._edges = edges
        self._now_s = 0.0
        if edges is not None:
            edges.take()

    def rest(self, seconds: float) -> None:
        self._now_s += seconds

    def window(self, window: Window) -> None:
        edges = self._edges_of(window)
        if self._marked is not None:
            for second, high in edges:
                self._marked.mark(high, at_s=self._now_s + second - edges[0][0])
        self._now_s += edges[-1][0] - edges[0][0] if edges else window.length_s

    def _edges_of(self, window: Window) -> list[tuple[float, bool]]:
        if self._edges is None:
            return [(0.0, True), (window.length_s, False)]
        return self._edges.take()


class _Measuring:
    """One measurement: its sessions, and the rows that it has appended."""

    def __init__(self, opened: OpenBoard, meter: Meter, plan: EnergyPlan) -> None:
        self._opened = opened
        self._meter = meter
        self._plan = plan
        self._sample = opened.checks.inputs[:1]
        self._rows: list[EnergyRow] = []
        self._energies: list[Energy] = []
        self._invoke_s = 0.0
        self._length_s: float | None = None
        self._shown: Captured | None = None

    def run(self) -> Taken:
        """All sessions, and the row of the run."""
        plan, board = self._plan, self._opened.declared
        failed: MeterError | None = None
        with self._opened.dut.progress(f"{board.id}: energy", plan.sessions) as advance:
            for number in range(1, plan.sessions + 1):
                try:
                    self._session(number)
                except MeterError as error:
                    failed = self._named(error)
                    break
                advance(1)
        return self._finished(failed)

    def _finished(self, failed: MeterError | None) -> Taken:
        plan, blank = self._plan, self._blank()
        if self._shown is not None:
            found = points(self._shown.trace, self._shown.found[0])
            append(beside(plan.csv, "currents"), current_rows(blank, found))
        if failed is not None:
            whole = failed_row(replace(blank, scope=RUN, sessions=len(self._energies)), failed.what)
            self._append([whole])
            raise failed
        whole = run_row(
            *(blank, self._rows, self._energies), net=plan.net, most_share=plan.most_share
        )
        if plan.judge is not None and whole.outcome == MEASURED:
            whole = plan.judge(whole)
        self._append([whole])
        return Taken(run=whole, sessions=tuple(self._rows))

    def _session(self, number: int) -> None:
        """One start of the board; appends its row, also where it brought no energy."""
        blank = self._begun(number)
        try:
            count = self._count()
            captured = self._capture(count, WINDOWS)
            energy = captured.energy(net=self._plan.net)
        except CannotTell as error:
            energy_found = error.found if isinstance(error.found, Energy) else None
            self._keep(blank, energy_found, None, error.reason)
            return
        except MeterError as error:
            self._append([failed_row(blank, error.what)])
            raise
        self._shown = self._shown or captured
        self._keep(blank, energy, captured, None)

    def _begun(self, number: int) -> EnergyRow:
        if self._plan.sessions > 1:
            self._opened.reset()
        return replace(self._blank(), session=self._opened.session, session_number=number)

    def _keep(
        self, blank: EnergyRow, energy: Energy | None, captured: Captured | None, why: str | None
    ) -> None:
        row = blank
        if energy is not None:
            ran, rate_hz = (captured.ran, captured.trace.rate_hz) if captured else ((), None)
            row = session_row(blank, energy, ran, rate_hz=rate_hz)
            why = why or uncertain(row, self._plan.most_share, (energy,))
        row = replace(row, most_share=self._plan.most_share)
        row = row if why is None else unknown_row(row, why)
        if captured is not None and energy is not None:
            self._energies.append(energy)
        self._rows.append(row)
        self._append([row])

    def _count(self) -> int:
        """Invokes of a window: as many as last as long as the energy needs to be certain."""
        timed = self._opened.dut.measure(self._sample, 2)
        self._invoke_s = max(float(np.median(timed.timer.us(timed.ticks))) / 1e6, 1e-7)
        if self._length_s is None:
            self._length_s = self._found_length(_invokes(PILOT_S, self._invoke_s))
        return _invokes(self._length_s, self._invoke_s)

    def _found_length(self, count: int) -> float:
        pilot = self._capture(count, 1).energy(net=self._plan.net)
        try:
            # Half of the share: a short capture knows its own scatter badly.
            needed = length_needed(pilot, share=self._plan.most_share / 2, most_s=inf)
        except CannotTell:
            return USUAL_WINDOW_S
        return min(MOST_WINDOW_S, max(LEAST_WINDOW_S, needed))

    def _capture(self, count: int, windows: int) -> Captured:
        """Arm, let the board run its windows with idle around them, and disarm.

        Raises:
            MeterError, CannotTell: of the meter, and what it brought.
            HilError: of the board; the meter is disarmed then. Where the run is interrupted it is
                not: to disarm may take as long as a file is waited for, and it is closed anyway.
        """
        ran: list[Window] = []
        self._meter.arm()
        told = _Told(self._meter, self._opened.edges)
        idle_s = max(LEAST_IDLE_S, IDLE_SHARE * count * self._invoke_s)
        try:
            self._rest(idle_s, told)
            for _ in range(windows):
                ran.append(self._opened.dut.run_window(self._sample, count))
                told.window(ran[-1])
                taken_s = ran[-1].answered_s - ran[-1].sent_s
                self._rest(max(LEAST_IDLE_S, IDLE_SHARE * taken_s), told)
        except HilError:
            with suppress(HilError):
                self._meter.disarm()
            raise
        trace = self._meter.disarm()
        found = find_windows(trace, count=windows, length_s=[w.length_s for w in ran])
        return Captured(trace=trace, ran=tuple(ran), found=found)

    def _rest(self, seconds: float, told: _Told) -> None:
        self._plan.sleep(seconds)
        told.rest(seconds)

    def _named(self, error: MeterError) -> MeterError:
        """The error with the board that the meter is of."""
        here = Where(
            board=self._opened.declared.id,
            meter=error.where.meter or str(self._meter.identity),
            port=error.where.port,
            model=self._opened.artifact.name,
        )
        error.where = here
        return error

    def _blank(self) -> EnergyRow:
        plan = self._plan
        return blank_energy_row(
            self._opened, self._meter.identity, run=plan.run, commit=plan.commit, now=plan.now()
        )

    def _append(self, rows: Sequence[EnergyRow]) -> None:
        append(beside(self._plan.csv, "energy"), rows)


def _invokes(length_s: float, invoke_s: float) -> int:
    return min(MOST_IN_WINDOW, max(1, ceil(length_s / invoke_s)))
