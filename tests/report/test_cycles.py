from __future__ import annotations

from harness.measure.cores import CORES
from harness.measure.cycles import CycleEstimate
from harness.report.cycles import cycles_text


def test_an_estimate_is_called_one_in_its_heading_its_columns_and_its_figures() -> None:
    estimate = CycleEstimate(
        core=CORES["Cortex-M4"],
        wait_states=2,
        instructions={"load": 10, "data": 100},
        cycles={"load": 18.0, "data": 100.0},
        waiting=4,
    )
    lines = cycles_text(estimate, ["off by much " * 10]).splitlines()
    assert lines[0].startswith("ESTIMATE, not measured: cycles on a Cortex-M4, flash of 2 wait")
    rows = [line.split() for line in lines if "~" in line]
    assert rows == [
        ["data", "100", "~100"],
        ["load", "10", "~18"],
        ["waiting", "for", "flash", "~4"],
        ["sum", "110", "~122"],
    ]
    assert "estimated" in " ".join(lines) and max(map(len, lines)) <= 80
    assert any(line.startswith("error: off by much") for line in lines)
