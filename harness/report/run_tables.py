"""The tables of one measurement that are folded away on a screen."""

from __future__ import annotations

from harness.measure.kinds import KINDS
from harness.measure.runs import Run
from harness.report.data import COUNT, TIME, latency_unit, median_of
from harness.report.facts import ABSENT, Grid, figure_of, text_of
from harness.report.operators import PAGE_HEADINGS, cells_of_rows

_MOST_FUNCTIONS = 50


def tables_of(item: Run) -> tuple[Grid, ...]:
    """Its sessions, and what else the files have of it: operators, functions, memory."""
    return (_sessions(item), *_operators(item), *_functions(item), *_sections(item))


def _sessions(item: Run) -> Grid:
    rows = tuple(
        (
            text_of(row.session_number or ABSENT),
            text_of(row.began),
            figure_of(row.n),
            figure_of(row.cold_us),
            figure_of(median_of(row)),
            figure_of(row.mad_us),
            figure_of(row.p95_us),
            figure_of(row.max_us),
            row.error or "",
        )
        for row in item.sessions
    )
    headings = (
        "session",
        "began with",
        "invokes",
        "cold, µs",
        f"median, {latency_unit(item.row)}",
        "MAD, µs",
        "p95, µs",
        "max, µs",
        "lost by",
    )
    return Grid(caption="Each session: one start of the board", headings=headings, rows=rows)


def _sections(item: Run) -> tuple[Grid, ...]:
    """What each owner takes in each section of the firmware."""
    if not item.memory:
        return ()
    rows = tuple(
        (
            row.section,
            row.owner,
            f"{row.flash_bytes:,}" if row.flash_bytes else "",
            f"{row.ram_bytes:,}" if row.ram_bytes else "",
        )
        for row in item.memory
    )
    headings = ("section", "owner", "flash, bytes", "RAM, bytes")
    return (Grid(caption="Memory by section and owner", headings=headings, rows=rows),)


def _operators(item: Run) -> tuple[Grid, ...]:
    """Each operator of the run's profile against that of its baseline."""
    rows = cells_of_rows(item.operators)
    if not rows:
        return ()
    exact = all(row.before_us is None and row.now_us is None for row in item.operators)
    caption = (
        f"Operators against run {item.operators[0].baseline_run}, in {COUNT if exact else TIME}"
    )
    return (Grid(caption=caption, headings=PAGE_HEADINGS, rows=rows),)


def _functions(item: Run) -> tuple[Grid, ...]:
    """What each function took of one invoke that an emulator counted."""
    if not item.functions:
        return ()
    whole = max(1, item.functions[0].whole_instructions)
    rows = tuple(
        (
            row.function,
            row.owner,
            f"{row.calls:,}",
            f"{row.instructions:,}",
            f"{row.instructions / whole:.1%}",
            f"{row.with_callees:,}",
            *(f"{getattr(row, kind):,}" if getattr(row, kind) else "" for kind in KINDS),
        )
        for row in item.functions[:_MOST_FUNCTIONS]
    )
    left = len(item.functions) - len(rows)
    caption = "Instructions by function" + (f"; {left} that took less are left out" if left else "")
    headings = ("function", "owner", "calls", "its own", "share", "with callees", *KINDS)
    return (Grid(caption=caption, headings=headings, rows=rows),)
