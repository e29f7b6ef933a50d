"""Input and output tensors of a model, and the conversion between reals and integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError

DTYPES = {
    0: "float32",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
}
"""TFLite's TensorType numbers; the wire protocol uses the same."""

ACTIVATIONS = ("softmax", "sigmoid")
"""Functions that `activate` knows."""

_QUANTIZED = ("int8", "uint8", "int16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One model input or output: real = scale * (q - zero_point).

    `scale` is 0 for a tensor without quantization. `name` is the converter's; `same_layout` leaves
    it out, since firmware does not know it.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES.values():
            raise TensorError(
                f"tensor {self.name!r} has dtype {self.dtype}, which is not supported"
            )
        if any(size < 1 for size in self.shape):
            raise TensorError(
                f"tensor {self.name!r} has shape {self.shape}: all sizes must be known"
            )
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise TensorError(
                f"tensor {self.name!r} has scale {self.scale}; it must be 0 or above, and finite"
            )

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Size of the tensor in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize

    @property
    def quantized(self) -> bool:
        """Whether its values are integers with a scale."""
        return self.dtype in _QUANTIZED and self.scale > 0

    def same_layout(self, other: TensorSpec) -> bool:
        """Whether all but the name is equal; scales as float32, which is what the wire carries."""
        with np.errstate(over="ignore"):  # A scale that no float32 holds is infinite there.
            scales = np.float32(self.scale) == np.float32(other.scale)
        return bool(
            scales
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.zero_point == other.zero_point
        )


def quantize(real: NDArray[np.floating[Any]], spec: TensorSpec) -> NDArray[Any]:
    """Quantize to the tensor's integer grid, saturating at the ends of its dtype.

    Args:
        real: any shape, in the model's own unit.

    Returns:
        Same shape as `real`, dtype of the tensor. Halves round away from zero, as TFLite's own
        quantize op does; neither `np.round` (half to even) nor a C cast (truncates) agrees.
        A tensor without quantization only changes dtype.

    Raises:
        TensorError: `real` holds NaN.
    """
    with np.errstate(over="ignore"):
        values = np.asarray(real, dtype=np.float32)
    if np.isnan(values).any():
        raise TensorError(f"input for tensor {spec.name!r} holds NaN")
    if not spec.quantized:
        return values.astype(spec.dtype)
    with np.errstate(over="ignore"):
        # Added in double, since in single precision 0.5 and the number below 0.5 make 1.
        scaled = (values / np.float32(spec.scale)).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled)) + spec.zero_point
    limits = np.iinfo(spec.dtype)
    clipped: NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(spec.dtype)
    return clipped


def dequantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """The real numbers of a tensor's values, in the same shape."""
    if not spec.quantized:
        return np.asarray(values, dtype=np.float32)
    steps = np.asarray(values, dtype=np.int32) - spec.zero_point
    reals: NDArray[np.float32] = (np.float32(spec.scale) * steps).astype(np.float32)
    return reals


def batch_bytes(batch: NDArray[Any], spec: TensorSpec) -> bytes:
    """Little-endian bytes of a batch of inputs of one tensor.

    Args:
        batch: dtype of the tensor and `k * elements` values, in any shape.

    Raises:
        TensorError: another dtype, since nothing is cast silently, or not whole samples.
    """
    if batch.dtype != np.dtype(spec.dtype):
        raise TensorError(f"got {batch.dtype} for tensor {spec.name!r} of {spec.dtype}")
    if batch.size == 0 or batch.size % spec.elements:
        raise TensorError(
            f"got {batch.size} values for tensor {spec.name!r} of shape {spec.shape}: "
            f"not a whole number of samples"
        )
    return bytes(np.ascontiguousarray(batch, dtype=np.dtype(spec.dtype).newbyteorder("<")).data)


def batch_from_bytes(raw: bytes, spec: TensorSpec) -> NDArray[Any]:
    """Inverse of `batch_bytes`: shape `(k, *shape[1:])` where the tensor's batch size is 1."""
    flat = np.frombuffer(raw, dtype=np.dtype(spec.dtype).newbyteorder("<")).astype(spec.dtype)
    tail = spec.shape[1:] if spec.shape and spec.shape[0] == 1 else spec.shape
    return flat.reshape(-1, *tail)


def activate(real: NDArray[np.float32], activation: str | None) -> NDArray[np.float32]:
    """Apply a model's last activation on the host; None leaves the values as they are.

    Args:
        real: (k, ...); softmax runs over the last axis.
        activation: `softmax` or `sigmoid`.

    Raises:
        TensorError: another activation.
    """
    if activation is None:
        return real
    if activation == "softmax":
        powers = np.exp(real - real.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
    if activation == "sigmoid":
        # Written so that neither sign overflows.
        small = np.exp(-np.abs(real))
        return np.asarray(np.where(real >= 0, 1, small) / (1 + small), dtype=np.float32)
    raise TensorError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")


DTYPE_NUMBERS = {name: number for number, name in DTYPES.items()}
