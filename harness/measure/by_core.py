"""Models by core: what the newest runs on cores with exact counts of instructions come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.measure.csvfile import content_of
from harness.measure.tables import RAM, LatencyRow
from harness.text import TableEntry, grouped_table, wrapped

REFERENCE = "qemu-m4"
"""The board whose instructions the others' are divided by."""
HEADINGS = (
    *("instr", "instr\nper MAC", f"against\n{REFERENCE}", "flash\nbytes", "RAM\nbytes"),
    *("arena\nbytes", "differ"),
)
PAGE_HEADINGS = (
    *("model, runtime", "core", "kernels", "instructions", "per MAC", f"against {REFERENCE}"),
    *("flash, bytes", "RAM, bytes", "arena, bytes", "inputs that differ"),
)
_NAMES = "model, runtime\n  core"
_ABSENT = "-"
_SHARED = (
    "flash and RAM of models that were brought to one firmware are that firmware's: for each "
    "model's own measure with --swap never"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreRow:
    """One model on one emulated core with one runtime: the newest run of it.

    `ratio` is of the instructions to those on REFERENCE, with the same runtime and model file; None
    where there is no such run. `macs` is None for runs of before they were recorded. `differing`
    counts the inputs with an output that is not bit-equal to the golden's, within the tolerance or
    not; None where nothing was compared. Where `model_in` is RAM, flash and RAM are of a firmware
    for several models.
    """

    model: str
    dtype: str
    runtime: str
    board: str
    mcu: str
    kernels: str | None
    instructions: int
    macs: int | None
    instructions_per_mac: float | None
    ratio: float | None
    flash_bytes: int | None
    ram_bytes: int | None
    arena_used_bytes: int | None
    samples: int | None
    differing: int | None
    verdict: str | None
    tolerance: str | None
    model_in: str | None
    model_sha256: str
    git_commit: str | None
    run: str | None

    @property
    def bit_equal(self) -> bool:
        """Whether outputs were compared, and all are equal to the golden's bit for bit."""
        return self.differing == 0 and bool(self.samples)


def by_core(rows: Iterable[LatencyRow]) -> tuple[CoreRow, ...]:
    """The newest of each model, runtime and core that counts instructions; fewest first.

    Args:
        rows: rows of whole runs in the order of time; real boards and host time are left out.
    """
    newest = {
        (row.model, row.dtype, row.runtime, row.board): row
        for row in rows
        if row.emulated and row.instructions_p50
    }
    references = {name[:3]: row for name, row in newest.items() if name[3] == REFERENCE}
    found = [_core_row(row, references.get(name[:3])) for name, row in newest.items()]
    found.sort(key=lambda row: (row.model, row.dtype, row.runtime, row.instructions, row.board))
    return tuple(found)


def compared(rows: Iterable[CoreRow]) -> tuple[CoreRow, ...]:
    """Those of models that several cores ran with one runtime."""
    kept = tuple(rows)
    counts = Counter((row.model, row.dtype, row.runtime) for row in kept)
    return tuple(row for row in kept if counts[row.model, row.dtype, row.runtime] > 1)


def _core_row(row: LatencyRow, reference: LatencyRow | None) -> CoreRow:
    assert row.instructions_p50, "a row that counts"
    return CoreRow(
        model=row.model,
        dtype=row.dtype,
        runtime=row.runtime,
        board=row.board,
        mcu=row.mcu,
        kernels=row.kernels,
        instructions=row.instructions_p50,
        macs=row.macs,
        instructions_per_mac=row.instructions_p50 / row.macs if row.macs else None,
        ratio=_ratio(row, reference),
        flash_bytes=row.flash_bytes,
        ram_bytes=row.ram_bytes,
        arena_used_bytes=row.arena_used_bytes,
        samples=row.samples,
        differing=None if row.mismatches is None else row.mismatches + (row.within_tolerance or 0),
        verdict=row.verdict,
        tolerance=row.tolerance,
        model_in=row.model_in,
        model_sha256=row.model_sha256,
        git_commit=row.git_commit,
        run=row.run,
    )


def _ratio(row: LatencyRow, reference: LatencyRow | None) -> float | None:
    if reference is None or reference.model_sha256 != row.model_sha256:
        return None
    assert row.instructions_p50 and reference.instructions_p50, "rows that count"
    return row.instructions_p50 / reference.instructions_p50


def cells(row: CoreRow) -> tuple[str, ...]:
    """A core's figures, as HEADINGS; an exclamation mark where it is not bit-equal."""
    return (
        str(row.instructions),
        _number(row.instructions_per_mac),
        _number(row.ratio, 3),
        *map(_whole, (row.flash_bytes, row.ram_bytes, row.arena_used_bytes)),
        differing(row),
    )


def page_cells(row: CoreRow) -> tuple[str, ...]:
    """As PAGE_HEADINGS."""
    _, per_mac, ratio, *_, differ = cells(row)
    counts = (row.flash_bytes, row.ram_bytes, row.arena_used_bytes)
    return (
        *(f"{row.model} {row.dtype}, {row.runtime}", row.board, row.kernels or _ABSENT),
        *(f"{row.instructions:,}", per_mac, ratio),
        *(_ABSENT if count is None else f"{count:,}" for count in counts),
        differ,
    )


def differing(row: CoreRow) -> str:
    """`0/256`: inputs that are not bit-equal, of those compared; marked unless there are none."""
    if row.differing is None or not row.samples:
        return "none compared!"
    return f"{row.differing}/{row.samples}{'' if row.bit_equal else '!'}"


def _number(value: float | None, digits: int = 2) -> str:
    return _ABSENT if value is None else f"{value:.{digits}f}"


def _whole(value: int | None) -> str:
    return _ABSENT if value is None else str(value)


def as_text(rows: Sequence[CoreRow]) -> str:
    """A table of the cores of each model, and notes; at most 80 columns."""
    entries = [
        TableEntry(
            group=f"{row.model}_{row.dtype}, {row.runtime}", name=row.board, figures=cells(row)
        )
        for row in rows
    ]
    lines = grouped_table(HEADINGS, entries, names=_NAMES)
    return "\n".join([*lines, *(piece for note in notes(rows) for piece in wrapped(note))])


def notes(rows: Sequence[CoreRow]) -> list[str]:
    """What a reader of the table needs to know: what is not bit-equal, and what has no ratio."""
    if not rows:
        return []
    said = ["emulated cores: exact counts of instructions, not time on silicon"]
    commits = {row.git_commit for row in rows}
    if len(commits) > 1:
        said.append(f"measured at {len(commits)} commits: other code may explain what differs")
    if any(row.model_in == RAM for row in rows):
        said.append(_SHARED)
    for row in rows:
        name = f"{row.board}, {row.runtime}, {row.model}_{row.dtype}"
        if not row.bit_equal:
            said.append(f"{name}: not shown to be bit-equal, {_why(row)}")
        if row.ratio is None:
            said.append(f"{name}: no run of this model file on {REFERENCE} with {row.runtime}")
    return said + _empty_cells(rows)


def _empty_cells(rows: Iterable[CoreRow]) -> list[str]:
    """Which models of a runtime a core has no run of, though it ran others: too large, mostly."""
    ran: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        of_core = ran.setdefault(row.runtime, {}).setdefault(row.board, [])
        of_core.append(f"{row.model}_{row.dtype}")
    said = []
    for runtime, cores in ran.items():
        models = dict.fromkeys(model for names in cores.values() for model in names)
        for core, names in cores.items():
            if missing := [model for model in models if model not in names]:
                said.append(f"{core}, {runtime}: no run of {', '.join(missing)}")
    return said


def _why(row: CoreRow) -> str:
    if row.differing is None or not row.samples:
        return "no outputs were compared"
    held = f", held to {row.tolerance}" if row.tolerance else ""
    return f"{row.differing} of {row.samples} inputs differ (verdict {row.verdict or 'none'}{held})"


def as_csv(rows: Sequence[CoreRow]) -> str:
    """The records, one a line."""
    return content_of(rows, CoreRow).decode().rstrip("\n")
