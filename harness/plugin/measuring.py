"""What the fixture `latency` does."""

from __future__ import annotations

import pytest

from harness.errors import NotKept
from harness.measure.limits import Limit, hold_to, refuse_unmeasured
from harness.measure.tables import LatencyRow
from harness.model.samples import Batch
from harness.plugin.state import RunState, set_property
from harness.rig.open import OpenBoard
from harness.rig.sessions import Plan, measure_board, refuse_slower

_PROPERTIES = (
    *("p50_us", "p99_us", "instructions_p50", "mismatches", "emulated", "accuracy", "sessions"),
    *("tolerance", "within_tolerance", "max_ulp", "wrong_outputs", "check_inputs"),
    *("baseline_verdict", "baseline_ratio", "baseline_rule", "clock_check"),
)
"""Columns of a run's row that JUnit has of the test as well."""


def measure(
    item: pytest.Item,
    rig: RunState,
    board: OpenBoard,
    n: int | None = None,
    sample: Batch | None = None,
    *,
    at_most_us: float | None = None,
    at_most_instructions: float | None = None,
) -> LatencyRow:
    """Measure a board in a test; the fixture's docstring says the rest."""
    asked = {"at_most_us": at_most_us, "at_most_instructions": at_most_instructions}
    limits = [
        Limit(most=most, unit=rule.removeprefix("at_most_"), rule=rule)
        for rule, most in asked.items()
        if most is not None
    ] + rig.limits_for(board)
    refuse_unmeasured(
        limits,
        board=board.declared.id,
        attachment=board.declared.attachment,
        counted=board.declared.ns_per_instruction is not None,
    )
    plan = Plan(
        samples=n or rig.options.samples,
        sessions=rig.options.sessions,
        csv=rig.options.csv,
        commit=rig.commit,
        judge=rig.judge,
    )
    try:
        row = measure_board(board, plan, sample).run
    except NotKept as error:
        rig.rows += (row for row in error.rows if isinstance(row, LatencyRow))
        raise
    rig.rows.append(row)
    rig.measured = row
    for name in _PROPERTIES:
        set_property(item, f"hil_{name}", getattr(row, name))
    hold_to(row, limits)
    refuse_slower(row)
    return row
