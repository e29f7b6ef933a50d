"""Goldens: the outputs that a board must reproduce, and what they are compared with."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from models.interpret import Run, dequantize, litert, quantize, tflm
from models.recipe import Array, Bounds, Recipe
from models.tflite_file import Summary


class BoundsExceeded(ArithmeticError):
    """An int8 model that is further from its references than its recipe allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goldens:
    """Inputs and outputs, first axis the golden; the rest is the tensor's shape without its batch.

    `int8_inputs` and `int8_outputs` are int8: the outputs are TFLite Micro's. `inputs_real` are the
    inputs dequantized, `float_outputs` what the float32 file says to those, both float32. `truth`
    is the true function there, float32, and None where a model has no truth. For the sine every
    array is (256, 1).
    """

    int8_inputs: Array
    int8_outputs: Array
    inputs_real: Array
    float_outputs: Array
    truth: Array | None


def golden_inputs(summary: Summary, test_inputs: Array, count: int) -> Array:
    """Every int8 where the input is one element, else `count` inputs spread over the test set."""
    tensor = summary.inputs[0]
    if np.prod(tensor.shape) == 1:
        every = np.arange(-128, 128).astype(np.int8)
        return every.reshape(-1, *tensor.shape[1:])
    chosen = np.linspace(0, len(test_inputs) - 1, min(count, len(test_inputs))).astype(int)
    return quantize(test_inputs[chosen], tensor)


def compute(
    recipe: Recipe, files: dict[str, bytes], summary: Summary, test_inputs: Array
) -> Goldens:
    """Run TFLite Micro and the float32 file over the golden inputs of an int8 file."""
    raw = golden_inputs(summary, test_inputs, recipe.golden_count)
    real = dequantize(raw, summary.inputs[0])
    run: Run = tflm(files["int8"])
    return Goldens(
        int8_inputs=raw,
        int8_outputs=run(raw),
        inputs_real=real,
        float_outputs=litert(files["float32"])(real),
        truth=None if recipe.truth is None else recipe.truth(real).astype(np.float32),
    )


def errors(recipe: Recipe, goldens: Goldens, summary: Summary) -> dict[str, float]:
    """What `Bounds` limits, measured, under the same names."""
    int8 = dequantize(goldens.int8_outputs, summary.outputs[0])
    found = _distance(int8, goldens.float_outputs, "float")
    if goldens.truth is not None and recipe.domain is not None:
        low, high = recipe.domain
        inside = (goldens.inputs_real >= low) & (goldens.inputs_real <= high)
        found |= _distance(int8[inside], goldens.truth[inside], "truth")
    return found


def check(bounds: Bounds, found: dict[str, float]) -> None:
    """Refuse a model outside its bounds.

    Raises:
        BoundsExceeded: names every bound that is broken.
    """
    limits = {name: getattr(bounds, name) for name in found}
    broken = [
        f"{name} is {value:.4g}, allowed {limits[name]:.4g}"
        for name, value in found.items()
        if limits[name] is not None and not value <= limits[name]
    ]
    if broken:
        raise BoundsExceeded("; ".join(broken))


def pack(goldens: Goldens) -> bytes:
    """The content of `goldens.npz`: one array per field, absent fields left out, no dates."""
    arrays = {
        name: getattr(goldens, name)
        for name in Goldens.__slots__
        if getattr(goldens, name) is not None
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _distance(values: Array, reference: Array, name: str) -> dict[str, float]:
    distance = np.abs(values.astype(np.float64) - reference)
    return {
        f"mae_vs_{name}": float(distance.mean()),
        f"max_abs_vs_{name}": float(distance.max()),
    }
