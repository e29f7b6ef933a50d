"""Models of every shape on the virtual board: compared, recorded and answered output by output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from fakes import shaped
from fakes.shaped import Op, T

from harness.board.registry import load_registry
from harness.board.rigfile import Plugged
from harness.errors import TensorError, WrongUse
from harness.measure.compare import Culprit, Verdict
from harness.model.artifact import Artifact
from harness.model.interpreters import tflm_version
from harness.rig.checks import RANDOM_INPUTS
from harness.rig.open import OpenBoard, RigOptions, open_board
from harness.rig.other_rows import output_rows
from harness.rig.rows import blank_row
from harness.tolerance import Stated, parse_tolerance

pytestmark = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")

WRONG = "virtual:?wrong_output=3"
"""The first element of the first output is off by one in every third invoke."""


def two_outputs(folder: Path) -> Artifact:
    """Hands int8 on as `near`, and float32 as `far`."""
    sizes = {"a": (1, 2), "b": (1, 3)}
    tensors = [
        T(name="a", shape=sizes["a"], scale=0.5),
        T(name="b", dtype="float32", shape=sizes["b"]),
        T(name="near", shape=(2,), scale=0.5),
        T(name="far", dtype="float32", shape=(3,)),
        T(name="two", dtype="int32", shape=(1,), values=np.array([2], np.int32)),
        T(name="three", dtype="int32", shape=(1,), values=np.array([3], np.int32)),
    ]
    operators = [
        Op(kind="RESHAPE", inputs=("a", "two"), outputs=("near",)),
        Op(kind="RESHAPE", inputs=("b", "three"), outputs=("far",)),
    ]
    return shaped.model(folder, "two", tensors, operators, ["a", "b"], ["near", "far"])


@contextmanager
def opened(made: Artifact, port: str = "virtual:", text: str = "") -> Iterator[OpenBoard]:
    stated = Stated(items=parse_tolerance(text), by="--hil-tolerance")
    options = RigOptions(port=port, tolerance=stated)
    with open_board(load_registry()["virtual"], made, options=options) as board:
        yield board


def test_tensors_of_every_type_and_rank_go_there_and_come_back(tmp_path: Path) -> None:
    with opened(shaped.every_type(tmp_path)) as board:
        inputs = board.checks.inputs[:5]
        outputs = board.dut.infer(inputs).outputs
        assert list(outputs) == [f"out_{dtype}" for dtype in shaped.TYPES]
        for dtype in shaped.TYPES:
            given, got = inputs[f"in_{dtype}"], outputs[f"out_{dtype}"]
            assert got.dtype == dtype
            assert got.tobytes() == given.tobytes()
        assert board.comparison().verdict is Verdict.PASS


def test_a_wrong_output_is_named_and_counted_once_for_each_sample(tmp_path: Path) -> None:
    with opened(two_outputs(tmp_path), WRONG) as board:
        found = board.comparison()
        assert found.verdict is Verdict.MISMATCH and found.wrong_outputs == ("near",)
        # The first of 257 invokes was the board's cold one.
        assert (found.samples, found.mismatches, found.first_bad) == (256, 85, 1)
        near, far = found.outputs
        assert (near.mismatches, near.max_abs, far.mismatches) == (85, 1.0, 0)
        assert found.culprit is Culprit.BOARD
        assert "output near: 85 differ, up to 1 LSB (bit for bit)" in str(found)
        assert f"inputs: {RANDOM_INPUTS}" in str(found)


def test_a_tolerance_that_was_asked_for_is_in_the_verdict_and_in_the_row(tmp_path: Path) -> None:
    with opened(two_outputs(tmp_path), WRONG, "near=1lsb") as board:
        found = board.comparison()
        assert (found.verdict, found.mismatches, found.within) == (Verdict.PASS, 0, 85)
        tolerance = "near: 1 LSB; far: 4 ulp or 1e-05 of the largest, by --hil-tolerance"
        assert f"tolerance: {tolerance}; 85 differ within it" in str(found)
        row = blank_row(board, run="r", commit=None, now=datetime(2026, 1, 1, tzinfo=timezone.utc))
        assert (row.tolerance, row.within_tolerance, row.mismatches) == (tolerance, 85, 0)
        assert (row.max_ulp, row.wrong_outputs, row.check_inputs) == (0, None, RANDOM_INPUTS)


def test_a_tolerance_for_an_output_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with opened(two_outputs(tmp_path), text="nearly=1lsb") as board:
        with pytest.raises(WrongUse, match="output 'nearly': the model has 'near' of int8"):
            board.comparison()


def test_the_run_says_more_of_a_tolerance_than_the_rig_file_and_that_than_the_manifest(
    tmp_path: Path,
) -> None:
    made = two_outputs(tmp_path)
    run = Stated(items=parse_tolerance("1lsb"), by="--hil-tolerance")
    plugged = Plugged(id="virtual", kind="virtual", tolerance={"two": "2lsb"})
    assert RigOptions(tolerance=run, plugged=plugged).tolerance_for(made) == run
    by_rig = RigOptions(plugged=plugged).tolerance_for(made)
    assert (str(by_rig.items[0].tolerance), by_rig.by) == ("2 LSB", "tolerance.two of the rig file")
    assert RigOptions().tolerance_for(made) == Stated()


def test_rows_of_outputs_say_which_output_they_are_of(tmp_path: Path) -> None:
    with opened(two_outputs(tmp_path)) as board:
        rows = output_rows(board, "r")
        assert len(rows) == 256 * (2 + 3)
        assert {(row.output, row.element) for row in rows} == {
            *(("near", element) for element in range(2)),
            *(("far", element) for element in range(3)),
        }
        near = next(row for row in rows if row.output == "near")
        assert near.board_real == 0.5 * near.board_raw and near.x is None


def test_a_batch_of_the_wrong_kind_names_what_is_wanted(tmp_path: Path) -> None:
    with opened(two_outputs(tmp_path)) as board:
        with pytest.raises(TensorError, match="'a' of int8 .1, 2., 'b' of float32 .1, 3."):
            board.dut.infer(np.zeros((1, 2), np.int8))
        with pytest.raises(TensorError, match="got float64 for tensor 'b' of float32"):
            board.dut.infer([np.zeros(2, np.int8), np.zeros(3)])
        answered = board.dut.infer_real({"a": [[1.0, -1.0]], "b": [[0.25, 0, 1]]})
        assert answered["near"].tolist() == [[1.0, -1.0]]
        assert answered["far"].tolist() == [[0.25, 0.0, 1.0]]
