"""What `hil bench --energy` adds to a bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness import settings
from harness.cli.work import Work
from harness.errors import WrongUse
from harness.measure.energy_gate import MORE, Energies, judge_energy, load_energies
from harness.measure.tables import EnergyRow, LatencyRow
from harness.rig.energy import EnergyPlan, refuse_unknown
from harness.rig.metering import NO_METER, BoardMeter
from harness.rig.opened import OpenBoard
from harness.settings import Sources
from harness.terminal import say
from harness.text import counted


@dataclass(slots=True)
class Asked:
    """The energy that was asked for, and the rows of runs measured so far."""

    csv: Path
    sessions: int
    net: bool
    most_share: float
    track: bool
    baselines: Energies | None
    commit: str | None
    rows: list[EnergyRow] = field(default_factory=list)

    def measure(self, opened: OpenBoard, meter: BoardMeter, row: LatencyRow) -> None:
        """Measure the energy of what was just measured, if the board has a meter.

        Raises:
            MeterError, CannotTell: it is not known; the row is kept, if there is one.
        """
        if not meter.present:
            say(f"{opened.declared.id}: no meter in the rig file: no energy")
            return
        say(f"{opened.declared.id}: energy, {counted(self.sessions, 'session')} with {meter.name}")
        taken = meter.measure(opened, self._plan(row))
        self.rows.append(taken.run)
        refuse_unknown(taken.run)

    @property
    def more(self) -> bool:
        """Whether any takes more than its baseline."""
        return any(row.baseline_verdict == MORE for row in self.rows)

    def _plan(self, row: LatencyRow) -> EnergyPlan:
        judge = None
        if self.baselines is not None:
            judge = partial(judge_energy, baselines=self.baselines, track=self.track)
        return EnergyPlan(
            csv=self.csv,
            run=row.run or row.session,
            sessions=self.sessions,
            net=self.net,
            most_share=self.most_share,
            commit=self.commit,
            judge=judge,
        )


def asked_for(sources: Sources, commit: str | None) -> Asked | None:
    """What was asked for of energy; None without --energy."""
    if not sources[settings.ENERGY]:
        return None
    baseline = sources[settings.BASELINE]
    baselines = None if baseline is None else load_energies(baseline)
    for note in baselines.notes if baselines else ():
        say(note)
    return Asked(
        csv=sources[settings.CSV],
        sessions=sources[settings.SESSIONS],
        net=sources[settings.ENERGY_NET],
        most_share=sources[settings.ENERGY_SHARE],
        track=sources[settings.TRACK],
        baselines=baselines,
        commit=commit,
    )


def refuse_without_meter(works: Sequence[Work]) -> None:
    """Raise WrongUse if no board that is to be measured has a meter."""
    if not any(work.options.plugged and work.options.plugged.meter for work in works):
        boards = ", ".join(dict.fromkeys(work.board.id for work in works))
        raise WrongUse(f"--energy: no meter is known for {boards}", hint=NO_METER)
