"""The table at the end of a run, at most WIDTH columns wide, with notes below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.measure.compare import Verdict
from harness.measure.latency import P99_LEAST_SAMPLES, SHORTENED, UNMASKED
from harness.measure.tables import GOLDEN_INPUTS, LatencyRow
from harness.model.artifact import DEFAULT_DTYPE
from harness.text import WIDTH, TableEntry, duration, grouped_table, wrapped
from harness.tolerance import EXACT

_HEADINGS = ("mismatches", "median", "p99", "against\nbaseline", "flash\nbytes", "arena\nbytes")
_ABSENT = "-"
_CLOCK_FAULTS = {"off": "is off", "unsteady": "does not run evenly"}
_STATES = {
    "reset": "its state was reset before each invoke",
    "kept": "its state was kept from one invoke to the next",
}
_RATIO_SAYS_MORE = ("faster", "slower")
_EXPLAINED = ("slower", "cannot tell")


def summary(rows: Sequence[LatencyRow], csv: Path | None) -> str:
    """A table of the rows of whole runs, by board and runtime; notes; where they were appended.

    A path that is longer than a line stays whole, to be copied. None: some could not be appended.
    """
    entries = [
        TableEntry(group=f"{row.board}, {row.runtime}", name=_model(row), figures=_figures(row))
        for row in rows
    ]
    notes = [piece for note in _notes(rows) for piece in wrapped(note)]
    return "\n".join([*grouped_table(_HEADINGS, entries), *notes, *_appended(csv)])


def _appended(csv: Path | None) -> list[str]:
    if csv is None:
        return ["not all of this could be appended"]
    whole = f"appended to {csv}"
    return [whole] if len(whole) <= WIDTH else ["appended to", str(csv)]


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


def _against_baseline(row: LatencyRow) -> str:
    if row.baseline_verdict is None:
        return _ABSENT
    if row.baseline_verdict in _RATIO_SAYS_MORE and row.baseline_ratio is not None:
        return f"{_ratio(row.baseline_ratio)} {row.baseline_verdict}"
    return row.baseline_verdict


def _ratio(ratio: float) -> str:
    """To three decimals; to more where an instruction more would else look like none."""
    texts = [f"{ratio:.{digits}f}" for digits in (3, 4, 5, 6)]
    return next((text for text in texts if float(text) != 1.0), texts[0])


def _notes(rows: Sequence[LatencyRow]) -> list[str]:
    """Notes that a reader of the figures needs; empty if there are none."""
    notes = []
    if any(row.emulated and row.instructions_p50 is not None for row in rows):
        notes.append("emulated boards: us are virtual, not time on silicon")
    elif any(row.emulated for row in rows):
        notes.append("emulated boards: not time on silicon")
    return notes + [note for row in rows for note in _notes_of(row)]


def _notes_of(row: LatencyRow) -> Iterator[str]:
    name = f"{row.board}, {row.runtime}, {_model(row)}"
    if row.verdict not in (None, Verdict.PASS.value):
        outputs = f" in output {row.wrong_outputs}" if row.wrong_outputs else ""
        yield f"{name}: {row.verdict}{outputs}, judged by {row.reference}"
    if row.tolerance not in (None, str(EXACT)):
        worst = "" if row.max_ulp is None else f", at most {row.max_ulp} ulp off"
        yield f"{name}: tolerance {row.tolerance}; {row.within_tolerance} differ within it{worst}"
    if row.n_rule == SHORTENED and row.n:
        count = row.n // (row.sessions or 1)
        p99 = "" if row.n >= P99_LEAST_SAMPLES else f", p99 needs {P99_LEAST_SAMPLES}"
        yield f"{name}: {count} timed invokes ({SHORTENED}{p99}): --samples N for more"
    if row.check_inputs not in (None, GOLDEN_INPUTS):
        yield f"{name}: inputs {row.check_inputs}"
    if row.baseline_verdict in _EXPLAINED:
        yield f"{name}: {_judged(row)}"
    if row.sessions_lost:
        asked = (row.sessions or 0) + row.sessions_lost
        yield f"{name}: {row.sessions_lost} of {asked} sessions lost"
    if row.clock_check in _CLOCK_FAULTS:
        yield f"{name}: the board's clock {_CLOCK_FAULTS[row.clock_check]}{_rate(row)}"
    if row.interrupts == UNMASKED:
        yield f"{name}: the board's tick and its USB interrupted what was timed"
    if row.state is not None:
        yield f"{name}: {_STATES.get(row.state, row.state)}"
    if row.accuracy is not None:
        yield (
            f"{name}: accuracy {row.accuracy:.4f} over {row.samples} inputs"
            + ("" if row.golden_accuracy is None else f"; {row.golden_accuracy:.4f}")
            + ("" if row.reference is None else f" by {row.reference}")
        )


def _judged(row: LatencyRow) -> str:
    """The verdict with the rule that decided it, which names ratio and interval."""
    against = "" if row.baseline_run is None else f" against run {row.baseline_run}"
    return f"{_against_baseline(row)}{against}: {row.baseline_rule or 'no rule was said'}"


def _rate(row: LatencyRow) -> str:
    if row.clock_ppm is None:
        return ""
    sure = "" if row.clock_ppm_error is None else f", give or take {row.clock_ppm_error:.0f}"
    return f": {row.clock_ppm:+.0f} ppm against this machine's{sure}"
