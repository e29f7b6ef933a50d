"""Two sets of runs side by side: ratios with intervals, what is in one only, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.baseline import refusal
from harness.measure.csvfile import content_of
from harness.measure.gate import LatencyVerdict, judge
from harness.measure.runs import SUBJECT, Baselines, Key, Run, Subject
from harness.text import TableEntry, duration, energy_text, grouped_table, wrapped

ONLY_A, ONLY_B, REFUSED = "only in A", "only in B", "refused"
INSTRUCTIONS, MICROJOULES = "instructions", "uJ"
HEADINGS = ("ratio", "95 % interval", "verdict")
"""Of what `ratios` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersusRow:
    """One board, runtime, model and dtype in A and in B; absent where it is in one only.

    `a` and `b` are medians of session medians in `unit`. `verdict` is the gate's word, or `only in
    A`, `only in B`, `refused`; `reason` is its rule. The ratio is B's over A's.
    """

    board: str
    runtime: str
    model: str
    dtype: str
    verdict: str
    reason: str
    unit: str | None = None
    a: float | None = None
    b: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    delta: float | None = None
    run_a: str | None = None
    run_b: str | None = None
    commit_a: str | None = None
    commit_b: str | None = None


def _by_name(runs: Iterable[Run]) -> dict[Subject, list[Run]]:
    named: dict[Subject, list[Run]] = {}
    for run in runs:
        named.setdefault(run.subject, []).append(run)
    return named


def versus(a: Baselines, b: Baselines) -> tuple[VersusRow, ...]:
    """Every board, runtime, model and dtype of either, in order of name.

    The newest run of B is compared with the newest of A that it may be compared with. A model is
    the same by its name, and a runtime whatever its version: they are what commits change.
    """
    before, after = _by_name(a.runs), _by_name(b.runs)
    rows = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            rows.append(_alone(before[name][-1], ONLY_A, b.runs))
        elif name not in before:
            rows.append(_alone(after[name][-1], ONLY_B, a.runs))
        else:
            rows.append(_pair(before[name], after[name][-1]))
    return tuple(rows)


def _row(run: Run, verdict: str, reason: str, **known: Any) -> VersusRow:
    unit = INSTRUCTIONS if run.figures.exact else "us"
    named: dict[str, Any] = dict(zip(SUBJECT, run.subject, strict=True))
    return VersusRow(**named, verdict=verdict, reason=reason, unit=unit, **known)


def _side(run: Run, side: str) -> dict[str, Any]:
    """The columns of A or B."""
    median = run.figures.median if run.figures.figures else None
    return {side: median, f"run_{side}": run.id, f"commit_{side}": run.row.git_commit}


def _alone(run: Run, where: str, others: Iterable[Run]) -> VersusRow:
    row = run.row
    elsewhere = {
        other.row.board
        for other in others
        if (other.row.model, other.row.dtype) == (row.model, row.dtype)
        and other.row.emulated != row.emulated
    }
    verdict, reason = where, f"no run of it in {'B' if where == ONLY_A else 'A'}"
    if elsewhere:
        verdict = REFUSED
        what = ("emulated", "real") if row.emulated else ("real", "emulated")
        reason = f"{where} and {what[0]}; {', '.join(sorted(elsewhere))} is {what[1]}: not compared"
    return _row(run, verdict, reason, **_side(run, "a" if where == ONLY_A else "b"))


def _pair(candidates: Sequence[Run], run: Run) -> VersusRow:
    reasons = [(base, refusal(run.key, base.key, any_version=True)) for base in candidates]
    fitting = [pair for pair in reasons if pair[1] is None]
    base, why = (fitting or reasons)[-1]
    both = _side(base, "a") | _side(run, "b")
    if why is not None:
        return _row(run, REFUSED, _sides(why), **both)
    found = judge(base.figures, run.figures)
    said = "; ".join([_sides(found.rule), *_changes(base.key, run.key)])
    interval = {"ratio": found.ratio, "low": found.low, "high": found.high, "delta": found.delta}
    return _row(run, found.verdict.value, said, **both, **interval)


def _sides(reason: str) -> str:
    return reason.replace("this run", "B").replace("the baseline", "A").replace("baseline", "A")


def _changes(base: Key, key: Key) -> list[str]:
    """What is not the same in the two, and need not be."""
    pairs = (
        ("model", base.model_sha256[:8], key.model_sha256[:8]),
        ("runtime", base.runtime_version, key.runtime_version),
    )
    return [f"{what} changed from {old} to {new}" for what, old, new in pairs if old != new]


def any_slower(rows: Iterable[VersusRow]) -> bool:
    """Whether the gate should close."""
    return any(row.verdict == LatencyVerdict.SLOWER.value for row in rows)


def as_text(rows: Sequence[VersusRow]) -> str:
    """A table and, for whatever is not simply the same, the reason; at most 80 columns."""
    entries = [
        TableEntry(
            group=f"{row.board}, {row.runtime}",
            name=f"{row.model}_{row.dtype}",
            figures=(amount(row, row.a), amount(row, row.b), *ratios(row)),
        )
        for row in rows
    ]
    lines = grouped_table(("A", "B", *HEADINGS), entries)
    for row in rows:
        if row.verdict != LatencyVerdict.SAME.value:
            said = f"{row.board}, {row.runtime}, {row.model}_{row.dtype}: {row.reason}"
            lines += wrapped(said)
    return "\n".join(lines)


def amount(row: VersusRow, median: float | None) -> str:
    """A median of the row in its unit."""
    if median is None:
        return "-"
    if row.unit == MICROJOULES:
        return energy_text(median)
    return f"{median:.0f} instr" if row.unit == INSTRUCTIONS else duration(median)


def ratios(row: VersusRow) -> tuple[str, ...]:
    """Ratio, interval and verdict, for the columns HEADINGS."""
    interval = "-"
    if row.low is not None and row.high is not None:
        interval = f"{_four(row.low)}..{_four(row.high)}"
    return "-" if row.ratio is None else _four(row.ratio), interval, row.verdict


def _four(ratio: float) -> str:
    """Three decimals; fewer where they would need more than five characters."""
    digits = 3 if ratio < 10 else 2 if ratio < 100 else 0
    return f"{ratio:.{digits}f}"


def as_csv(rows: Sequence[VersusRow]) -> str:
    """The records, one a line."""
    return content_of(rows, VersusRow).decode().rstrip("\n")
