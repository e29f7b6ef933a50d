"""The user's own data in a run: `--hil-data`, `--hil-detect` and the fixture `evaluation`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from fakes.stateful import ELEMENTS, ZERO_POINT, summing_file

from harness.model.wheels import tflm_version

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

SINE = """
import numpy as np

def test_checked(board):
    assert board.comparison().samples == 40 and "set.npz" in board.checks.source
def test_good(evaluation):
    assert evaluation.agrees and evaluation.samples == 40
    assert evaluation.mae.high < 0.05 < 1 < evaluation.host.mae.n
def test_counted(latency): latency(n=5)
"""
STREAMS = """
def test_all_hit(evaluation):
    found = evaluation.detections
    assert evaluation.agrees and (found.hits, found.misses, found.false_accepts) == (1, 1, 0)
    assert evaluation.host_detections.hits == 1 and found.recall.n == 2
"""


def evaluated(folder: Path) -> list[dict[str, str]]:
    with (folder / "reports" / "evaluation.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_users_data_go_through_every_board_of_a_run(run):
    x = np.linspace(0, 6, 40, dtype=np.float32)[:, np.newaxis]
    np.savez(run.path / "set.npz", x=x, y=np.sin(x))
    result = run("--board", "virtual,qemu-m4", "--hil-data", "set.npz", tests=SINE)
    assert result.parseoutcomes() == {"passed": 6}
    assert {row["board"]: row["disagreements"] for row in evaluated(run.path)} == {
        "virtual": "0",
        "qemu-m4": "0",
    }


def test_sequences_keep_state_and_detections_are_judged(run):
    model = summing_file(run.path)
    x = np.full((40, ELEMENTS), ZERO_POINT, dtype=np.int8)
    x[:20, 1] += 12
    labels = np.repeat([1, 0, 1], [20, 10, 10])
    np.savez(run.path / "set.npz", x=x, y=labels, sequence=np.repeat([1, 2], 20))
    rule = "1,threshold=50,rate=10,average=0.2,suppression=9"
    options = ("--hil-model", str(model), "--hil-data", "set.npz", "--hil-detect", rule)
    result = run("--board", "virtual", *options, tests=STREAMS)
    assert result.parseoutcomes() == {"passed": 1}
    (row,) = evaluated(run.path)
    assert (row["state"], row["sequences"], row["quiet_s"]) == ("sequence", "2", "1")
    assert row["detector"] == "1,threshold=50,rate=10,average=0.2,suppression=9"
