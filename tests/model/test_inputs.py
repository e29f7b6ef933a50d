"""What the numbers of a data set are taken for, by dtype and range."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import TensorError
from harness.model.inputs import QUANTIZED, REAL, SIGNED, UNIT, Numbers, converted, meaning_of
from harness.model.tensor import TensorSpec

UNIT_INT8 = TensorSpec(shape=(1, 4), dtype="int8", scale=1 / 255, zero_point=-128)
SIGNED_INT8 = TensorSpec(shape=(1, 4), dtype="int8", scale=2 / 255, zero_point=-1)
PIXEL_INT8 = TensorSpec(shape=(1, 4), dtype="int8", scale=1.0, zero_point=-128)
UINT8 = TensorSpec(shape=(1, 4), dtype="uint8", scale=1 / 255, zero_point=0)
FLOAT = TensorSpec(shape=(1, 4), dtype="float32")
IDS = TensorSpec(shape=(1, 4), dtype="int32")


def numbers(dtype: str, low: float, high: float, whole: bool = True) -> Numbers:
    return Numbers(dtype=np.dtype(dtype), low=low, high=high, whole=whole)


@pytest.mark.parametrize(
    ("given", "spec", "meaning"),
    (
        (numbers("int8", -128, 127), UNIT_INT8, QUANTIZED),
        (numbers("uint8", 0, 255), UINT8, QUANTIZED),
        (numbers("uint8", 0, 255), UNIT_INT8, UNIT),
        (numbers("uint8", 0, 9), UNIT_INT8, UNIT),
        (numbers("uint8", 0, 255), PIXEL_INT8, REAL),
        (numbers("int64", 0, 255), UNIT_INT8, UNIT),
        (numbers("int64", -128, 127), UNIT_INT8, QUANTIZED),
        (numbers("int64", -300, 300), TensorSpec(shape=(1,), dtype="int8", scale=4.0), REAL),
        (numbers("float64", 0, 1, whole=False), UNIT_INT8, REAL),
        (numbers("float32", -0.5, 1.3, whole=False), UNIT_INT8, REAL),
        (numbers("float32", -9, 9, whole=False), FLOAT, REAL),
        (numbers("int64", 0, 99), IDS, REAL),
    ),
)
def test_dtype_and_range_decide(given: Numbers, spec: TensorSpec, meaning: str) -> None:
    assert meaning_of(given, spec, source="set.npz") == meaning


@pytest.mark.parametrize(
    ("given", "spec"),
    (
        (numbers("uint8", 0, 255), SIGNED_INT8),
        (numbers("uint8", 0, 255), FLOAT),
        (numbers("float32", -128, 127), UNIT_INT8),
        (numbers("float32", 0, 255), UNIT_INT8),
        (numbers("int64", 0, 100), UNIT_INT8),
        (numbers("int64", 0, 1), UNIT_INT8),
    ),
)
def test_ambiguity_is_an_error_that_says_how_to_state_it(given: Numbers, spec: TensorSpec) -> None:
    with pytest.raises(TensorError, match=r"^set\.npz: ") as caught:
        meaning_of(given, spec, source="set.npz")
    assert "--inputs" in caught.value.hint
    assert meaning_of(given, spec, source="set.npz", stated=REAL) == REAL


@pytest.mark.parametrize(
    ("given", "spec", "stated"),
    (
        (numbers("float32", -1, 1), UNIT_INT8, UNIT),
        (numbers("float32", 0, 300), UNIT_INT8, QUANTIZED),
        (numbers("float32", 0, 1, whole=False), UNIT_INT8, QUANTIZED),
        (numbers("float32", 0, 1), FLOAT, QUANTIZED),
        (numbers("float32", 0, 1.5, whole=False), IDS, REAL),
        (numbers("int64", 0, 2**40), IDS, REAL),
    ),
)
def test_what_cannot_be_is_refused_even_if_stated(
    given: Numbers, spec: TensorSpec, stated: str
) -> None:
    with pytest.raises(TensorError, match=r"^set\.npz: "):
        meaning_of(given, spec, source="set.npz", stated=stated)


def test_pixels_become_the_whole_range_of_the_tensor() -> None:
    pixels = np.array([[0, 1, 128, 255]], dtype=np.uint8)
    assert converted(pixels, UNIT_INT8, UNIT).tolist() == [[-128, -127, 0, 127]]
    halves = TensorSpec(shape=(1, 4), dtype="int8", scale=1 / 128, zero_point=0)
    assert converted(pixels, halves, SIGNED).tolist() == [[-128, -127, 1, 127]]
    assert converted(pixels, PIXEL_INT8, REAL).tolist() == [[-128, -127, 0, 127]]
    assert converted(pixels, UINT8, QUANTIZED).tolist() == pixels.tolist()
    assert converted(pixels, IDS, REAL).dtype == np.int32
