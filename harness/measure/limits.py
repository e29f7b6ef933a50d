"""Limits on latency, from a test's arguments or the rig file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import TooSlow, Where
from harness.measure.tables import LatencyRow

UNITS = {"us": "p50_us", "instructions": "instructions_p50"}
"""What a limit is counted in, and the median that it holds for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that a median may be, in `us` or `instructions`, and the `rule` that says so."""

    most: float
    unit: str
    rule: str

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"a limit is in {' or '.join(UNITS)}, not in {self.unit}")
        if not 0 < self.most < float("inf"):
            raise ValueError(f"{self.rule} is a positive number, not {self.most}")


def refuse_unmeasured(
    limits: Iterable[Limit], *, board: str, attachment: str, counted: bool
) -> None:
    """Raise ValueError for a limit in a unit in which the board is not measured.

    An emulator counts instructions: its microseconds are no time, so a limit on them would say
    nothing. The virtual board's are time, of this machine, and it counts no instructions; those of
    a simulated chip with a model of its cycles are such cycles.

    Args:
        counted: whether the board's time is a count of instructions.
    """
    unit = "instructions" if counted else "us"
    for limit in limits:
        if limit.unit != unit:
            raise ValueError(
                f"{limit.rule}: {limit.unit} are not measured on board {board} ({attachment}); "
                f"limit its {unit}"
            )


def hold_to(row: LatencyRow, limits: Iterable[Limit]) -> None:
    """Compare a measurement's medians with limits.

    Raises:
        TooSlow: the first limit that is exceeded; a median equal to its limit is not.
    """
    for limit in limits:
        measured = getattr(row, UNITS[limit.unit])
        if measured > limit.most:
            raise TooSlow(
                where=Where(board=row.board, port=row.port, model=row.model),
                measured=measured,
                limit=limit.most,
                unit=limit.unit,
                rule=limit.rule,
            )
