"""Data sets judged: metrics, confusion, disagreements, int8 against float."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.models import ONE, THREE

from harness.measure.evaluate import Evaluation, evaluate
from harness.model.samples import Layout
from harness.model.targets import UNKNOWN, Targets
from harness.model.tensor import TensorSpec
from harness.tolerance import Stated, parse_tolerance

LABELS = Targets(labels=np.array([0, 1, 2, 2]), classes=("a", "b", "c"))
BOARD = np.array([[9, 1, 1], [9, 1, 1], [1, 1, 9], [1, 9, 1]], dtype=np.int8)


def judged(board=BOARD, host=None, targets=LABELS, spec=THREE, **others) -> Evaluation:  # type: ignore[no-untyped-def]
    return evaluate(
        board=board,
        host=host,
        float_outputs=others.pop("float_outputs", None),
        answers=(targets,),
        layout=Layout(specs=(spec,)),
        activation=others.pop("activation", None),
        reference="tflm",
        **others,
    )


def test_a_classifier_has_an_accuracy_and_a_confusion() -> None:
    result = judged()
    assert result.accuracy.value == 0.5 and result.accuracy.n == 4
    assert result.confusion.counts.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert result.confusion.worst(5) == [("b", "a", 1), ("c", "b", 1)]
    assert result.reference is None and result.host is None and result.agrees
    with pytest.raises(ValueError, match="no expected values"):
        assert result.mae


def test_samples_on_which_board_and_host_disagree_are_found() -> None:
    host = BOARD.copy()
    host[1, 2] = 3
    host[3] = [1, 1, 9]
    result = judged(host=host)
    assert result.disagreeing.tolist() == [1, 3] and not result.agrees
    assert result.other_class == 1 and result.max_abs_lsb == 8
    assert result.host.accuracy.value == 0.75 and result.tolerance == "bit for bit"
    assert judged(host=BOARD).agrees


def test_a_stated_tolerance_is_kept_to_and_shown() -> None:
    host = BOARD + np.array([[0, 0, 1]], dtype=np.int8)
    assert len(judged(host=host).disagreeing) == 4
    stated = Stated(items=parse_tolerance("1lsb"), by="--tolerance")
    result = judged(host=host, stated=stated)
    assert result.agrees and result.tolerance == "1 LSB, by --tolerance"


def test_expected_values_have_errors_in_the_outputs_unit() -> None:
    expected = Targets(expected=np.array([[0.1], [0.3]], dtype=np.float32))
    result = judged(np.array([[10], [26]], dtype=np.int8), targets=expected, spec=ONE)
    assert result.mae.value == pytest.approx(0.02, abs=1e-6)
    assert result.rmse.value == pytest.approx(0.04 / np.sqrt(2), abs=1e-6)
    assert result.confusion is None


def test_what_quantization_costs_is_told_by_sample() -> None:
    third = [0.1, 0.1, 0.8]
    floats = np.array([third, [0.1, 0.8, 0.1], third, third], dtype=np.float32)
    against = judged(float_outputs=floats).against_float
    assert against.score.accuracy.value == 0.75
    assert against.changed.tolist() == [0, 1, 3] and against.lost.tolist() == [1, 3]
    assert against.gained.tolist() == [0]
    expected = Targets(expected=np.array([[0.1], [0.2], [0.3]], dtype=np.float32))
    board = np.array([[10], [23], [30]], dtype=np.int8)
    floats = np.array([[0.1], [0.2], [0.35]], dtype=np.float32)
    against = judged(board, targets=expected, spec=ONE, float_outputs=floats).against_float
    assert against.lost.tolist() == [1] and against.gained.tolist() == [2]


def test_a_probability_decides_between_two_classes_after_its_activation() -> None:
    labels = Targets(labels=np.array([0, 1]))
    spec = replace(ONE, scale=0.1)
    result = judged(np.array([[4], [-4]], np.int8), targets=labels, spec=spec, activation="sigmoid")
    assert result.accuracy.value == 0.0 and result.confusion.names == ("0", "1")


def test_without_answers_outputs_are_compared_only() -> None:
    result = judged(host=BOARD, targets=UNKNOWN)
    assert result.score.metrics == () and result.agrees and result.confusion is None


def test_all_outputs_of_a_model_are_compared() -> None:
    second = TensorSpec(shape=(1, 1), dtype="int8", scale=1.0, name="second")
    layout = Layout(specs=(THREE, second))
    board = layout.join([BOARD, np.zeros((4, 1), np.int8)])
    host = board.copy()
    host["second"][2] = 1
    result = evaluate(
        board=board,
        host=host,
        float_outputs=None,
        answers=(LABELS, UNKNOWN),
        layout=layout,
        activation=None,
        reference="tflm",
    )
    assert result.disagreeing.tolist() == [2] and result.accuracy.value == 0.5
    assert result.output("classes").disagreeing.tolist() == []
    assert result.output("1").max_abs_lsb == 1
    with pytest.raises(ValueError, match="no output 'third'; the model has: classes, second"):
        result.output("third")


def test_each_output_is_judged_by_its_own_answers() -> None:
    second = TensorSpec(shape=(1, 1), dtype="int8", scale=0.5, name="second")
    layout = Layout(specs=(THREE, second))
    board = layout.join([BOARD, np.array([[0], [2], [4], [6]], np.int8)])
    expected = Targets(expected=np.array([[0], [1], [2], [2]], dtype=np.float32))
    for answers in ((LABELS, expected), (UNKNOWN, expected)):
        result = evaluate(
            board=board,
            host=board,
            float_outputs=None,
            answers=answers,
            layout=layout,
            activation="softmax",
            reference="tflm",
        )
        assert result.output("second").score.mae.value == 0.25
        known = answers[0] is LABELS
        assert result.judged is result.outputs[0 if known else 1]
    assert result.mae.value == 0.25 and result.agrees
