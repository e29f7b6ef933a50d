"""The functions that differ between two builds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ReportError
from harness.measure.frames import Tables, records_of, table_in
from harness.measure.runs import Subject
from harness.measure.tables import FunctionRow
from harness.text import counted, shortened, table, wrapped

MOST_LINES = 20
"""Functions of one board, runtime and model that a table shows."""
_NAME_LETTERS = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChange:
    """A function in two builds: its own instructions of one invoke, None where it has none.

    `calls` likewise.
    """

    function: str
    a: int | None
    b: int | None
    calls_a: int | None
    calls_b: int | None

    @property
    def change(self) -> int:
        """Instructions that B takes more, where none counts as 0."""
        return (self.b or 0) - (self.a or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChanges:
    """The functions of one invoke whose own instructions differ, the largest change first.

    `a` and `b` are the instructions of the whole invoke: the changes add up to their difference.
    """

    board: str
    runtime: str
    model: str
    dtype: str
    a: int
    b: int
    changes: tuple[FunctionChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRuns:
    """The functions of the newest counted run of each subject in `source`; `notes` on the rest."""

    source: str
    rows: tuple[FunctionRow, ...]
    notes: tuple[str, ...]


def load_functions(path: Path) -> CountedRuns:
    """Functions of a latency CSV, of a functions CSV, or of a folder of them.

    Raises:
        ReportError: it cannot be read, or no invoke was counted.
    """
    tables = Tables()
    if path.is_file() and table_in(path) == "functions":
        tables.add(path, "functions")
    else:
        tables.add_source(path, ("latency", "functions"))
    rows = newest_runs(records_of(tables.frame("functions"), FunctionRow))
    if not rows:
        raise ReportError(
            f"{path} holds no functions of an invoke",
            hint="Count them: hil bench --functions, or pytest --hil-functions, on one of QEMU's "
            "boards.",
        )
    return CountedRuns(source=str(path), rows=rows, notes=tuple(tables.notes))


def newest_runs(rows: Sequence[FunctionRow]) -> tuple[FunctionRow, ...]:
    """Of each board, runtime, model and dtype the rows of the run that was counted last."""
    last: dict[Subject, tuple[str, str]] = {}
    for row in rows:
        last[_subject(row)] = max(last.get(_subject(row), ("", "")), (row.time_utc, row.run))
    return tuple(row for row in rows if last[_subject(row)] == (row.time_utc, row.run))


def compare_functions(
    a: Iterable[FunctionRow], b: Iterable[FunctionRow]
) -> tuple[FunctionChanges, ...]:
    """Functions that differ, of each board, runtime, model and dtype that both have counted.

    A part that the compiler split off (`.constprop.0`, `.part.1`) counts with its function: whether
    it does so differs between builds.

    Args:
        a: rows of one run of each board, runtime, model and dtype, as `newest_runs` returns them.
    """
    before, after = _by_subject(a), _by_subject(b)
    return tuple(
        _changes(name, before[name], after[name]) for name in sorted(before.keys() & after.keys())
    )


@dataclass(frozen=True, slots=True)
class _Sum:
    name: str
    instructions: int
    calls: int


_Functions = dict[str, _Sum]
"""By symbol."""


def _subject(row: FunctionRow) -> Subject:
    return row.board, row.runtime, row.model, row.dtype


def _by_subject(rows: Iterable[FunctionRow]) -> dict[Subject, _Functions]:
    found: dict[Subject, _Functions] = {}
    for row in rows:
        functions = found.setdefault(_subject(row), {})
        symbol, name = (text.partition(".")[0] or text for text in (row.symbol, row.function))
        so_far = functions.get(symbol, _Sum(name, 0, 0))
        functions[symbol] = _Sum(
            name, so_far.instructions + row.instructions, so_far.calls + row.calls
        )
    return found


def _changes(name: Subject, before: _Functions, after: _Functions) -> FunctionChanges:
    changes = [
        FunctionChange(
            function=(after.get(symbol) or before[symbol]).name,
            a=before[symbol].instructions if symbol in before else None,
            b=after[symbol].instructions if symbol in after else None,
            calls_a=before[symbol].calls if symbol in before else None,
            calls_b=after[symbol].calls if symbol in after else None,
        )
        for symbol in {**before, **after}
    ]
    board, runtime, model, dtype = name
    differing = [change for change in changes if change.change]
    return FunctionChanges(
        board=board,
        runtime=runtime,
        model=model,
        dtype=dtype,
        a=sum(item.instructions for item in before.values()),
        b=sum(item.instructions for item in after.values()),
        changes=tuple(sorted(differing, key=lambda item: (-abs(item.change), item.function))),
    )


def as_text(found: Sequence[FunctionChanges]) -> str:
    """A table for each board, runtime and model whose functions differ; at most 80 columns."""
    lines: list[str] = []
    same = 0
    for item in found:
        if not item.changes:
            same += 1
            continue
        lines += wrapped(
            f"{item.board}, {item.runtime}, {item.model}_{item.dtype}: {item.a} to {item.b} "
            f"instructions ({item.b - item.a:+d})"
        )
        lines += [f"  {line}" for line in _table(item.changes).splitlines()]
    if same:
        lines.append(f"the same functions with the same counts: {counted(same, 'model')}")
    if not found:
        lines.append("no board, runtime and model was counted by function in both")
    return "\n".join(lines)


def _table(changes: Sequence[FunctionChange]) -> str:
    rows = [
        (
            shortened(change.function, _NAME_LETTERS),
            count_text(change.a),
            count_text(change.b),
            f"{change.change:+d}",
            calls_text(change),
        )
        for change in changes[:MOST_LINES]
    ]
    if left := changes[MOST_LINES:]:
        rest = sum(change.change for change in left)
        rows.append((counted(len(left), "more function"), "", "", f"{rest:+d}", ""))
    return table(("function", "A", "B", "change", "calls"), rows)


def count_text(instructions: int | None) -> str:
    """A count; a dash where there is none."""
    return "-" if instructions is None else str(instructions)


def calls_text(change: FunctionChange) -> str:
    """`4`, or `4 to 6` where they differ."""
    before, after = count_text(change.calls_a), count_text(change.calls_b)
    return after if before == after else f"{before} to {after}"
