"""An estimate of cycles as text, which says in every part of it that it is one."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.cycles import CycleEstimate
from harness.text import table, wrapped


def cycles_text(estimate: CycleEstimate, errors: Sequence[str]) -> str:
    """A table by what instructions cost like, the sum, and how far off it may be.

    Args:
        errors: as `error_lines` has them.
    """
    flash = f", flash of {estimate.wait_states} wait states" if estimate.wait_states else ""
    lines = wrapped(
        f"ESTIMATE, not measured: cycles on a {estimate.core.name}{flash}, from counted "
        f"instructions and costs out of a table ({estimate.core.source})"
    )
    rows = [(name, str(count), _cycles(cost)) for name, count, cost in estimate.by_class()]
    if estimate.waiting:
        rows.append(("waiting for flash", "", _cycles(estimate.waiting)))
    rows.append(("sum", str(estimate.total_instructions), _cycles(estimate.total)))
    lines.append(table(("", "instructions", "estimated\ncycles"), rows))
    for error in errors:
        lines += wrapped(f"error: {error}")
    return "\n".join(lines)


def _cycles(cycles: float) -> str:
    return f"~{cycles:.0f}"
