"""A model measured where it is linked in and where it was brought to: flash and RAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.board.registry import Board
from harness.measure.baseline import load_baselines
from harness.measure.tables import LatencyRow
from harness.model.artifact import Artifact
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.sessions import Plan, judged_by, measure_board


def measured_in_turn(
    board: Board, model: Artifact, ways: Sequence[RigOptions], folder: Path
) -> list[LatencyRow]:
    """Rows of the model measured in several ways, each held to the runs before it."""
    csv = folder / "latency.csv"
    rows = []
    for options in ways:
        judge = judged_by(load_baselines(csv), track=False) if csv.is_file() else None
        with open_board(board, model, find_project(), options) as opened:
            plan = Plan(samples=5, csv=csv, judge=judge)
            rows.append(measure_board(opened, plan).run)
    return rows
