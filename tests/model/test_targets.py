"""Labels and expected outputs, told apart."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.models import ONE, THREE

from harness.errors import TensorError
from harness.model.targets import Targets, class_numbers, targets_of


def of(values: object, output=THREE, **how) -> Targets:  # type: ignore[no-untyped-def]
    return targets_of(np.array(values), output, source="set.npz", **how)


def test_whole_numbers_are_classes_of_a_model_with_several_outputs() -> None:
    assert of([0, 2, 1]).labels.tolist() == [0, 2, 1]
    assert of([[0.0], [2.0]]).labels.tolist() == [0, 2]


def test_rows_are_expected_outputs_unless_they_are_one_hot() -> None:
    assert of([[0, 0, 1], [1, 0, 0]]).labels.tolist() == [2, 0]
    expected = of([[0.1, 0.2, 0.7]]).expected
    assert expected.dtype == np.float32 and expected.shape == (1, 3)


def test_expected_outputs_of_the_tensors_dtype_are_dequantized() -> None:
    raw = np.array([[-128, 0, 127]], dtype=np.int8)
    assert targets_of(raw, THREE, source="s").expected.tolist() == [[0.0, 0.5, 255 / 256]]


def test_a_single_output_has_values_or_where_it_decides_classes() -> None:
    assert of([0.5, 3.0], ONE).expected.tolist() == [[0.5], [3.0]]
    assert of([0, 1], ONE, decides=True).labels.tolist() == [0, 1]
    assert of([0, 1], ONE, task="values").expected.tolist() == [[0.0], [1.0]]
    assert of([0, 1], ONE, task="classes").labels.tolist() == [0, 1]
    with pytest.raises(TensorError, match="0 and 1") as caught:
        of([0, 1], ONE)
    assert "--task" in caught.value.hint


@pytest.mark.parametrize(
    "values", ([0, 3], [-1, 0], [0.5, 1], [[0.1, 0.2]], [0, float("nan")], [[0.0, float("inf"), 1]])
)
def test_answers_that_do_not_fit_are_refused_with_their_source(values: object) -> None:
    with pytest.raises(TensorError, match=r"^set\.npz: "):
        of(values)


def test_names_count_as_the_manifest_has_them_as_numbers_or_in_the_order_of_the_alphabet() -> None:
    def numbers(*names: str, known: tuple[str, ...] = ()) -> list[int]:
        return [class_numbers(list(names), known, most=4, source="s")[name] for name in names]

    assert numbers("bag", "Coat", known=("Coat", "Bag")) == [1, 0]
    assert numbers("3", "0") == [3, 0]
    assert numbers("dog", "cat") == [1, 0]
    with pytest.raises(TensorError, match="classes 0 to 3"):
        numbers("a", "b", "c", "d", "e")


def test_text_names_classes() -> None:
    named = of(["no", "yes", "no", "unknown"])
    assert named.labels.tolist() == [0, 2, 0, 1]
    assert named.classes == ("no", "unknown", "yes")
