from __future__ import annotations

import numpy as np
import pytest

from harness.errors import TensorError
from harness.model.samples import Layout, to_reals, to_tensor
from harness.model.tensor import TensorSpec

IDS = TensorSpec(shape=(1, 2), dtype="int32", name="serving_default_ids:0")
WAVE = TensorSpec(shape=(1, 3), dtype="int8", scale=0.5, zero_point=1, name="wave")
BOTH = Layout(specs=(IDS, WAVE))


def ids(count: int = 2) -> np.ndarray:
    return np.arange(2 * count, dtype=np.int32).reshape(count, 2)


def waves(count: int = 2) -> np.ndarray:
    return np.arange(3 * count, dtype=np.int8).reshape(count, 3)


def single(shape: tuple[int, ...], dtype: str = "int8") -> Layout:
    return Layout(specs=(TensorSpec(shape=shape, dtype=dtype, name="x"),))


@pytest.mark.parametrize(
    ("shape", "samples"),
    [
        ((), (3,)),
        ((1,), (3,)),
        ((6,), (3, 6)),
        ((1, 6), (3, 6)),
        ((4, 6), (3, 4, 6)),
        ((1, 2, 3, 4, 5), (3, 2, 3, 4, 5)),
    ],
)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float32", "bool"])
def test_samples_of_every_rank_and_type_come_back_from_their_bytes(shape, samples, dtype) -> None:
    layout = single(shape, dtype)
    batch = (np.arange(np.prod(samples)) % 2).astype(dtype)
    packed = layout.pack(batch)
    assert packed.shape == samples and packed.dtype == dtype
    raw = layout.to_bytes(packed)
    assert len(raw) == 3 * layout.size_bytes
    np.testing.assert_array_equal(layout.from_bytes(raw), packed)
    assert layout.tensors(packed, 2)[0].shape == shape


def test_several_tensors_lie_one_after_the_other_in_each_sample() -> None:
    packed = BOTH.pack([ids(), waves()])
    assert BOTH.to_bytes(packed) == (
        ids()[0].tobytes() + waves()[0].tobytes() + ids()[1].tobytes() + waves()[1].tobytes()
    )
    again = BOTH.from_bytes(BOTH.to_bytes(packed))
    np.testing.assert_array_equal(again["wave"], waves())
    assert [tensor.shape for tensor in BOTH.tensors(packed, 1)] == [(1, 2), (1, 3)]


@pytest.mark.parametrize(
    "given",
    [
        {"wave": waves(), "serving_default_ids:0": ids()},
        {"wave": waves(), "ids": ids()},
        {"0": ids(), "1": waves()},
        [ids(), waves()],
        (ids().ravel(), waves().ravel()),
    ],
)
def test_several_tensors_are_given_by_name_or_position(given) -> None:
    np.testing.assert_array_equal(BOTH.pack(given), BOTH.pack([ids(), waves()]))


def test_samples_are_picked_and_repeated_alike_for_one_tensor_and_several() -> None:
    packed = BOTH.pack([ids(3), waves(3)])
    picked = BOTH.pack(np.repeat(packed[[2]], 2))
    np.testing.assert_array_equal(picked["wave"], waves(3)[[2, 2]])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (ids(), "one array for 2 tensors.*'serving_default_ids:0' of int32 .1, 2., 'wave' of int8"),
        ([ids()], "got 1 arrays"),
        ({"wave": waves()}, "'serving_default_ids:0' was not given"),
        ({"wave": waves(), "ids": ids(), "other": ids()}, "no tensor 'other'"),
        ({"wave": waves(), "1": waves(), "ids": ids()}, "there is twice '1'"),
        ([ids(), waves().astype(int)], "got int64 for tensor 'wave' of int8 .1, 3."),
        ([ids(), waves().ravel()[:4]], "got 4 values for tensor 'wave'.*samples of 3"),
        ([ids(3), waves(2)], "3 for 'serving_default_ids:0', 2 for 'wave'"),
    ],
)
def test_what_does_not_fit_names_the_tensor_and_what_is_wanted(given, problem: str) -> None:
    with pytest.raises(TensorError, match=problem):
        BOTH.pack(given)


@pytest.mark.parametrize("names", [("", "b"), ("a", "a")])
def test_tensors_without_names_of_their_own_go_by_position(names) -> None:
    specs = tuple(TensorSpec(shape=(1,), dtype="int8", name=name) for name in names)
    assert Layout(specs=specs).names == ("0", "1")


def test_users_get_an_array_or_a_dict_by_name() -> None:
    assert isinstance(single((1, 2)).named(np.zeros((3, 2), np.int8)), np.ndarray)
    named = BOTH.named(BOTH.pack([ids(), waves()]))
    assert list(named) == ["serving_default_ids:0", "wave"]
    np.testing.assert_array_equal(named["wave"], waves())


@pytest.mark.parametrize(
    ("dtype", "real", "expected"),
    [
        ("int32", [0.5, -0.5, 1.4, 1e12], [1, -1, 1, 2**31 - 1]),
        ("uint8", [-3.0, 0.4, 255.5, 7.0], [0, 0, 255, 7]),
        ("bool", [-1.0, 0.0, 0.5, 9.0], [False, False, True, True]),
        ("int64", [-1e30, 3.5, 1e30, 0.0], [-(2**63), 4, 2**63 - 1024, 0]),
    ],
)
def test_tensors_without_a_scale_round_and_saturate(dtype: str, real, expected) -> None:
    held = to_tensor(real, TensorSpec(shape=(4,), dtype=dtype))
    assert held.dtype == dtype
    assert held.tolist() == expected


def test_numbers_of_all_tensors_stand_in_one_line() -> None:
    raw = BOTH.from_numbers(np.array([3.0, 4.0, 0.5, -0.5, 100.0]))
    # By hand: q = 1 + 2 x, at most 127.
    assert raw == np.array([3, 4], np.int32).tobytes() + np.array([2, 0, 127], np.int8).tobytes()
    assert BOTH.to_numbers(raw) == [3.0, 4.0, 0.5, -0.5, 63.0]
    with pytest.raises(TensorError, match="got 4 numbers, needed 5"):
        BOTH.from_numbers(np.zeros(4))


def test_large_integers_keep_their_digits() -> None:
    value = np.array([2**24 + 1], np.int32)
    assert to_reals(value, TensorSpec(shape=(1,), dtype="int32"))[0] == 2**24 + 1
