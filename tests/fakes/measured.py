"""Rows of runs as the harness writes them, without a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fakes import described

from harness.measure.runs import Run, complete, runs_of
from harness.measure.tables import RUN, SESSION, LatencyRow

QUIET = (100.0, 100.1, 99.9, 100.2, 99.8)
"""Medians of five sessions that differ by 0.15 %."""


def rows(run: str, times: Sequence[float | None] = QUIET, **changes: Any) -> list[LatencyRow]:
    """Rows of a run, its own last; a session without a time was lost to a reboot."""
    common = described.row(**{"run": run, "flags": "-Os -mcpu=cortex-m4", **changes})
    sessions = [
        replace(
            common,
            scope=SESSION,
            session=f"{run}-{number}",
            session_number=number,
            p50_us=time,
            error=None if time is not None else "board rebooted during RUN",
        )
        for number, time in enumerate(times, 1)
    ]
    good = [time for time in times if time is not None]
    whole = replace(
        common,
        scope=RUN,
        p50_us=good[0],
        sessions=len(good),
        sessions_lost=len(times) - len(good),
    )
    return [*sessions, whole]


def a_run(run: str, times: Sequence[float | None] = QUIET, **changes: Any) -> Run:
    """The same, taken together."""
    (found,), _ = complete(runs_of(rows(run, times, **changes)))
    return found
