"""Data sets with sequences through the virtual board: state, breaks in the middle, faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.stateful import ELEMENTS, ZERO_POINT, summing_file, sums

from harness.board.registry import load_registry
from harness.errors import TensorError
from harness.link.link import LinkOptions
from harness.model.artifact import Artifact
from harness.model.data import open_data
from harness.model.dataset import DataSet
from harness.model.interpreters import tflm_version
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.evaluate import Evaluated, EvaluationPlan, evaluate_board, evaluate_host
from harness.rig.open import OpenBoard, RigOptions, open_board
from harness.rig.walk import walk_of

pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

PROJECT = find_project()
SIZES = (7, 1, 40, 12, 30, 5)
COUNT = sum(SIZES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return resolve_model(str(summing_file(tmp_path_factory.mktemp("model"))))


def opened(model: Artifact, port: str | None = None) -> AbstractContextManager[OpenBoard]:
    options = RigOptions(port=port, link=LinkOptions(timeout_s=0.3))
    return open_board(load_registry()["virtual"], model, PROJECT, options)


@pytest.fixture(scope="module")
def healthy(model: Artifact) -> Iterator[OpenBoard]:
    """Opened once: an evaluation leaves a board as it found it."""
    with opened(model) as board:
        yield board


@pytest.fixture
def data(tmp_path: Path, model: Artifact) -> DataSet:
    """Sequences whose expected outputs are what comes of them where state is kept."""
    random = np.random.default_rng(3)
    x = (ZERO_POINT + random.integers(-3, 4, (COUNT, ELEMENTS))).astype(np.int8)
    parts = np.split(x, np.cumsum(SIZES)[:-1])
    y = np.concatenate([sums(part[:, np.newaxis])[:, 0] for part in parts])
    path = tmp_path / "set.npz"
    np.savez(path, x=x, y=y, sequence=np.repeat(list("abcdef"), SIZES))
    return open_data(path, model)


@pytest.fixture
def evaluated(tmp_path: Path, model: Artifact, healthy: OpenBoard):
    said: list[str] = []

    def go(data: DataSet, port: str | None = None, **how: object) -> Evaluated:
        plan = EvaluationPlan(csv=tmp_path / "latency.csv", state=tmp_path, tell=said.append, **how)
        if port is None:
            return evaluate_board(healthy, data, plan)
        with opened(model, port) as board:
            return evaluate_board(board, data, plan)

    go.said = said  # type: ignore[attr-defined]
    return go


def broken_at(data: DataSet, sample: int) -> DataSet:
    """The same, but nobody gets beyond a sample."""

    def rows(start: int, stop: int) -> tuple[np.ndarray, ...]:
        if stop > sample:
            raise TensorError("the disk is gone")
        return data.rows(start, stop)

    return replace(data, rows=rows)


def test_state_is_kept_within_sequences_on_board_and_host(data, model, evaluated, tmp_path):
    done = evaluated(data)
    assert done.result.agrees and done.result.mae.value == 0 and done.result.samples == COUNT
    (row,) = done.rows
    assert (row.state, row.sequences) == ("sequence", 6)
    plan = EvaluationPlan(csv=tmp_path / "latency.csv", state=tmp_path)
    host = evaluate_host(model, data, plan)
    assert host.result.mae.value == 0 and host.rows[0].state == "sequence"
    apart = evaluated(replace(data, streams=None, digest="other"))
    assert apart.result.agrees and apart.result.mae.value > 0
    assert (apart.rows[0].state, apart.rows[0].sequences) == ("sample", None)


def test_a_run_that_ends_within_a_sequence_begins_that_anew(data, evaluated):
    # 16 samples are the first block: a, b, and no whole of c, which has 40.
    with pytest.raises(TensorError, match="the disk is gone"):
        evaluated(broken_at(data, 30))
    done = evaluated(data)
    (said,) = (line for line in evaluated.said if "were done before" in line)
    assert "8 of 95 samples" in said and "from the start of sequence 'c'" in said
    assert done.rows[0].resumed_at == 8
    assert done.result.agrees and done.result.mae.value == 0 and done.result.samples == COUNT


def test_a_limit_within_a_sequence_leaves_nothing_that_another_run_would_go_on_from(
    data, evaluated
):
    class Stopped(Exception):
        pass

    def stop(_: object) -> None:
        raise Stopped

    # Ended when all is on disk and nothing was judged yet: as by a kill -9 there.
    with pytest.raises(Stopped):
        evaluated(data, limit=20, now=lambda: stop(None))
    done = evaluated(data)
    (said,) = (line for line in evaluated.said if "were done before" in line)
    assert "8 of 95" in said and "12 of a sequence that was cut short run again" in said
    assert done.result.agrees and done.result.mae.value == 0 and done.rows[0].resumed_at == 8
    assert evaluated(data, limit=20).result.mae.value == 0


@pytest.mark.parametrize("port", ("virtual:?reboot_after=14", "virtual:?flip=0.0007&drop=0.0007"))
def test_a_reboot_or_noise_in_a_sequence_changes_no_answer(port, data, evaluated):
    done = evaluated(data, port)
    assert done.result.agrees and done.result.mae.value == 0
    assert (done.rows[0].recoveries or done.rows[0].retries) > 0


def test_sequences_are_saved_from_their_start_to_what_disagrees(data, model, evaluated):
    done = evaluated(data, "virtual:?wrong_output=30")
    assert not done.result.agrees and done.saved is not None
    with np.load(done.saved) as saved:
        index, ids = saved["index"], saved["sequence"]
        differ = (saved["board"] != saved["host"]).any(axis=1)
    assert set(index[differ]) == set(done.result.disagreeing)
    starts = np.cumsum((0, *SIZES[:-1]))
    firsts = [index[ids == number].min() for number in np.unique(ids)]
    assert set(firsts) <= set(starts) and differ[np.flatnonzero(np.diff(ids))].all()
    again = evaluated(open_data(done.saved, model))
    assert again.result.agrees and again.result.mae.value == 0


def test_a_sequence_that_is_too_long_is_refused(data, model, monkeypatch):
    monkeypatch.setattr("harness.rig.walk.MOST_IN_SEQUENCE", 39 * ELEMENTS)
    with pytest.raises(TensorError, match="sequence 'c' has 40 samples of 4 bytes; 39 at most"):
        walk_of(model, data, COUNT)
    assert walk_of(replace(model, stateful=False), data, COUNT).state is None
