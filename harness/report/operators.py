"""Operators against those of a baseline, or of A and B: for a terminal, CSV, a document, a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.measure.csvfile import content_of
from harness.measure.gate import LatencyVerdict
from harness.measure.operator_gate import ProfileVersus, change_of
from harness.measure.operators import APPEARED, SLOWER, WENT, OperatorChange, any_slower
from harness.measure.tables import PROFILE, OperatorRow
from harness.measure.versus import HEADINGS, INSTRUCTIONS, REFUSED
from harness.report.document import Column, Kind, Line, Note, Section
from harness.report.part import MOST_MOVED, SUBJECT_COLUMNS, Part
from harness.text import WIDTH, listed, printable, shortened, table, wrapped

_SAME, _CANNOT_TELL = LatencyVerdict.SAME.value, LatencyVerdict.CANNOT_TELL.value
_ORDER = (SLOWER, APPEARED, WENT, LatencyVerdict.FASTER.value, _CANNOT_TELL, _SAME)
MOST_SHOWN = 20
"""Operators of one profile in a terminal's table; of more, those to be read first."""
_MOST_REASONS = 3
_LEAST_LABEL = 12


def tally(changes: Iterable[OperatorChange]) -> str:
    """`1 slower, 1 appeared, 6 same`."""
    counts = Counter(change.verdict for change in changes)
    ordered = sorted(counts.items(), key=lambda item: _place(item[0]))
    return ", ".join(f"{count} {verdict}" for verdict, count in ordered) or "none"


def _place(verdict: str) -> int:
    return _ORDER.index(verdict) if verdict in _ORDER else len(_ORDER)


def operators_text(
    changes: Sequence[OperatorChange], sides: tuple[str, str] = ("before", "now")
) -> str:
    """A table of those that are not the same, and why; at most WIDTH columns."""
    moved = [change for change in changes if change.verdict != _SAME]
    if not moved:
        return ""
    shown = _shown(moved)
    counts = all(change.unit == INSTRUCTIONS for change in shown)
    unit = "instr" if counts else "us"
    figures = [_figures(change) for change in shown]
    headings = (*(f"{side}\n{unit}" for side in sides), "ratio", "verdict")
    lines = _fitting(shown, figures, headings)
    if len(moved) > len(shown):
        lines += f"\n... and {tally(moved[len(shown) :])}"
    return "\n".join([lines, *_reasons(moved)])


def _shown(moved: list[OperatorChange]) -> list[OperatorChange]:
    """Of too many those to be read first; they come first in `moved` then."""
    if len(moved) > MOST_SHOWN:
        moved.sort(key=lambda change: _place(change.verdict))
    return moved[:MOST_SHOWN]


def _fitting(
    shown: Sequence[OperatorChange],
    figures: Sequence[tuple[str, ...]],
    headings: tuple[str, ...],
) -> str:
    """The table with the outputs' shapes where there is room for them."""
    for shapes in (True, False):
        extra = [(change.shape,) if shapes else () for change in shown]
        cells = [(*more, *row) for more, row in zip(extra, figures, strict=True)]
        names = ("operator", *(("output",) if shapes else ()), *headings)
        used = len(table(names, [("", *row) for row in cells]).split("\n")[1]) - len("operator")
        room = max(_LEAST_LABEL, WIDTH - used)
        if shapes and room < max(len(_label(change)) for change in shown):
            continue
        rows = [
            (shortened(_label(change), room), *row)
            for change, row in zip(shown, cells, strict=True)
        ]
        return table(names, rows)
    raise AssertionError("a table without shapes is always one")


def _label(change: OperatorChange) -> str:
    return printable(change.label)


def _figures(change: OperatorChange) -> tuple[str, ...]:
    return _amount(change, change.a), _amount(change, change.b), _ratio(change), change.verdict


def _amount(change: OperatorChange, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if change.unit == INSTRUCTIONS or value >= 1e6 else f"{value:.1f}"


def _ratio(change: OperatorChange) -> str:
    """To three decimals; to more where an instruction more would else look like none."""
    if change.ratio is None:
        return "-"
    if change.ratio >= 1000:
        return f"{change.ratio:.0f}"
    texts = [f"{change.ratio:.{digits}f}" for digits in (3, 4, 5, 6)]
    changed = change.verdict != _SAME
    return next((text for text in texts if not changed or float(text) != 1.0), texts[0])


def _reasons(moved: Sequence[OperatorChange]) -> Iterator[str]:
    """The rules of what could not be told, and of what was by times; counts speak for themselves.

    Of each verdict the first few.
    """
    seen: Counter[str] = Counter()
    for change in moved:
        exact = change.unit == INSTRUCTIONS and change.verdict != _CANNOT_TELL
        if exact or change.verdict in (APPEARED, WENT):
            continue
        seen[change.verdict] += 1
        if seen[change.verdict] <= _MOST_REASONS:
            yield from wrapped(f"{_label(change)}: {change.verdict}: {change.rule}")


def rows_text(rows: Sequence[OperatorRow]) -> str:
    """The rows of operators.csv of one run: a line that counts them, and a table of what moved."""
    first = rows[0]
    if first.operator == PROFILE:
        return "\n".join(wrapped(f"operators against the baseline: {first.verdict}: {first.rule}"))
    changes = [change_of(row) for row in rows]
    head = f"operators against run {first.baseline_run}: {tally(changes)}"
    return "\n".join([*wrapped(head), *filter(None, [operators_text(changes)])])


def sentence_of_rows(rows: Sequence[OperatorRow]) -> str:
    """What got slower, faster, appeared or went, as a sentence; of many the first few."""
    first = rows[0]
    if first.operator == PROFILE:
        return f"Operators against the baseline: {first.verdict}, {first.rule}."
    changes = [change_of(row) for row in rows]
    named = []
    for verdict in _ORDER:
        labels = [_with_ratio(change) for change in changes if change.verdict == verdict]
        if labels and verdict != _SAME:
            named.append(f"{verdict}: {listed(labels, _MOST_REASONS)}")
    same = sum(change.verdict == _SAME for change in changes)
    said = "; ".join([*named, f"{same} of {len(changes)} the same"])
    return f"Operators against run {first.baseline_run}: {said}."


def _with_ratio(change: OperatorChange) -> str:
    return change.label if change.ratio is None else f"{change.label} ({_ratio(change)})"


PAGE_HEADINGS = ("operator", "output", "before", "now", "ratio", "95 % interval", "verdict")


def cells_of_rows(rows: Sequence[OperatorRow]) -> tuple[tuple[str, ...], ...]:
    """Cells beneath PAGE_HEADINGS, a row for each operator; what moved comes first."""
    changes = [change_of(row) for row in rows if row.operator != PROFILE]
    ordered = sorted(changes, key=lambda change: _place(change.verdict))
    return tuple(_cells(change) for change in ordered)


def _cells(change: OperatorChange) -> tuple[str, ...]:
    before, now, ratio, verdict = _figures(change)
    return change.label, change.shape, before, now, ratio, _interval(change), verdict


def summary_of_rows(rows: Sequence[OperatorRow]) -> str:
    """As `rows_text`, of several runs, each under a line that names it."""
    parts = []
    for (board, runtime, model, dtype), found in groupby(
        rows, key=lambda row: (row.board, row.runtime, row.model, row.dtype)
    ):
        parts.append(f"{board}, {runtime}, {model}_{dtype}\n{rows_text(list(found))}")
    return "\n".join(parts)


def versus_text(found: Sequence[ProfileVersus]) -> str:
    """Operators of A and B, each board, runtime and model under a line of its own."""
    parts = []
    for item in found:
        name = f"{item.board}, {item.runtime}, {item.model}_{item.dtype}"
        parts += wrapped(f"{name}: {item.refused or tally(item.changes)}")
        if text := operators_text(item.changes, ("A", "B")):
            parts.append(text)
    return "\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersusOperatorRow:
    """A line of `hil compare --layers --format csv`; None is an empty cell."""

    board: str
    runtime: str
    model: str
    dtype: str
    index_a: int | None = None
    index_b: int | None = None
    operator: str | None = None
    name: str | None = None
    shape: str | None = None
    a_us: float | None = None
    b_us: float | None = None
    a_instructions: int | None = None
    b_instructions: int | None = None
    verdict: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str
    run_a: str | None = None
    run_b: str | None = None


def versus_csv(found: Sequence[ProfileVersus]) -> str:
    """Every operator a line; of what was refused one line."""
    rows = [row for item in found for row in _versus_rows(item)]
    return content_of(rows, VersusOperatorRow).decode().rstrip("\n")


def _versus_rows(item: ProfileVersus) -> Iterator[VersusOperatorRow]:
    def row(verdict: str, reason: str, **known: object) -> VersusOperatorRow:
        subject = {name: getattr(item, name) for name in ("board", "runtime", "model", "dtype")}
        runs = {"run_a": item.run_a, "run_b": item.run_b}
        return VersusOperatorRow(**{**subject, **runs, **known}, verdict=verdict, reason=reason)

    if item.refused is not None:
        yield row(REFUSED, item.refused)
    for change in item.changes:
        exact = change.unit == INSTRUCTIONS
        suffix, kind = ("instructions", int) if exact else ("us", float)
        sides: dict[str, object] = {
            f"{side}_{suffix}": None if value is None else kind(value)
            for side, value in (("a", change.a), ("b", change.b))
        }
        yield row(
            change.verdict,
            change.rule,
            **sides,
            **{
                name: getattr(change, name)
                for name in (
                    *("index_a", "index_b", "operator", "name", "shape"),
                    *("ratio", "low", "high"),
                )
            },
        )


def operators_part(found: Sequence[ProfileVersus]) -> Part:
    """Operators of A and B in a document: those that moved, the slower first."""
    changes = [change for item in found for change in item.changes]
    if not changes:
        notes = tuple(_refused(found))
        section = Section(heading="Operators: nothing compared", notes=notes) if notes else None
        return Part(section=section)
    lines = sorted(_lines(found), key=lambda pair: _place(pair[0]))
    said = f"operators: {tally(changes)}"
    figures = [Column(heading=text, kind=Kind.FIGURE) for text in ("A", "B", *HEADINGS[:-1])]
    section = Section(
        heading=said.capitalize(),
        columns=(
            *SUBJECT_COLUMNS,
            Column(heading="operator", kind=Kind.NAME),
            Column(heading="output", kind=Kind.NAME),
            *figures,
            Column(heading=HEADINGS[-1], kind=Kind.WORD),
        ),
        lines=tuple(line for _, line in lines[:MOST_MOVED]),
        notes=(*_refused(found), *_rules(found)),
        left_out=len(lines[MOST_MOVED:]),
    )
    return Part(section=section, said=said, bad=any_slower(changes))


def _subject(item: ProfileVersus) -> tuple[str, str, str]:
    return item.board, item.runtime, f"{item.model}_{item.dtype}"


def _lines(found: Sequence[ProfileVersus]) -> Iterator[tuple[str, Line]]:
    for item in found:
        for change in item.changes:
            if change.verdict == _SAME:
                continue
            a, b, ratio, verdict = _figures(change)
            unit = "instr" if change.unit == INSTRUCTIONS else "us"
            amounts = (text if text == "-" else f"{text} {unit}" for text in (a, b))
            cells = (*_subject(item), change.label, change.shape, *amounts)
            line = Line(cells=(*cells, ratio, _interval(change), verdict), loud=verdict == SLOWER)
            yield change.verdict, line


def _interval(change: OperatorChange) -> str:
    if change.low is None or change.high is None or change.unit == INSTRUCTIONS:
        return "-"
    return f"{change.low:.3f}..{change.high:.3f}"


def _refused(found: Sequence[ProfileVersus]) -> Iterator[Note]:
    for item in found:
        if item.refused is not None:
            yield Note(subject=", ".join(_subject(item)), text=item.refused)


def _rules(found: Sequence[ProfileVersus]) -> Iterator[Note]:
    for item in found:
        for change in item.changes:
            if change.verdict != _SAME:
                subject = ", ".join((*_subject(item), change.label))
                yield Note(subject=subject, text=change.rule)
