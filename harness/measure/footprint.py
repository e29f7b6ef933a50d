"""Flash, RAM, arena and stack of two sets of runs: exact counts, so that any change is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.measure.runs import Baselines, Run, Subject
from harness.measure.tables import OWNERS, LatencyRow
from harness.text import TableEntry, grouped_table, wrapped

QUANTITIES = {
    "flash": "flash_bytes",
    "RAM": "ram_bytes",
    "arena": "arena_used_bytes",
    "stack": "stack_used_bytes",
}
"""What a firmware takes, and the columns of latency.csv that say how much of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeChange:
    """Bytes in A and in B; None where nothing was measured.

    `owners` are those whose share changed, with the difference in bytes: of flash and RAM only.
    """

    quantity: str
    a: int | None
    b: int | None
    owners: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        """Bytes in B, with the difference where there is one; of A alone, that it is gone."""
        if self.b is None:
            return "-" if self.a is None else f"{self.a} in A only"
        return f"{self.b} ({self.difference:+d})" if self.difference else str(self.b)

    @property
    def why(self) -> str:
        """`flash +512: kernels +480, rest +32`; nothing where no owner's share changed."""
        shares = ", ".join(f"{owner} {change:+d}" for owner, change in self.owners)
        return f"{self.quantity} {self.difference or 0:+d}: {shares}" if shares else ""

    @property
    def difference(self) -> int | None:
        """B less A; None unless both were measured."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintRow:
    """What one board, runtime, model and dtype takes in A and in B: `sizes` as QUANTITIES."""

    board: str
    runtime: str
    model: str
    dtype: str
    sizes: tuple[SizeChange, ...]

    @property
    def changed(self) -> tuple[SizeChange, ...]:
        """The quantities that are not the same in both."""
        return tuple(size for size in self.sizes if size.difference)

    @property
    def larger(self) -> tuple[SizeChange, ...]:
        """Those that grew."""
        return tuple(size for size in self.changed if (size.difference or 0) > 0)


def footprints(a: Baselines, b: Baselines) -> tuple[FootprintRow, ...]:
    """Every board, runtime, model and dtype that either has, in order of name.

    The newest run of each side counts, whatever its clock and its compiler flags: those are what
    changes a size.
    """
    before, after = _newest(a.runs), _newest(b.runs)
    return tuple(
        _row(name, before.get(name), after.get(name)) for name in sorted({*before, *after})
    )


def any_larger(rows: Iterable[FootprintRow]) -> bool:
    """Whether anything grew, where that is to close the gate."""
    return any(row.larger for row in rows)


def as_text(rows: Sequence[FootprintRow]) -> str:
    """A table, and who took or gave the bytes; at most 80 columns."""
    entries = [
        TableEntry(
            group=f"{row.board}, {row.runtime}",
            name=f"{row.model}_{row.dtype}",
            figures=tuple(map(str, row.sizes)),
        )
        for row in rows
    ]
    lines = grouped_table(tuple(QUANTITIES), entries)
    for row in rows:
        for size in filter(lambda size: size.why, row.sizes):
            lines += wrapped(f"{row.board}, {row.runtime}, {row.model}_{row.dtype}: {size.why}")
    return "\n".join(lines)


def _newest(runs: Iterable[Run]) -> dict[Subject, LatencyRow]:
    return {run.subject: run.row for run in runs}


def _row(name: Subject, a: LatencyRow | None, b: LatencyRow | None) -> FootprintRow:
    board, runtime, model, dtype = name
    sizes = tuple(_change(quantity, a, b) for quantity in QUANTITIES)
    return FootprintRow(board=board, runtime=runtime, model=model, dtype=dtype, sizes=sizes)


def _change(quantity: str, a: LatencyRow | None, b: LatencyRow | None) -> SizeChange:
    column = QUANTITIES[quantity]
    owners = _owners(quantity.lower(), a, b) if quantity in ("flash", "RAM") else ()
    return SizeChange(quantity=quantity, a=_bytes(a, column), b=_bytes(b, column), owners=owners)


def _owners(where: str, a: LatencyRow | None, b: LatencyRow | None) -> tuple[tuple[str, int], ...]:
    changes = []
    for owner in OWNERS:
        old, new = (_bytes(row, f"{where}_{owner}_bytes") for row in (a, b))
        if old is not None and new is not None and old != new:
            changes.append((owner, new - old))
    return tuple(changes)


def _bytes(row: LatencyRow | None, column: str) -> int | None:
    return None if row is None else getattr(row, column)
