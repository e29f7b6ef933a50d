"""How the numbers of a data set become a model's input: real, quantized already, or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.tensor import TensorSpec, dequantize, quantize

REAL, QUANTIZED, UNIT, SIGNED = "real", "quantized", "unit", "signed"
"""In the model's own unit; the tensor's integers; pixels of 0 to 255 that stand for 0 to 1, or for
-1 to 1."""

MEANINGS = (REAL, QUANTIZED, UNIT, SIGNED)
_STATE_IT = (
    "Say what they are: --inputs real (in the model's unit), quantized (the tensor's integers), "
    "unit (pixels of 0 to 255, divided by 255) or signed (pixels, mapped to -1 to 1)."
)
_NEAR = 0.02
_FAR = 1.0
"""Reals may exceed the calibrated range by this share of it: such inputs saturate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What is known of all numbers of a data set: dtype, range, and whether all are whole."""

    dtype: np.dtype[Any]
    low: float
    high: float
    whole: bool

    def __str__(self) -> str:
        return f"{self.dtype} numbers of {self.low:g} to {self.high:g}"


def real_range(spec: TensorSpec) -> tuple[float, float]:
    """The lowest and highest number that a quantized tensor can hold, in the model's unit."""
    limits = np.iinfo(spec.dtype)
    return (
        spec.scale * (limits.min - spec.zero_point),
        spec.scale * (limits.max - spec.zero_point),
    )


def meaning_of(
    numbers: Numbers, spec: TensorSpec, *, source: str, stated: str | None = None
) -> str:
    """What the numbers of a data set are: REAL, QUANTIZED, UNIT or SIGNED.

    Dtype and range decide: numbers of the tensor's own dtype are quantized, floating-point numbers
    are real, bytes are pixels, whose scale the range of the tensor tells.

    Args:
        stated: what the user says they are.

    Raises:
        TensorError: they can be none of these, or several; says how to state it.
    """
    meaning = stated or _decided(numbers, spec, source)
    _refuse_impossible(meaning, numbers, spec, source)
    return meaning


def converted(block: NDArray[Any], spec: TensorSpec, meaning: str) -> NDArray[Any]:
    """Numbers of any shape as the tensor's values, in the same shape."""
    if meaning == QUANTIZED:
        return block.astype(spec.dtype)
    if meaning in (UNIT, SIGNED) or np.dtype(spec.dtype).kind == "f" or spec.quantized:
        return quantize(reals(block, spec, meaning), spec)
    return block.astype(spec.dtype)


def reals(block: NDArray[Any], spec: TensorSpec, meaning: str) -> NDArray[np.float32]:
    """Numbers of any shape in the model's own unit, as the float model takes them."""
    if meaning == QUANTIZED:
        return dequantize(block.astype(spec.dtype), spec)
    numbers = block.astype(np.float32)
    if meaning == UNIT:
        return numbers / np.float32(255)
    if meaning == SIGNED:
        return numbers / np.float32(127.5) - np.float32(1)
    return numbers


def _decided(numbers: Numbers, spec: TensorSpec, source: str) -> str:
    if not spec.quantized:
        return _plain(numbers, spec, source)
    if numbers.dtype == np.dtype(spec.dtype):
        return QUANTIZED
    if numbers.dtype.kind == "f":
        return _floating(numbers, spec, source)
    return _integers(numbers, spec, source)


def _plain(numbers: Numbers, spec: TensorSpec, source: str) -> str:
    """For a tensor without a scale."""
    if np.dtype(spec.dtype).kind == "f" and numbers.dtype == np.uint8:
        raise _ambiguous(numbers, spec, source, "may be real, or pixels to be scaled")
    return REAL


def _floating(numbers: Numbers, spec: TensorSpec, source: str) -> str:
    low, high = real_range(spec)
    allowed = _FAR * (high - low)
    if low - allowed <= numbers.low and numbers.high <= high + allowed:
        return REAL
    raise _ambiguous(numbers, spec, source, "are far beyond what the input can hold")


def _integers(numbers: Numbers, spec: TensorSpec, source: str) -> str:
    limits = np.iinfo(spec.dtype)
    pixels = numbers.low >= 0 and numbers.high <= 255
    if pixels and (numbers.dtype == np.uint8 or numbers.high > limits.max):
        return _pixels(numbers, spec, source)
    low, high = real_range(spec)
    may_be_real = low - spec.scale <= numbers.low and numbers.high <= high + spec.scale
    may_be_quantized = limits.min <= numbers.low and numbers.high <= limits.max
    if may_be_real and not may_be_quantized:
        return REAL
    if may_be_quantized and not may_be_real and numbers.low < 0:
        return QUANTIZED
    raise _ambiguous(numbers, spec, source, "may be real or quantized, or pixels")


def _pixels(numbers: Numbers, spec: TensorSpec, source: str) -> str:
    low, high = real_range(spec)
    if _near(low, 0, 255) and _near(high, 255, 255):
        return REAL
    if _near(low, 0, 1) and _near(high, 1, 1):
        return UNIT
    raise _ambiguous(numbers, spec, source, "look like pixels")


def _near(value: float, wanted: float, span: float) -> bool:
    return abs(value - wanted) <= _NEAR * span


def _ambiguous(numbers: Numbers, spec: TensorSpec, source: str, why: str) -> TensorError:
    if spec.quantized:
        low, high = real_range(spec)
        takes = f"{spec.dtype} for {low:.4g} to {high:.4g}"
    else:
        takes = spec.dtype
    return TensorError(f"{source}: {numbers} {why}; the model takes {takes}", hint=_STATE_IT)


def _refuse_impossible(meaning: str, numbers: Numbers, spec: TensorSpec, source: str) -> None:
    if meaning in (UNIT, SIGNED) and not (numbers.low >= 0 and numbers.high <= 255):
        raise TensorError(f"{source}: {numbers} are no pixels of 0 to 255")
    if meaning == QUANTIZED and not spec.quantized:
        raise TensorError(f"{source}: the model's input is {spec.dtype}, which is not quantized")
    whole = np.dtype(spec.dtype).kind in "iub"
    if not whole or (meaning != QUANTIZED and spec.quantized):
        return
    limits = np.iinfo(spec.dtype) if np.dtype(spec.dtype).kind != "b" else np.iinfo(np.uint8)
    if not (numbers.whole and limits.min <= numbers.low and numbers.high <= limits.max):
        raise TensorError(
            f"{source}: {numbers} do not fit into the input, which takes whole numbers of "
            f"{limits.min} to {limits.max}"
        )
