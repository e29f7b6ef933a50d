"""Goldens: the outputs that a board must reproduce, and the references for their accuracy."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.model.artifact import DEFAULT_DTYPE
from harness.model.goldens import derive
from harness.model.graph import Graph
from harness.model.tensor import TensorSpec, dequantize, quantize
from models.interpret import litert, tflm
from models.recipe import Array, Bounds, Examples, Recipe

OUTPUTS: Mapping[str, str] = {DEFAULT_DTYPE: "int8_outputs"}
"""The array in `goldens.npz` that holds the outputs of each int8 file."""

STORED_FLOATS_BYTES = 64 * 1024
"""Larger outputs of the float32 file are not stored: LiteRT computes them from the file."""


class BoundsExceeded(ArithmeticError):
    """An int8 model that is further from its references than its recipe allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goldens:
    """Inputs and outputs, first axis the golden; the rest is the tensor's shape without its batch.

    `int8_inputs` and `int8_outputs` are int8: the outputs are TFLite Micro's. `float_outputs` are
    the float32 file's outputs for the dequantized inputs, `truth` the true function's, float32,
    None where there is none. `labels` (n,) are the classes, None where there are none. For the sine
    every array is (256, 1).
    """

    int8_inputs: Array
    int8_outputs: Array
    float_outputs: Array
    truth: Array | None
    labels: Array | None


def _spread(total: int, count: int) -> Array:
    return np.linspace(0, total - 1, min(count, total)).astype(int)


def bases_of(recipe: Recipe, test: Examples) -> int | None:
    """How many golden inputs are stored if the others are derived; None if all are stored."""
    return None if recipe.golden_bases is None else min(recipe.golden_bases, len(test.x))


def golden_inputs(recipe: Recipe, tensor: TensorSpec, test: Examples) -> tuple[Array, Array | None]:
    """Golden inputs as int8, and their labels where the recipe has labels.

    All int8 values if the input is one element; else `golden_count` inputs spread over the test
    set, or derived from `golden_bases` of these.
    """
    if np.prod(tensor.shape) == 1:
        every = np.arange(-128, 128).astype(np.int8)
        return every.reshape(-1, *tensor.shape[1:]), None
    count, bases = recipe.golden_count, bases_of(recipe, test)
    chosen = _spread(len(test.x), bases or count)
    inputs = quantize(test.x[chosen], tensor)
    labels = test.y[chosen].reshape(-1).astype(np.int16) if recipe.labels else None
    if bases is not None:
        inputs = derive(inputs, count)
        labels = None if labels is None else np.resize(labels, count)
    return inputs, labels


def compute(
    recipe: Recipe, files: Mapping[str, bytes], graphs: Mapping[str, Graph], test: Examples
) -> Goldens:
    """Run TFLite Micro and the float32 file over the golden inputs of the int8 files."""
    tensor = graphs[DEFAULT_DTYPE].inputs[0]
    raw, labels = golden_inputs(recipe, tensor, test)
    real = dequantize(raw, tensor)
    return Goldens(
        int8_inputs=raw,
        int8_outputs=tflm(files[DEFAULT_DTYPE])(raw),
        float_outputs=litert(files["float32"])(real),
        truth=None if recipe.truth is None else recipe.truth(real).astype(np.float32),
        labels=labels,
    )


def errors(
    recipe: Recipe, goldens: Goldens, graphs: Mapping[str, Graph]
) -> dict[str, dict[str, float]]:
    """Errors of each int8 file, under the names that they have in `Bounds`."""
    found = {}
    for form, name in OUTPUTS.items():
        real = dequantize(getattr(goldens, name), graphs[form].outputs[0])
        found[form] = _errors(recipe, goldens, real, graphs[form].inputs[0])
    return found


def _errors(recipe: Recipe, goldens: Goldens, real: Array, tensor: TensorSpec) -> dict[str, float]:
    found = _distance(real, goldens.float_outputs, "float")
    if goldens.truth is not None and recipe.domain is not None:
        low, high = recipe.domain
        inputs = dequantize(goldens.int8_inputs, tensor)
        inside = (inputs >= low) & (inputs <= high)
        found |= _distance(real[inside], goldens.truth[inside], "truth")
    return found


def check(bounds: Bounds, found: Mapping[str, Mapping[str, float]]) -> None:
    """Raise an error if the model is outside its bounds.

    Raises:
        BoundsExceeded: names every bound that is broken.
    """
    broken = []
    for form, values in found.items():
        for name, value in values.items():
            limit = getattr(bounds, name)
            if limit is not None and not value <= limit:
                broken.append(f"{form} {name} is {value:.4g}, allowed {limit:.4g}")
    if broken:
        raise BoundsExceeded("; ".join(broken))


def inputs_sha256(goldens: Goldens) -> str:
    """SHA-256 of all golden inputs, in hex: a check for those who derive them."""
    return hashlib.sha256(goldens.int8_inputs.tobytes()).hexdigest()


def pack(goldens: Goldens, bases: int | None) -> bytes:
    """The content of `goldens.npz`: one array per field, absent fields left out, no dates.

    With `bases` only that many inputs are stored, as `int8_bases`.
    """
    arrays = {
        name: getattr(goldens, name)
        for name in Goldens.__slots__
        if getattr(goldens, name) is not None
    }
    if goldens.float_outputs.nbytes > STORED_FLOATS_BYTES:
        del arrays["float_outputs"]
    if bases is not None:
        arrays["int8_bases"] = arrays.pop("int8_inputs")[:bases]
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _distance(values: Array, reference: Array, name: str) -> dict[str, float]:
    distance = np.abs(values.astype(np.float64) - reference)
    return {
        f"mae_vs_{name}": float(distance.mean()),
        f"max_abs_vs_{name}": float(distance.max()),
    }
