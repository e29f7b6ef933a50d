"""docs/csv.md and the records agree on every column, in both directions."""

import re
from pathlib import Path

import pytest

from harness.measure.csvfile import columns
from harness.measure.tables import (
    CallRow,
    CurrentRow,
    EnergyRow,
    EvaluationRow,
    FunctionRow,
    LatencyRow,
    LayerRow,
    MemoryRow,
    OperatorRow,
    OutputRow,
    SampleRow,
)

TEXT = (Path(__file__).parents[2] / "docs" / "csv.md").read_text()
TABLES = {
    "latency.csv": LatencyRow,
    "samples.csv": SampleRow,
    "outputs.csv": OutputRow,
    "memory.csv": MemoryRow,
    "layers.csv": LayerRow,
    "operators.csv": OperatorRow,
    "functions.csv": FunctionRow,
    "calls.csv": CallRow,
    "evaluation.csv": EvaluationRow,
    "energy.csv": EnergyRow,
    "currents.csv": CurrentRow,
}


def documented(name: str) -> list[str]:
    """Column names in the first cells of the table under a file's heading."""
    section = TEXT.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_documented_once_and_no_other(name: str) -> None:
    found = documented(name)
    assert len(found) == len(set(found))
    assert set(found) == set(columns(TABLES[name]))


def test_every_table_has_its_section() -> None:
    assert set(re.findall(r"^## `(.+)`$", TEXT, re.MULTILINE)) == set(TABLES)
    listed = re.findall(r"^\| `(\w+\.csv)` \|", TEXT.split("\n## ")[0], re.MULTILINE)
    assert listed == list(TABLES)
