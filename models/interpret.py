"""Running `.tflite` files on the host, one example at a time as a board does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from models.recipe import Array
from models.tflite_file import Tensor, summarize

TFLM_ARENA_BYTES = 8 * 1024 * 1024
"""Far above what a board has. The interpreter's default is too small for convolution networks."""

Run = Callable[[Array], Array]


def tflm_version() -> str:
    """The version of TFLite Micro that computes goldens."""
    return version("tflite-micro")


def tflm(content: bytes) -> Run:
    """A function from raw inputs (n, ...) to raw outputs, computed by TFLite Micro."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=TFLM_ARENA_BYTES)

    def one(x: Array) -> Array:
        interpreter.set_input(x[np.newaxis], 0)
        interpreter.invoke()
        return np.array(interpreter.get_output(0)[0])

    return partial(_each, one)


def litert(content: bytes) -> Run:
    """The same by LiteRT, without the delegate whose rounding depends on the processor."""
    from ai_edge_litert import interpreter as module

    interpreter = module.Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def one(x: Array) -> Array:
        interpreter.set_tensor(source, x[np.newaxis])
        interpreter.invoke()
        return np.array(interpreter.get_tensor(result)[0])

    return partial(_each, one)


def on_reals(content: bytes, run: Callable[[bytes], Run], activation: str | None = None) -> Run:
    """The model as a function of real numbers: quantizes and dequantizes where the file is int8.

    `activation` is applied to its outputs.
    """
    summary = summarize(content)
    raw = run(content)

    def real(x: Array) -> Array:
        outputs = raw(quantize(x, summary.inputs[0]))
        return activate(dequantize(outputs, summary.outputs[0]), activation)

    return real


def activate(logits: Array, activation: str | None) -> Array:
    """Apply a model's last function on the host, in float32; None leaves the values alone."""
    if activation == "softmax":
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
    if activation == "sigmoid":
        # Both branches of the textbook's stable form, without a warning for the one not taken.
        small = np.exp(-np.abs(logits))
        return np.asarray(np.where(logits >= 0, 1, small) / (1 + small), dtype=np.float32)
    return logits


def quantize(real: Array, tensor: Tensor) -> Array:
    """To the tensor's grid, halves away from zero, saturating; unchanged if not quantized."""
    if tensor.scale is None or tensor.zero_point is None:
        return real.astype(tensor.dtype)
    steps = np.asarray(real, dtype=np.float32) / np.float32(tensor.scale)
    whole = np.trunc(steps)
    # Not floor(|x| + 0.5): for the float just below a half that sum is 1.
    rounded = whole + np.where(np.abs(steps - whole) >= 0.5, np.copysign(1, steps), 0)
    limits = np.iinfo(tensor.dtype)
    saturated = np.clip(rounded + tensor.zero_point, limits.min, limits.max)
    return np.asarray(saturated, dtype=tensor.dtype)


def dequantize(raw: Array, tensor: Tensor) -> Array:
    """Back to float32."""
    if tensor.scale is None or tensor.zero_point is None:
        return raw.astype(np.float32)
    real = np.float32(tensor.scale) * (raw.astype(np.int32) - tensor.zero_point)
    return np.asarray(real, dtype=np.float32)


def _each(one: Callable[[Any], Array], x: Array) -> Array:
    return np.stack([one(example) for example in x])
