"""Whole pytest runs of the plugin, and what they leave."""

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[2]

SMALL = """
import numpy as np

def test_first(dut): assert dut.infer(np.zeros(1, np.int8)).outputs.shape == (1, 1)
def test_measured(latency): latency(n=50)
def test_long(dut):
    for _ in range(300): dut.infer(np.zeros(1, np.int8))
def test_after(dut): assert dut.infer(np.zeros(1, np.int8)).outputs.shape == (1, 1)
def test_last(board): assert board.comparison().mismatches == 0
"""


def rows(path: Path, scope: str = "run") -> list[dict[str, str]]:
    """The rows of a latency CSV that are of whole runs, or of a `session`."""
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row["scope"] == scope]


def cases(path: Path) -> dict[str, ElementTree.Element]:
    """The tests of a JUnit file by name."""
    return {case.get("name"): case for case in ElementTree.parse(path).iter("testcase")}


def properties(element: ElementTree.Element) -> dict[str, str]:
    """The properties of one test or test suite of a JUnit file."""
    return {item.get("name"): item.get("value") for item in element.iterfind("properties/*")}
