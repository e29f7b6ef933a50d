"""Samples of runs as distributions: the same from one block or from many."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from fakes import nights

from harness.measure.csvfile import append
from harness.measure.frames import Tables
from harness.measure.runs import IDENTITY, identity
from harness.measure.samples import Samples, SampleTable, Spread, merged

RUN = nights.real_board(1)
ROWS = nights.sample_rows(RUN, invokes=12)
NAME = identity(RUN[-1])


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
def test_percentiles_are_numpys(n: int) -> None:
    samples = np.random.default_rng(n).integers(0, 7, n).astype(float)
    spread = Spread.of(samples)
    assert spread.size == n
    for percent in (0, 5, 50, 95, 100):
        assert spread.percentile(percent) == pytest.approx(np.percentile(samples, percent))


def test_merged_distributions_are_that_of_all_samples() -> None:
    parts = [np.array([3.0, 1.0, 1.0]), np.array([2.0, 3.0]), np.array([9.0])]
    assert merged([Spread.of(part) for part in parts]) == Spread.of(np.concatenate(parts))


def read(path: Path, names: Iterable[tuple[str, ...]] = (NAME,)) -> tuple[Samples | None, int]:
    tables = Tables()
    tables.add(path, "samples")
    table = SampleTable(IDENTITY, set(names))
    for frame in tables.frames("samples"):
        table.add(frame)
    return table.of_runs().get(NAME), table.twice


@pytest.mark.parametrize("block", [1, 300, 1 << 22])
@pytest.mark.parametrize("order", ["as measured", "shuffled"])
def test_blocks_and_order_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, order: str
) -> None:
    rows = list(ROWS)
    if order == "shuffled":
        np.random.default_rng(1).shuffle(rows)  # type: ignore[arg-type]
    append(tmp_path / "samples.csv", rows + rows[5:25])
    monkeypatch.setattr("harness.measure.lines.BLOCK_BYTES", block)
    found, twice = read(tmp_path / "samples.csv")
    assert found == nights.samples_of(ROWS) and twice == 20
    assert found is not None and len(found) == len(ROWS)


def test_samples_of_other_runs_are_not_held(tmp_path: Path) -> None:
    append(tmp_path / "samples.csv", ROWS)
    assert read(tmp_path / "samples.csv", []) == (None, 0)
