"""The meter of a board while the board is open: opened before it, and no reason not to open it.

What only a meter needs is imported when there is one: most boards that are opened have none.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.board.rigfile import Plugged
from harness.errors import MeterError, TooMuchEnergy, Where
from harness.measure.tables import EnergyRow
from harness.meter.closing import ClosedAtEnd
from harness.rig.opened import OpenBoard
from harness.rig.supply import Supplies
from harness.text import printable

if TYPE_CHECKING:
    from harness.meter.meter import Meter
    from harness.rig.energy import EnergyPlan, Taken

NO_METER = """\
Name it in the rig file, in the table [boards.NAME.meter] with its kind: docs/energy.md"""


class BoardMeter(ClosedAtEnd):
    """Opens the meter of one board when it is first asked for, and closes it in the end.

    Args:
        plugged: what the rig file says of the board.
        supplies: of this run: one that is its board's supply is open there already.
    """

    def __init__(
        self, plugged: Plugged | None, board: str, *, supplies: Supplies | None = None
    ) -> None:
        self._spec = plugged.meter if plugged else None
        self._board = board
        self._supplies = supplies or Supplies()
        self._meter: Meter | None = None

    @property
    def present(self) -> bool:
        """Whether the rig file names a meter for the board."""
        return self._spec is not None

    @property
    def name(self) -> str:
        """What the rig file calls it."""
        return "no meter" if self._spec is None else printable(self._spec.name, 60)

    def begin(self) -> None:
        """Open it before the board, which a meter may be the supply of.

        That it cannot be opened is not said here: whatever else is measured goes on without it.
        """
        if self.present:
            with suppress(MeterError):
                self.get()

    def get(self) -> Meter:
        """The open meter.

        Raises:
            MeterError: there is none, or it cannot be opened.
        """
        if self._spec is None:
            raise MeterError(
                "the board has no meter", where=Where(board=self._board), hint=NO_METER
            )
        if self._meter is None:
            self._meter = self._supplies.take(self._spec, self._board)
        return self._meter

    def measure(self, opened: OpenBoard, plan: EnergyPlan) -> Taken:
        """As `measure_energy`. A meter that fails is opened anew the next time.

        Raises:
            MeterError: it failed, or cannot be opened.
        """
        from harness.rig.energy import measure_energy

        try:
            return measure_energy(opened, self._opened_for(opened, plan), plan)
        except MeterError as error:
            here = error.where
            error.where = replace(
                here, board=here.board or self._board, model=here.model or opened.artifact.name
            )
            self._renew()
            raise

    def _renew(self) -> None:
        """Let go of a meter that has failed; the board of one that is its supply needs it anew."""
        if self._spec is not None and self._meter is not None:
            self._supplies.fail(self._spec, self._board)
        self.close()

    def _opened_for(self, opened: OpenBoard, plan: EnergyPlan) -> Meter:
        """The open meter; that it cannot be opened is a row of energy.csv too."""
        try:
            return self.get()
        except MeterError as error:
            if self._spec is not None:
                from harness.meter.meter import Identity
                from harness.rig.energy import note_failure

                known = Identity(kind=self._spec.kind, serial_number=self._spec.serial_number)
                note_failure(opened, known, plan, error)
            raise

    def close(self) -> None:
        """Let the meter go. Idempotent. One that is gone can be let go of, too."""
        meter, self._meter = self._meter, None
        if meter is not None and self._spec is not None:
            self._supplies.give_back(self._spec)


def hold_energy(row: EnergyRow, limits: dict[str, float], where: Where) -> str | None:
    """Compare a measured energy with limits, in microjoules by the rule that says so.

    Returns:
        Why it cannot be told whether a limit is exceeded; None where it is known that none is.

    Raises:
        TooMuchEnergy: a limit is exceeded, whatever the uncertainty.
    """
    energy, u = row.energy_uj, row.energy_u_uj
    assert energy is not None and u is not None, "the energy is known"
    near = None
    for rule, most in limits.items():
        if energy - u > most:
            raise TooMuchEnergy(
                where=where, measured_uj=energy, uncertainty_uj=u, limit_uj=most, rule=rule
            )
        if energy + u > most:
            near = near or (
                f"{energy:.4g} uJ, give or take {u:.2g}, may be above or below the limit of "
                f"{most:g} uJ ({rule})"
            )
    return near
