"""What a run means to `git bisect run`: good, bad, cannot be judged, or stop the search."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import (
    HilError,
    NotKept,
    ReportError,
    SlowerThanBaseline,
    TensorError,
    TooSlow,
    WrongUse,
)
from harness.measure.gate import LatencyVerdict
from harness.measure.tables import LatencyRow
from harness.outcome import GIT_ABORT, GIT_BAD, GIT_GOOD, GIT_SKIP


def status_of_error(error: HilError) -> int:
    """Of a run that ended with an error: it is bad for a latency alone.

    A build that fails, a model that cannot run, a board that is sick or runs other firmware say
    nothing of what is searched for.
    """
    if isinstance(error, TooSlow | SlowerThanBaseline):
        return GIT_BAD
    if isinstance(error, WrongUse | ReportError | NotKept | TensorError):
        return GIT_ABORT
    return GIT_SKIP


def status_of_row(row: LatencyRow) -> int:
    """Of a board that was measured: wrong or slower is bad; a run that the gate cannot tell from
    its baseline is skipped."""
    if row.verdict != "pass" or row.baseline_verdict == LatencyVerdict.SLOWER.value:
        return GIT_BAD
    return GIT_SKIP if row.baseline_verdict == LatencyVerdict.CANNOT_TELL.value else GIT_GOOD


def worst_of(statuses: Iterable[int]) -> int:
    """Of several boards and models: one that is bad decides; good are all or none."""
    order = (GIT_ABORT, GIT_BAD, GIT_SKIP, GIT_GOOD)
    return min(statuses, key=order.index, default=GIT_GOOD)
