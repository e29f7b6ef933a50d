from __future__ import annotations

import numpy as np
import pytest

from harness.measure.compare import (
    Accuracy,
    Culprit,
    Verdict,
    accuracy,
    classify,
    compare,
    difference,
    differing,
    top1,
)
from harness.model.goldens import Bounds, Reading
from harness.model.tensor import TensorSpec

SPEC = TensorSpec(shape=(1, 1), dtype="int8", scale=0.5)


def reading(source: str, *outputs: int) -> Reading:
    return Reading(source=source, outputs=np.array(outputs, dtype=np.int8).reshape(-1, 1))


def reals(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1)


GOLDEN = reading("tflm", 1, 2, 3)


def verdict(board: Reading, **more):
    return compare(spec=SPEC, board=board, golden=GOLDEN, **more)


def test_equal_outputs_pass() -> None:
    found = verdict(reading("board", 1, 2, 3))
    assert (found.verdict, found.culprit) == (Verdict.PASS, Culprit.NONE)
    assert (found.samples, found.mismatches, found.max_abs_lsb) == (3, 0, 0.0)
    assert found.first_bad is None and found.accuracy == Accuracy()
    assert str(found).startswith("pass: 0 of 3 samples differ from tflm, by up to 0 LSB\n")


def test_wrong_outputs_are_counted_located_and_measured() -> None:
    found = verdict(reading("board", 1, -120, 4))
    assert found.verdict is Verdict.MISMATCH
    assert (found.mismatches, found.max_abs_lsb, found.first_bad) == (2, 122.0, 1)
    text = str(found)
    assert "mismatch: 2 of 3 samples differ from tflm, by up to 122 LSB" in text
    assert "first differing sample: 1" in text and "odd one out: kernel" in text


BAD = reading("board", 1, 2, 9)
OTHER = reading("again", 1, 2, 8)
SAME = reading("again", 1, 2, 9)
RIGHT = reading("again", 1, 2, 3)


@pytest.mark.parametrize(
    "stored, repeated, culprit",
    [
        (None, (), Culprit.KERNEL),
        (reading("stored", 1, 2, 3), (SAME, SAME), Culprit.KERNEL),
        (reading("stored", 0, 2, 3), (RIGHT,), Culprit.GOLDEN),
        (None, (RIGHT, SAME), Culprit.WIRE),
        (None, (SAME, RIGHT), Culprit.WIRE),
        (None, (OTHER,), Culprit.BOARD),
        (None, (SAME, OTHER), Culprit.BOARD),
    ],
)
def test_culprit_is_the_odd_one_out(stored, repeated, culprit: Culprit) -> None:
    assert verdict(BAD, stored=stored, repeated=repeated).culprit is culprit


def test_right_bytes_too_far_from_the_float_model_blame_the_converter() -> None:
    found = verdict(
        reading("board", 1, 2, 3),
        float_outputs=reals(0.5, 1.0, 2.0),
        bounds=Bounds(max_abs_vs_float=0.4),
    )
    assert (found.verdict, found.culprit) == (Verdict.INACCURATE, Culprit.CONVERTER)
    assert found.broken_bounds == ("max_abs_vs_float",)
    assert "bounds not held: max_abs_vs_float" in str(found)


def test_wrong_bytes_outweigh_broken_bounds() -> None:
    found = verdict(BAD, float_outputs=reals(0, 0, 0), bounds=Bounds(mae_vs_float=0.1))
    assert found.verdict is Verdict.MISMATCH and found.broken_bounds == ("mae_vs_float",)


def test_accuracy_by_hand_counts_truth_only_in_its_domain() -> None:
    found = accuracy(
        reals(1, 2, 3, 1000),
        float_outputs=reals(1, 1, 1, 1000),
        truth=reals(1.5, 2, 3, 0),
        in_domain=np.array([True, True, True, False]),
    )
    assert (found.mae_vs_float, found.max_abs_vs_float) == (0.75, 2.0)
    assert found.mae_vs_truth == pytest.approx(0.5 / 3) and found.max_abs_vs_truth == 0.5


@pytest.mark.parametrize("n, mae", [(1, 2.0), (2, 1.0)])
def test_accuracy_of_one_and_two_samples(n: int, mae: float) -> None:
    found = accuracy(reals(3, 4)[:n], float_outputs=reals(1, 4)[:n], truth=None, in_domain=None)
    assert (found.mae_vs_float, found.max_abs_vs_float) == (mae, 2.0)
    assert (found.mae_vs_truth, found.max_abs_vs_truth) == (None, None)


@pytest.mark.parametrize(
    "value, limit, held",
    [
        (0.1, 0.1, True),
        (0.2, 0.1, False),
        (None, 0.1, False),
        (np.nan, 0.1, False),
        (9.0, None, True),
    ],
)
def test_bound_holds_up_to_its_limit_and_never_unmeasured(value, limit, held: bool) -> None:
    for name in Bounds.__slots__:
        broken = Accuracy(**{name: value}).broken(Bounds(**{name: limit}))
        assert broken == (() if held else (name,))


def test_truth_without_a_sample_in_its_domain_breaks_its_bounds() -> None:
    found = verdict(
        reading("board", 1, 2, 3),
        truth=reals(0, 0, 0),
        in_domain=np.zeros(3, dtype=bool),
        bounds=Bounds(mae_vs_truth=1.0),
    )
    assert found.broken_bounds == ("mae_vs_truth",)


def floats(source: str, *values: float) -> Reading:
    return Reading(source=source, outputs=reals(*values))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_equal_special_values_do_not_differ(value: float) -> None:
    found = difference(floats("a", value, 1), floats("b", value, 1))
    assert (found.mismatches, found.max_abs_lsb) == (0, 0.0)


@pytest.mark.parametrize("first, second", [(np.nan, 0.0), (0.0, np.nan), (np.inf, -np.inf)])
def test_special_value_on_one_side_differs(first: float, second: float) -> None:
    assert differing(reals(1, first), reals(1, second)).tolist() == [1]
    assert not difference(floats("a", first), floats("b", second)).max_abs_lsb <= 255


def test_shapes_that_differ_are_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"board has outputs of shape \(2, 1\), tflm of \(3, 1\)"):
        verdict(reading("board", 1, 2))
    with pytest.raises(ValueError, match="shape"):
        verdict(reading("board", 1, 2, 3), stored=reading("stored", 1))


def test_table_holds_every_pair_and_the_boards_first() -> None:
    found = verdict(
        BAD,
        stored=reading("stored", 1, 2, 3),
        repeated=(SAME,),
        others=(reading("litert", 1, 2, 5),),
    )
    pairs = [(item.first, item.second, item.max_abs_lsb) for item in found.differences]
    assert pairs == [
        ("board", "tflm", 6.0),
        ("board", "stored", 6.0),
        ("board", "again", 0.0),
        ("board", "litert", 4.0),
        ("tflm", "stored", 0.0),
        ("tflm", "again", 6.0),
        ("tflm", "litert", 2.0),
        ("stored", "again", 6.0),
        ("stored", "litert", 2.0),
        ("again", "litert", 4.0),
    ]
    assert "  board / tflm: 1 differ, up to 6" in str(found)


@pytest.mark.parametrize(
    "scores, expected",
    [
        ([[0.1, 0.7, 0.2], [3.0, 1.0, 2.0]], [1, 0]),
        ([[0.5], [0.51]], [0, 1]),
        ([[[[0.2, 0.8]]]], [1]),
    ],
)
def test_class_is_of_the_highest_score_or_above_a_half(scores: list, expected: list) -> None:
    assert top1(np.array(scores)).tolist() == expected


def test_classes_are_compared_with_labels_judge_and_float_model() -> None:
    board = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    golden = board.copy()
    golden[3] = [0.8, 0.2]
    found = classify(board, golden, labels=np.array([0, 1, 1, 1]), float_outputs=golden[:, ::-1])
    assert (found.accuracy, found.golden_accuracy) == (0.75, 0.5)
    assert (found.agreement, found.float_agreement) == (0.75, 0.25)


def test_one_logit_is_a_class_by_what_the_activation_makes_of_it() -> None:
    spec = TensorSpec(shape=(1, 1), dtype="int8", scale=0.1)
    reading = Reading(source="board", outputs=np.array([[-20], [3], [40]], dtype=np.int8))
    compared = compare(
        spec=spec, board=reading, golden=reading, labels=np.array([0, 1, 1]), activation="sigmoid"
    )
    # A logit of 0.3 is below a half, the probability it stands for is not.
    assert compared.classes is not None and compared.classes.accuracy == 1.0
    without = compare(spec=spec, board=reading, golden=reading, labels=np.array([0, 1, 1]))
    assert without.classes is not None and without.classes.accuracy == pytest.approx(2 / 3)
