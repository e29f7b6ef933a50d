"""`models` writes and `harness` reads without importing each other: what both compute agrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.model.artifact
import harness.model.tensor
import models.artifact
import models.goldens
import models.interpret
import models.produce
import models.recipe
from models.tflite_file import Tensor

SCALES = st.floats(2.0**-20, 1e3, width=32)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), SCALES, st.integers(-128, 127))
def test_both_quantize_alike(values: list[float], scale: float, zero_point: int) -> None:
    real = np.array(values, dtype=np.float32)
    ours = Tensor(name="x", shape=(1,), dtype="int8", scale=scale, zero_point=zero_point)
    theirs = harness.model.tensor.TensorSpec(
        shape=(1,), dtype="int8", scale=scale, zero_point=zero_point
    )
    raw = models.interpret.quantize(real, ours)
    np.testing.assert_array_equal(raw, harness.model.tensor.quantize(real, theirs))
    np.testing.assert_array_equal(
        models.interpret.dequantize(raw, ours), harness.model.tensor.dequantize(raw, theirs)
    )


@pytest.mark.parametrize("activation", [None, *models.recipe.ACTIVATIONS])
def test_both_activate_alike(activation: str | None) -> None:
    logits = np.random.default_rng(6).normal(0, 8, (200, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        models.interpret.activate(logits, activation),
        harness.model.tensor.activate(logits, activation),
    )


@pytest.mark.parametrize("bases, count", [(1, 1), (3, 20), (16, 256)])
def test_both_derive_the_same_inputs(bases: int, count: int) -> None:
    images = np.random.default_rng(7).integers(-128, 128, (bases, 8, 9, 3)).astype(np.int8)
    np.testing.assert_array_equal(
        models.goldens.derive(images, count), harness.model.artifact.derive(images, count)
    )


def test_both_mean_the_same_schema_forms_and_files() -> None:
    assert models.produce.SCHEMA == harness.model.artifact.SCHEMA
    assert models.artifact.MANIFEST == harness.model.artifact.MANIFEST
    assert list(models.goldens.OUTPUTS) == [
        harness.model.artifact.DEFAULT_DTYPE,
        harness.model.artifact.LOGITS,
    ]
