"""Two sets of runs side by side as a document: what is slower, wrong or larger, and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from harness.measure.energy_gate import LESS, MORE, any_more
from harness.measure.footprint import QUANTITIES, FootprintRow, footprints
from harness.measure.function_changes import FunctionChanges, calls_text, count_text
from harness.measure.gate import LatencyVerdict
from harness.measure.operator_gate import ProfileVersus, profiles_versus
from harness.measure.runs import Baselines, Run, Subject
from harness.measure.versus import (
    HEADINGS,
    ONLY_A,
    ONLY_B,
    REFUSED,
    VersusRow,
    amount,
    any_slower,
    ratios,
    versus,
)
from harness.report.document import Column, Document, Kind, Line, Note, Section
from harness.report.operators import operators_part
from harness.report.part import MOST_MOVED, SUBJECT_COLUMNS, Part
from harness.text import counted

_SLOWER, _SAME = LatencyVerdict.SLOWER.value, LatencyVerdict.SAME.value
_ORDER = (
    _SLOWER,
    MORE,
    REFUSED,
    ONLY_A,
    LatencyVerdict.CANNOT_TELL.value,
    LatencyVerdict.FASTER.value,
    LESS,
    ONLY_B,
    _SAME,
)
"""Verdicts, the one to be read first first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two sets of runs and what they differ in. What nobody asked for is None."""

    a: Baselines
    b: Baselines
    times: tuple[VersusRow, ...]
    sizes: tuple[FootprintRow, ...] | None = None
    functions: tuple[FunctionChanges, ...] | None = None
    operators: tuple[ProfileVersus, ...] | None = None
    energies: tuple[VersusRow, ...] | None = None

    @property
    def slower(self) -> bool:
        """Whether the gate should close: a whole, or an operator, is slower or takes more."""
        profiles, energies = self.operators or (), self.energies or ()
        slower = any_slower(self.times) or any(item.slower for item in profiles)
        return slower or any_more(energies)


def compared(a: Baselines, b: Baselines, *, sizes: bool, operators: bool = False) -> Compared:
    """Compare two sets of runs, each board, runtime, model and dtype that either has.

    Args:
        operators: also those of their profiles, with which `with_profiles` gave them.
    """
    return Compared(
        a=a,
        b=b,
        times=versus(a, b),
        sizes=footprints(a, b) if sizes else None,
        operators=profiles_versus(a, b) if operators else None,
    )


def document_of(
    found: Compared, title: str, notes: Sequence[Note] = (), before: Iterable[Part] = ()
) -> Document:
    """A comparison as a document, the parts `before` first in its verdict."""
    parts = [*before]
    if found.times:
        parts += [outputs_part(found.a.runs, found.b.runs), times_part(found.times)]
    if found.energies:
        parts.append(times_part(found.energies, "Energy"))
    if found.operators:
        parts.append(operators_part(found.operators))
    if found.functions:
        parts.append(functions_part(found.functions))
    if found.sizes:
        parts.append(footprint_part(found.sizes))
    if any(run.row.emulated for run in (*found.a.runs, *found.b.runs)):
        notes = [*notes, Note(text="emulated boards count instructions, not time on silicon")]
    return _of_parts(title, parts, notes)


def _of_parts(title: str, parts: Iterable[Part], notes: Sequence[Note] = ()) -> Document:
    """The sections of several comparisons under one verdict."""
    parts = list(parts)
    said = "; ".join(part.said for part in parts if part.said)
    return Document(
        title=title,
        verdict=f"{said[:1].upper()}{said[1:]}." if said else "",
        bad=any(part.bad for part in parts),
        notes=tuple(notes),
        sections=tuple(part.section for part in parts if _says_something(part.section)),
    )


def _says_something(section: Section | None) -> TypeGuard[Section]:
    return section is not None and bool(section.lines or section.notes or section.left_out)


def times_part(rows: Sequence[VersusRow], what: str = "Time") -> Part:
    """Time, exact instructions, or energy: what grew most first, and for each row its rule."""
    ordered = sorted(rows, key=lambda row: (_ORDER.index(row.verdict), -(row.ratio or 0)))
    said = _tally(row.verdict for row in ordered)
    figures = [
        Column(heading=heading, kind=Kind.WORD if heading == HEADINGS[-1] else Kind.FIGURE)
        for heading in ("A", "B", *HEADINGS)
    ]
    section = Section(
        heading=f"{what}: {said}",
        columns=(*SUBJECT_COLUMNS, *figures),
        lines=tuple(map(_time_line, ordered)),
        notes=tuple(Note(subject=subject_text(row), text=row.reason) for row in ordered),
    )
    bad = any_slower(rows) or any_more(rows)
    return Part(section=section, said=f"energy {said}" if what != "Time" else said, bad=bad)


def _time_line(row: VersusRow) -> Line:
    figures = (amount(row, row.a), amount(row, row.b), *ratios(row))
    return Line(cells=(*subject_cells(row), *figures), loud=row.verdict in (_SLOWER, MORE))


def outputs_part(a: Iterable[Run], b: Iterable[Run]) -> Part:
    """Models whose newest outputs in B are wrong, or were in A."""
    before, after = _judged(a), _judged(b)
    lines = [
        Line(
            cells=(*_named(name), _outputs(before.get(name)), _outputs(after.get(name))),
            loud=_wrong(after.get(name)),
        )
        for name in sorted({*before, *after})
        if _wrong(before.get(name)) or _wrong(after.get(name))
    ]
    wrong = [name for name, run in after.items() if _wrong(run)]
    if not lines:
        return Part(section=None, said="all outputs right" if after else "")
    lines.sort(key=lambda line: not line.loud)
    columns = (Column(heading="A", kind=Kind.WORD), Column(heading="B", kind=Kind.WORD))
    said = f"wrong outputs of {len(wrong)} of {len(after)}" if wrong else "all outputs right"
    section = Section(
        heading=f"Outputs: {said}", columns=(*SUBJECT_COLUMNS, *columns), lines=tuple(lines)
    )
    return Part(section=section, said=said, bad=bool(wrong))


def _judged(runs: Iterable[Run]) -> dict[Subject, Run]:
    return {run.subject: run for run in runs if run.row.verdict is not None}


def _wrong(run: Run | None) -> bool:
    return run is not None and run.row.verdict != "pass"


def _outputs(run: Run | None) -> str:
    if run is None:
        return "-"
    row = run.row
    said = "right" if row.verdict == "pass" else str(row.verdict)
    return said if not row.mismatches else f"{said}, {row.mismatches} of {row.samples}"


def footprint_part(rows: Sequence[FootprintRow]) -> Part:
    """Flash, RAM, arena and stack: what grew first, and who took or gave the bytes."""
    ordered = sorted(rows, key=lambda row: (not row.larger, not row.changed))
    larger = sum(bool(row.larger) for row in rows)
    changed = sum(bool(row.changed) for row in rows)
    both = any(size.difference is not None for row in rows for size in row.sizes)
    smaller = f"{changed} smaller" if changed else "no size changed" if both else ""
    said = f"{larger} larger" if larger else smaller
    if not any(size.a is not None or size.b is not None for row in rows for size in row.sizes):
        return Part(section=None)
    sizes = tuple(Column(heading=quantity, kind=Kind.FIGURE) for quantity in QUANTITIES)
    section = Section(
        heading=f"Bytes: {said or 'nothing to compare'}",
        columns=(*SUBJECT_COLUMNS, *sizes),
        lines=tuple(Line(cells=(*subject_cells(row), *map(str, row.sizes))) for row in ordered),
        notes=tuple(_owner_notes(ordered)),
    )
    return Part(section=section, said=said)


def functions_part(found: Sequence[FunctionChanges]) -> Part:
    """Functions whose instructions differ, the largest changes first."""
    differing = [item for item in found if item.changes]
    changes = [(item, change) for item in differing for change in item.changes]
    changes.sort(key=lambda pair: -abs(pair[1].change))
    lines = tuple(
        Line(
            cells=(
                *subject_cells(item),
                change.function,
                count_text(change.a),
                count_text(change.b),
                f"{change.change:+d}",
                calls_text(change),
            )
        )
        for item, change in changes[:MOST_MOVED]
    )
    said = f"{counted(len(changes), 'function')} changed" if changes else "no function changed"
    figures = ("A, instructions", "B", "change", "calls")
    columns = (
        *(*SUBJECT_COLUMNS, Column(heading="function", kind=Kind.NAME)),
        *(Column(heading=heading, kind=Kind.FIGURE) for heading in figures),
    )
    notes = tuple(
        Note(
            subject=subject_text(item),
            text=f"{item.a} to {item.b} instructions of all functions ({item.b - item.a:+d})",
        )
        for item in differing
    )
    section = Section(
        heading=f"Functions: {said}",
        columns=columns,
        lines=lines,
        notes=notes,
        left_out=len(changes[MOST_MOVED:]),
    )
    return Part(section=section if lines else None, said=said)


def _owner_notes(rows: Iterable[FootprintRow]) -> Iterable[Note]:
    for row in rows:
        for size in row.sizes:
            if size.why:
                yield Note(subject=subject_text(row), text=size.why)


def subject_cells(row: VersusRow | FootprintRow | FunctionChanges) -> tuple[str, str, str]:
    """Board, runtime, and the model with its dtype."""
    return row.board, row.runtime, f"{row.model}_{row.dtype}"


def subject_text(row: VersusRow | FootprintRow | FunctionChanges) -> str:
    """The same as one text."""
    return ", ".join(subject_cells(row))


def _named(subject: Subject) -> tuple[str, str, str]:
    board, runtime, model, dtype = subject
    return board, runtime, f"{model}_{dtype}"


def _tally(verdicts: Iterable[str]) -> str:
    """`1 slower, 2 same`, in the order of the verdicts."""
    counts = Counter(verdicts)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or counted(0, "run")
