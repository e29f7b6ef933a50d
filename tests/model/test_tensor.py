from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import TensorError
from harness.model.tensor import (
    TensorSpec,
    activate,
    batch_bytes,
    batch_from_bytes,
    dequantize,
    quantize,
)


def spec(dtype: str = "int8", scale: float = 0.5, zero_point: int = 0, shape=(1, 1)) -> TensorSpec:
    return TensorSpec(shape=shape, dtype=dtype, scale=scale, zero_point=zero_point, name="x")


@pytest.mark.parametrize(
    "real, expected",
    [
        # By hand: q = real / 0.5 + 3, halves away from zero.
        (0.0, 3),
        (0.25, 4),
        (-0.25, 2),
        (0.75, 5),
        (-0.75, 1),
        (0.24, 3),
        (-0.24, 3),
        (62.0, 127),
        (62.5, 127),
        (-65.5, -128),
        (1e9, 127),
        (-1e9, -128),
        (math.inf, 127),
        (-math.inf, -128),
        (1e300, 127),
    ],
)
def test_quantize_rounds_halves_away_from_zero_and_saturates(real: float, expected: int) -> None:
    found = quantize(np.array([[real]]), spec(zero_point=3))
    assert found.dtype == np.int8 and found.tolist() == [[expected]]


def test_quantize_does_not_round_up_just_below_a_half() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert quantize(np.array([below, -below]), spec(scale=1.0)).tolist() == [0, 0]


def test_quantize_saturates_where_the_quotient_overflows_float32() -> None:
    tiny = spec(scale=1e-3)
    assert quantize(np.array([3e38, -3e38]), tiny).tolist() == [127, -128]


@pytest.mark.parametrize("dtype, ends", [("uint8", (0, 255)), ("int16", (-32768, 32767))])
def test_quantize_saturates_at_the_ends_of_its_dtype(dtype: str, ends: tuple[int, int]) -> None:
    assert tuple(quantize(np.array([-1e9, 1e9]), spec(dtype))) == ends


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_quantize_refuses_nan_and_names_the_tensor(dtype: str) -> None:
    with pytest.raises(TensorError, match="'x' holds NaN"):
        quantize(np.array([0.0, np.nan]), spec(dtype))


@pytest.mark.parametrize("scale, zero_point", [(0.02464, -128), (1 / 127, 0), (0.5, 127)])
def test_every_int8_survives_the_round_trip(scale: float, zero_point: int) -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    tensor = spec(scale=scale, zero_point=zero_point)
    assert np.array_equal(quantize(dequantize(every, tensor), tensor), every)


def test_dequantize_is_scale_times_steps_from_the_zero_point() -> None:
    reals = dequantize(np.array([[-128], [0], [127]], dtype=np.int8), spec(zero_point=-128))
    assert reals.dtype == np.float32 and reals.tolist() == [[0.0], [64.0], [127.5]]


def test_tensor_without_quantization_only_changes_dtype() -> None:
    plain = spec("float32", scale=0.0)
    assert quantize(np.array([0.1, 2.5]), plain).tolist() == [np.float32(0.1), 2.5]
    assert dequantize(np.array([1, 2], dtype=np.int32), spec("int32", 0.0)).tolist() == [1.0, 2.0]


def test_batch_bytes_are_little_endian_and_come_back() -> None:
    tensor = spec("int16", shape=(1, 2))
    batch = np.array([[1, -2], [256, 3]], dtype=np.int16)
    raw = batch_bytes(batch, tensor)
    assert raw.hex() == "0100feff00010300"
    assert np.array_equal(batch_from_bytes(raw, tensor), batch)


@pytest.mark.parametrize("shape, k, expected", [((1, 3), 2, (2, 3)), ((2, 2), 3, (3, 2, 2))])
def test_batch_from_bytes_drops_only_a_batch_size_of_one(shape, k: int, expected) -> None:
    tensor = spec(shape=shape)
    assert batch_from_bytes(bytes(k * tensor.size_bytes), tensor).shape == expected


def test_batch_of_another_dtype_is_refused_not_cast() -> None:
    with pytest.raises(TensorError, match="got float64 for tensor 'x' of int8"):
        batch_bytes(np.zeros(3), spec())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_part_of_a_sample_is_refused(count: int) -> None:
    with pytest.raises(TensorError, match=rf"got {count} values .* not a whole number"):
        batch_bytes(np.zeros(count, dtype=np.int8), spec(shape=(1, 2)))


def test_same_layout_ignores_the_name_and_float64_digits() -> None:
    one = TensorSpec(shape=(1, 1), dtype="int8", scale=0.1, zero_point=1, name="a")
    wire = TensorSpec(shape=(1, 1), dtype="int8", scale=float(np.float32(0.1)), zero_point=1)
    assert one != wire and one.same_layout(wire)


@pytest.mark.parametrize(
    "other",
    [
        spec(shape=(1, 2)),
        spec("uint8"),
        spec(scale=0.25),
        spec(zero_point=1),
    ],
)
def test_same_layout_sees_every_other_difference(other: TensorSpec) -> None:
    assert not spec().same_layout(other)


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"dtype": "float64"}, "dtype float64"),
        ({"shape": (1, -1)}, "sizes must be known"),
        ({"shape": (0,)}, "sizes must be known"),
        ({"scale": -1.0}, "scale -1.0"),
        ({"scale": math.nan}, "scale nan"),
        ({"scale": math.inf}, "scale inf"),
    ],
)
def test_impossible_spec_is_refused(wrong: dict, named: str) -> None:
    with pytest.raises(TensorError, match=named):
        TensorSpec(**{"shape": (1,), "dtype": "int8", "name": "x", **wrong})


def test_sizes_count_elements_and_bytes() -> None:
    tensor = spec("float32", shape=(1, 2, 3))
    assert (tensor.elements, tensor.size_bytes, tensor.quantized) == (6, 24, False)
    assert spec(shape=()).elements == 1


def test_softmax_sums_to_one_and_survives_large_logits() -> None:
    found = activate(np.array([[0.0, np.log(3.0)], [1000.0, 0.0]], dtype=np.float32), "softmax")
    np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.0]], atol=1e-7)
    assert found.dtype == np.float32


def test_sigmoid_by_hand_and_at_its_ends() -> None:
    logits = np.array([[0.0], [np.log(3.0)], [-np.log(3.0)], [-1000.0], [1000.0]], np.float32)
    found = activate(logits, "sigmoid")
    np.testing.assert_allclose(found.ravel(), [0.5, 0.75, 0.25, 0.0, 1.0], atol=1e-7)


def test_no_activation_changes_nothing_and_an_unknown_one_is_named() -> None:
    values = np.array([[1.0]], dtype=np.float32)
    assert activate(values, None) is values
    with pytest.raises(TensorError, match="unknown activation 'relu7'; known: softmax, sigmoid"):
        activate(values, "relu7")
