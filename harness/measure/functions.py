"""What the functions of a firmware took in one invoke: themselves, and with what they called."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.measure.counts import CallPath, InvokeCounts
from harness.measure.kinds import KINDS, kind_of
from harness.measure.tables import CallRow, FunctionRow
from harness.text import counted, printable, shortened, table, wrapped

MOST_PATHS = 1000
"""Of one invoke in calls.csv: of more, those that take least are put together."""
MOST_NAME = 200
UNKNOWN = "(no symbol)"
MORE = "(more)"
"""What stands for the paths that were put together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFunction:
    """A function of the firmware: `name` is for people, `symbol` as in the ELF file."""

    name: str
    symbol: str
    owner: str
    address: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCost:
    """What a function took in one invoke.

    `instructions` are its own, of which `kinds` has the parts, `with_callees` also those of all
    that it called, or jumped to as a tail call; of a recursive one each counts once. `calls` counts
    tail calls too. `function` is None for code without a symbol.
    """

    function: NamedFunction | None
    calls: int
    instructions: int
    with_callees: int
    kinds: Mapping[str, int] = field(default_factory=dict)


def function_costs(
    counts: InvokeCounts, functions: Sequence[NamedFunction]
) -> tuple[FunctionCost, ...]:
    """Costs of the functions that were executed, those that took most themselves first.

    Args:
        functions: those looked for, in the order of their addresses.
    """
    kinds = _kinds(counts, functions)
    calls: Counter[int | None] = Counter()
    alone: Counter[int | None] = Counter()
    for path in counts.paths:
        calls[path.function] += path.calls
        alone[path.function] += path.instructions
    whole = _with_callees(counts.paths)
    costs = [
        FunctionCost(
            function=None if index is None else functions[index],
            calls=calls[index],
            instructions=alone[index],
            with_callees=whole[index],
            kinds=kinds.get(index, {}),
        )
        for index in calls
    ]
    return tuple(sorted(costs, key=lambda cost: (-cost.instructions, -cost.with_callees)))


def _kinds(
    counts: InvokeCounts, functions: Sequence[NamedFunction]
) -> dict[int | None, Counter[str]]:
    begins = [function.address for function in functions]
    found: dict[int | None, Counter[str]] = {}
    for at in counts.code:
        index = bisect_right(begins, at.address) - 1
        inside = index >= 0 and at.address < functions[index].end
        found.setdefault(index if inside else None, Counter())[kind_of(at.mnemonic)] += at.count
    return found


def path_totals(paths: Sequence[CallPath]) -> list[int]:
    """Instructions of each path with all that was called from it."""
    totals = [path.instructions for path in paths]
    for index in range(len(paths) - 1, 0, -1):
        parent = paths[index].parent
        assert parent is not None, "only the first has none"
        totals[parent] += totals[index]
    return totals


def _with_callees(paths: Sequence[CallPath]) -> Counter[int | None]:
    """By function: a path below one of the same function is part of that one's."""
    totals = path_totals(paths)
    found: Counter[int | None] = Counter()
    for path, total in zip(paths, totals, strict=True):
        above = path.parent
        while above is not None and paths[above].function != path.function:
            above = paths[above].parent
        if above is None:
            found[path.function] += total
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the rows of one invoke share. `timed` are the board's own instructions for it."""

    run: str
    time_utc: str
    board: str
    runtime: str
    runtime_version: str
    model: str
    dtype: str
    model_sha256: str
    firmware_build: str
    timed: int


def function_rows(costs: Sequence[FunctionCost], of: Measured) -> tuple[FunctionRow, ...]:
    """Rows of functions.csv."""
    whole = sum(cost.instructions for cost in costs)
    return tuple(
        FunctionRow(
            run=of.run,
            time_utc=of.time_utc,
            board=of.board,
            runtime=of.runtime,
            runtime_version=of.runtime_version,
            model=of.model,
            dtype=of.dtype,
            model_sha256=of.model_sha256,
            firmware_build=of.firmware_build,
            function=_name(cost.function),
            symbol=printable(cost.function.symbol, MOST_NAME) if cost.function else "",
            owner=cost.function.owner if cost.function else "",
            size_bytes=cost.function.end - cost.function.address if cost.function else 0,
            calls=cost.calls,
            instructions=cost.instructions,
            with_callees=cost.with_callees,
            whole_instructions=whole,
            timed_instructions=of.timed,
            **{kind: cost.kinds.get(kind, 0) for kind in KINDS},
        )
        for cost in costs
    )


def _name(function: NamedFunction | None) -> str:
    return UNKNOWN if function is None else printable(function.name, MOST_NAME)


def call_rows(
    counts: InvokeCounts, functions: Sequence[NamedFunction], of: Measured
) -> tuple[CallRow, ...]:
    """Rows of calls.csv, at most about MOST_PATHS: parents before children."""
    totals = path_totals(counts.paths)
    least = sorted(totals, reverse=True)[MOST_PATHS - 1] if len(totals) > MOST_PATHS else 0
    kept: dict[int, CallRow] = {}
    left: Counter[int] = Counter()
    base = CallRow(
        **{name: getattr(of, name) for name in ("run", "board", "runtime", "model", "dtype")},
        index=0,
        parent=None,
        function="",
        calls=0,
        instructions=0,
    )
    for index, (path, total) in enumerate(zip(counts.paths, totals, strict=True)):
        if total < least or (path.parent is not None and path.parent not in kept):
            if path.parent in kept:
                left[kept[path.parent].index] += total
            continue
        kept[index] = replace(
            base,
            index=len(kept),
            parent=None if path.parent is None else kept[path.parent].index,
            function=_name(None if path.function is None else functions[path.function]),
            calls=path.calls,
            instructions=path.instructions,
        )
    more = [
        replace(base, index=len(kept) + number, parent=parent, function=MORE, instructions=total)
        for number, (parent, total) in enumerate(left.items())
    ]
    return (*kept.values(), *more)


MOST_LINES = 20
"""Functions that a table shows."""
_NAME_LETTERS = 40
_KINDS_LETTERS = 24


def functions_table(rows: Sequence[FunctionRow], *, most: int = MOST_LINES) -> str:
    """The functions that took most, and of what kind their instructions are; 80 columns."""
    whole = rows[0].whole_instructions
    shown = rows[:most]
    lines = [
        (
            _short(row.function, _NAME_LETTERS),
            str(row.calls),
            str(row.instructions),
            _percent(row.instructions, whole),
            str(row.with_callees),
            _percent(row.with_callees, whole),
        )
        for row in shown
    ]
    left = rows[most:]
    if left:
        rest = sum(row.instructions for row in left)
        name = f"{counted(len(left), 'more function')}"
        lines.append((name, "", str(rest), _percent(rest, whole), "", ""))
    lines.append(("whole", "", str(whole), "100.0%", "", ""))
    headings = ("function", "calls", "self", "share", "with\ncallees", "share")
    return "\n".join([table(headings, lines), "", _kinds_table(shown, whole), *_sum_text(rows[0])])


def _short(name: str, most: int) -> str:
    """Without as many of the outer scopes as it takes."""
    while len(name) > most and "::" in name:
        name = name.partition("::")[2]
    return shortened(name, most)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f}%"


def _kinds_table(rows: Sequence[FunctionRow], whole: int) -> str:
    """Of those that matter; kinds that none of them has are left out."""
    some = [row for row in rows if row.instructions * 50 >= whole] or list(rows[:1])
    present = [kind for kind in KINDS if any(getattr(row, kind) for row in some)]
    lines = [
        (
            _short(row.function, _KINDS_LETTERS),
            *(_part(getattr(row, kind), row.instructions) for kind in present),
        )
        for row in some
    ]
    return table(("kinds of its own", *(_SHORT.get(kind, kind) for kind in present)), lines)


_SHORT = {"multiply": "mul", "divide": "div"}


def _part(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.0f}%" if part else "-"


def _sum_text(row: FunctionRow) -> list[str]:
    apart = row.timed_instructions - row.whole_instructions
    return wrapped(
        f"the board's counter: {row.timed_instructions} instructions, {apart} more: the call of "
        "the invoke, between the counter's readings"
    )
