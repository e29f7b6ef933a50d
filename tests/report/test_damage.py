"""Damaged CSV files: one error of ours, or what can be read with the bad rows counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.whole.damage import Counts, make_whole, try_damage
from harness.measure.tables import TABLES


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make_whole(folder)
    return folder


@pytest.mark.parametrize("seed", (3, 105))
def test_damaged_files_are_read_or_refused(whole: Path, tmp_path: Path, seed: int) -> None:
    counts = Counts()
    try_damage(whole, tmp_path, seed, counts)
    assert counts.wrong == [] and counts.outcomes.total() == len(TABLES) + 7
