"""Trying a board's power control: what its port shows of it, and what the board itself does."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import BoardError, BoardRebooted, RigError
from harness.link.dut import Dut
from harness.link.link import LinkOptions
from harness.rig.power import Cycled
from harness.rig.real import RealBoard

_SOON = LinkOptions(timeout_s=0.5, attempts=4, silent_attempts=4)
STARTED_ANEW = "it started anew: it has forgotten the session from before"
STAYED_ON = (
    "it still knows the session from before, so that it never lost its power: the hub cut its data "
    "lines alone"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCheck:
    """A power cycle that was tried. `board` is what the board shows of it, in words.

    `ok` says that the power was seen to go, by its port or by the board.
    """

    cycled: Cycled
    board: str
    ok: bool


def check_power(real: RealBoard) -> PowerCheck:
    """Cycle a board's power, and see what its port and its firmware make of it.

    A hub that lies may cut the data lines, and leave the supply on: then the port goes and comes
    back, and only the firmware knows.

    Raises:
        PowerFailed: by its port the power stayed on, or the board did not come back.
        RigError: the board is not there, or its power could not be switched.
    """
    dut = _greeted(real)
    try:
        cycled = real.power_cycle()
        if dut is None:
            return PowerCheck(
                cycled=cycled,
                board="it was not asked: no firmware of this harness answers",
                ok=not cycled.problem,
            )
        dut.link.reopen()
        return _asked(dut, cycled)
    finally:
        if dut is not None:
            dut.link.close()


def _greeted(real: RealBoard) -> Dut | None:
    """The board, if it answers HELLO; it need not be there."""
    try:
        dut = real.connect(_SOON)
    except RigError:
        if real.steps:
            raise
        return None
    try:
        dut.greet(_SOON)
    except (BoardError, RigError):
        dut.link.close()
        return None
    return dut


def _asked(dut: Dut, cycled: Cycled) -> PowerCheck:
    try:
        dut.resync()
    except BoardRebooted:
        return PowerCheck(cycled=cycled, board=STARTED_ANEW, ok=True)
    except BoardError as error:
        silent = f"it does not answer: {error.what}"
        return PowerCheck(cycled=cycled, board=silent, ok=False)
    return PowerCheck(cycled=cycled, board=STAYED_ON, ok=False)
