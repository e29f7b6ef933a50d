"""What a run's tests said of each board: collected from reports, whichever process made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.measure.tables import EnergyRow, LatencyRow
from harness.outcome import Outcome, worst
from harness.text import wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was done to bring a board back after an error of the link, and whether it helped."""

    helped: bool
    text: str

    def __str__(self) -> str:
        return f"{'recovered' if self.helped else 'not recovered'} after {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What one phase of a test on a board adds to the counts.

    `outcome` is None where the phase decides nothing, as a set-up that went well. `reason` is its
    first line. `retries` are the requests sent again and `rows` and `energies` what was measured
    since the note before, `recovery` what was done to the board in between, `slow` what its line
    could not carry.
    """

    board: str
    outcome: Outcome | None = None
    reason: str = ""
    skipped: bool = False
    retries: int = 0
    rows: tuple[LatencyRow, ...] = ()
    energies: tuple[EnergyRow, ...] = ()
    recovery: Recovery | None = None
    slow: tuple[str, ...] = ()

    def pack(self) -> dict[str, Any]:
        """Plain values, to travel with a report from another process."""
        return {**asdict(self), "outcome": self.outcome.value if self.outcome else None}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Note:
        """The note that was packed."""
        outcome, recovery = packed["outcome"], packed["recovery"]
        return cls(
            **{
                **packed,
                "outcome": Outcome(outcome) if outcome else None,
                "slow": tuple(packed["slow"]),
                "rows": tuple(LatencyRow(**row) for row in packed["rows"]),
                "energies": tuple(EnergyRow(**row) for row in packed["energies"]),
                "recovery": Recovery(**recovery) if recovery else None,
            }
        )


@dataclass(slots=True)
class BoardCounts:
    """The notes of one board, summed up."""

    board: str
    counts: Counter[Outcome] = field(default_factory=Counter)
    skipped: int = 0
    retries: int = 0
    reasons: dict[Outcome, dict[str, int]] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def add(self, note: Note) -> None:
        """Count one more note."""
        if note.recovery is not None:
            self.recoveries.append(note.recovery)
        self.skipped += note.skipped
        self.retries += note.retries
        self.slow += note.slow
        if note.outcome is not None:
            self.counts[note.outcome] += 1
            if note.reason:
                seen = self.reasons.setdefault(note.outcome, {})
                seen[note.reason] = seen.get(note.reason, 0) + 1

    @property
    def outcome(self) -> Outcome:
        """The worst that was seen."""
        return worst(self.counts)

    def counted(self) -> str:
        """`12 passed, 1 too slow, 2 skipped, recovered once`."""
        parts = [f"{self.counts[kind]} {kind.value}" for kind in Outcome if self.counts[kind]]
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        if helped := sum(recovery.helped for recovery in self.recoveries):
            parts.append("recovered once" if helped == 1 else f"recovered {helped} times")
        return ", ".join(parts) or "nothing ran"

    def lines(self) -> list[str]:
        """The board's part of the closing section, each line fit for a terminal."""
        lines = [f"{self.board}: {self.counted()}"]
        if self.retries:
            lines.append(f"{self.board}: {self.retries} requests were sent again")
        lines += self.slow
        for kind, reasons in sorted(
            self.reasons.items(), key=lambda item: list(Outcome).index(item[0])
        ):
            for reason, times in reasons.items():
                several = f" ({times} times)" if times > 1 else ""
                lines.append(f"  {kind.value}: {reason}{several}")
        lines += [f"  {recovery}" for recovery in self.recoveries]
        return [piece for line in lines for piece in wrapped(line)]


class RunCounts:
    """A run's boards, its rows of latency and energy, and whatever failed without a board."""

    def __init__(self, boards: Iterable[str]) -> None:
        self._boards = {board: BoardCounts(board) for board in boards}
        self.rows: list[LatencyRow] = []
        self.energies: list[EnergyRow] = []
        self.failed_elsewhere = False

    def add(self, note: Note) -> None:
        """Count one more note."""
        self._boards[note.board].add(note)
        self.rows += note.rows
        self.energies += note.energies

    @property
    def boards(self) -> list[BoardCounts]:
        """The boards of which something was said, in the order asked for."""
        return [board for board in self._boards.values() if board.counts or board.skipped]

    @property
    def outcome(self) -> Outcome:
        """The worst of all."""
        elsewhere = [Outcome.FAILED] if self.failed_elsewhere else []
        return worst([*elsewhere, *(board.outcome for board in self._boards.values())])
