"""The table that a run ends with, at most WIDTH columns wide, and under it what concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from harness.artifact import DEFAULT_DTYPE
from harness.compare import Verdict
from harness.report import WIDTH, LatencyRow, table, wrapped

_NAMES = "board, runtime\n  model"
_HEADINGS = ("mismatches", "median", "p99", "against\nbaseline", "flash\nbytes", "arena\nbytes")
_ABSENT = "-"
_MS_FROM_US = 10_000
_CLOCK_FAULTS = {"off": "is off", "unsteady": "does not run evenly"}
_RATIO_SAYS_MORE = ("faster", "slower")
_EXPLAINED = ("slower", "cannot tell")


def summary(rows: Sequence[LatencyRow], csv: Path) -> str:
    """A table of the rows of whole runs, by board and runtime; notes; where they were appended.

    No line is wider than WIDTH and no name is cut: one that leaves no room for the figures stands
    on a line of its own above them, and figures too wide for a table are listed.
    """
    notes = [piece for note in _notes(rows) for piece in wrapped(note)]
    return "\n".join([*_table(rows), *notes, *wrapped(f"appended to {csv}")])


def _table(rows: Sequence[LatencyRow]) -> list[str]:
    for lines in (_beside(rows), _beneath(rows)):
        if all(len(line) <= WIDTH for line in lines):
            return lines
    return list(_listed(rows))


def _beside(rows: Sequence[LatencyRow]) -> list[str]:
    """Figures on the line of their model, under a line for each board and runtime."""
    indented = [(f"  {_model(row)}", *_figures(row)) for row in rows]
    heading, body = _drawn(_NAMES, indented)
    return [*heading, *_grouped(rows, ([line] for line in body))]


def _beneath(rows: Sequence[LatencyRow]) -> list[str]:
    """Figures on the line after their model's."""
    heading, body = _drawn("", [("", *_figures(row)) for row in rows])
    below = ([*_indented(_model(row)), figures] for row, figures in zip(rows, body, strict=True))
    return [*heading, *_grouped(rows, below)]


def _listed(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """No table: every figure after its name."""
    names = [heading.replace("\n", " ") for heading in _HEADINGS]

    def entries() -> Iterator[list[str]]:
        for row in rows:
            named = [f"{name} {text}" for name, text in zip(names, _figures(row), strict=True)]
            yield [*_indented(_model(row)), *_indented(", ".join(named), by=4)]

    return _grouped(rows, entries())


def _drawn(names: str, cells: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """Heading and body of the table."""
    lines = table((names, *_HEADINGS), cells).split("\n")
    return lines[: -len(cells)], lines[-len(cells) :]


def _grouped(rows: Sequence[LatencyRow], entries: Iterable[list[str]]) -> Iterator[str]:
    """The lines of each row, and before those of each board and runtime a line that names both."""
    pairs = zip(rows, entries, strict=True)
    for place, members in groupby(pairs, key=lambda pair: f"{pair[0].board}, {pair[0].runtime}"):
        yield from wrapped(place)
        for _, lines in members:
            yield from lines


def _indented(text: str, by: int = 2) -> list[str]:
    return [" " * by + piece for piece in wrapped(text, WIDTH - by)]


def _model(row: LatencyRow) -> str:
    return row.model if row.dtype == DEFAULT_DTYPE else f"{row.model}_{row.dtype}"


def _figures(row: LatencyRow) -> tuple[str, ...]:
    """The cells beside a model's name."""
    counted = row.instructions_p50 is not None
    return (
        _ABSENT if row.mismatches is None else f"{row.mismatches}/{row.samples}",
        f"{row.instructions_p50} instr" if counted else duration(row.p50_us),
        duration(row.p99_us),
        _against_baseline(row),
        _ABSENT if row.flash_bytes is None else str(row.flash_bytes),
        _ABSENT if row.arena_used_bytes is None else str(row.arena_used_bytes),
    )


def duration(us: float | None) -> str:
    """Microseconds to a tenth; milliseconds from 10 ms up; a dash where there was none."""
    if us is None:
        return _ABSENT
    return f"{us:.1f} us" if us < _MS_FROM_US else f"{us / 1000:.2f} ms"


def _against_baseline(row: LatencyRow) -> str:
    if row.baseline_verdict is None:
        return _ABSENT
    if row.baseline_verdict in _RATIO_SAYS_MORE and row.baseline_ratio is not None:
        return f"{row.baseline_ratio:.3f} {row.baseline_verdict}"
    return row.baseline_verdict


def _notes(rows: Sequence[LatencyRow]) -> list[str]:
    """What a reader of the figures has to know; empty where they say it all."""
    notes = []
    if any(row.emulated and row.instructions_p50 is not None for row in rows):
        notes.append("emulated boards: us are virtual, not time on silicon")
    elif any(row.emulated for row in rows):
        notes.append("emulated boards: not time on silicon")
    return notes + [note for row in rows for note in _notes_of(row)]


def _notes_of(row: LatencyRow) -> Iterator[str]:
    name = f"{row.board}, {row.runtime}, {_model(row)}"
    if row.verdict not in (None, Verdict.PASS.value):
        yield f"{name}: {row.verdict}, judged by {row.reference}"
    if row.baseline_verdict in _EXPLAINED:
        yield f"{name}: {_judged(row)}"
    if row.sessions_lost:
        asked = (row.sessions or 0) + row.sessions_lost
        yield f"{name}: {row.sessions_lost} of {asked} sessions lost"
    if row.clock_check in _CLOCK_FAULTS:
        yield f"{name}: the board's clock {_CLOCK_FAULTS[row.clock_check]}{_rate(row)}"
    if row.accuracy is not None:
        yield (
            f"{name}: accuracy {row.accuracy:.4f} over {row.samples} inputs"
            + ("" if row.golden_accuracy is None else f"; {row.golden_accuracy:.4f}")
            + ("" if row.reference is None else f" by {row.reference}")
        )


def _judged(row: LatencyRow) -> str:
    """The verdict, and the rule's own words: they have ratio and interval."""
    against = "" if row.baseline_run is None else f" against run {row.baseline_run}"
    return f"{_against_baseline(row)}{against}: {row.baseline_rule or 'no rule was said'}"


def _rate(row: LatencyRow) -> str:
    if row.clock_ppm is None:
        return ""
    sure = "" if row.clock_ppm_error is None else f", give or take {row.clock_ppm_error:.0f}"
    return f": {row.clock_ppm:+.0f} ppm against this machine's{sure}"
