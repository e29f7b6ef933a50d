"""Samples of a model with one tensor or several: how they lie in an array, and in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.tensor import TensorSpec, dequantize, quantize

Batch = NDArray[Any] | Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]
"""Samples as users give them: an array, or for several tensors a mapping by name or a sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The tensors of one side of a model, and how k samples of them lie in one array.

    A sample is what one invoke takes or gives: of a model with a batch size above 1, a whole batch.
    Samples of one tensor are an array (k, ...) of its dtype, without the tensor's first dimension
    where that is 1. Samples of several are a structured array (k,) with a field like that for each
    tensor, so that both are counted, picked, ordered and repeated in the same way.
    """

    specs: tuple[TensorSpec, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names; their positions `0`, `1` where a name is empty or there twice."""
        names = tuple(spec.name for spec in self.specs)
        usable = all(names) and len(set(names)) == len(names)
        return names if usable else tuple(map(str, range(len(names))))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample."""
        fields = [_element(spec) for spec in self.specs]
        if len(fields) == 1:
            return fields[0]
        return np.dtype(list(zip(self.names, fields, strict=True)))

    @property
    def size_bytes(self) -> int:
        """Bytes of one sample on the wire: the tensors one after the other."""
        return sum(spec.size_bytes for spec in self.specs)

    @property
    def elements(self) -> int:
        """Numbers in one sample, over all tensors."""
        return sum(spec.elements for spec in self.specs)

    def pack(self, batch: Batch) -> NDArray[Any]:
        """Samples (k, ...) as one array, from what a user gave.

        Args:
            batch: for one tensor an array. For several a mapping by name, by position (`"0"`) or by
                what Keras called the input; or a sequence in the tensors' order. Each array has its
                tensor's dtype, since nothing is cast silently, and k times its elements, in any
                shape.

        Raises:
            TensorError: a tensor is absent or unknown, of another dtype, not of whole samples, or
                of another number of samples than the others.
        """
        given = zip(self._by_position(batch), self._named_specs(), strict=True)
        return self._joined([_column(np.asarray(array), spec) for array, spec in given])

    def pack_real(self, values: Batch) -> NDArray[Any]:
        """As `pack`, of real numbers of any dtype in the model's unit.

        Raises:
            TensorError: as `pack`, or a number is NaN.
        """
        given = zip(self._by_position(values), self._named_specs(), strict=True)
        return self._joined([_column(to_tensor(real, spec), spec) for real, spec in given])

    def _joined(self, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        counts = {name: len(column) for name, column in zip(self.names, columns, strict=True)}
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
            raise TensorError(f"got different numbers of samples: {each}")
        return self.join(columns)

    def _named_specs(self) -> list[TensorSpec]:
        named = zip(self.specs, self.names, strict=True)
        return [replace(spec, name=name) for spec, name in named]

    def join(self, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Samples (k, ...) out of one array (k, ...) for each tensor, all of its dtype."""
        if len(self.specs) == 1:
            return columns[0]
        records = np.empty(len(columns[0]), dtype=self.dtype)
        for name, column in zip(self.names, columns, strict=True):
            records[name] = column
        return records

    def columns(self, samples: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """One array (k, ...) for each tensor."""
        if len(self.specs) == 1:
            return (samples,)
        return tuple(samples[name] for name in self.names)

    def tensors(self, samples: NDArray[Any], index: int) -> tuple[NDArray[Any], ...]:
        """One sample's tensors, in the model's full shapes."""
        return tuple(
            np.ascontiguousarray(column[index]).reshape(spec.shape)
            for column, spec in zip(self.columns(samples), self.specs, strict=True)
        )

    def sample(self, tensors: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A batch of one sample out of its tensors, which an interpreter gave in any shape."""
        return self.join(
            [
                np.asarray(tensor).reshape(1, *_tail(spec))
                for tensor, spec in zip(tensors, self.specs, strict=True)
            ]
        )

    def to_bytes(self, samples: NDArray[Any]) -> bytes:
        """Little-endian bytes of packed samples, one after the other."""
        little = samples.dtype.newbyteorder("<")
        return np.ascontiguousarray(samples).astype(little, copy=False).tobytes()

    def from_bytes(self, raw: bytes) -> NDArray[Any]:
        """Inverse of `to_bytes`: samples (k, ...)."""
        count = len(raw) // self.size_bytes
        samples = np.empty(count, dtype=self.dtype)
        little = np.frombuffer(raw, dtype=samples.dtype.newbyteorder("<"))
        samples[...] = little.reshape(samples.shape)
        return samples

    def from_numbers(self, reals: NDArray[Any]) -> bytes:
        """Bytes of one sample out of the numbers (elements,) of all tensors, in the model's unit.

        Raises:
            TensorError: not as many numbers as the tensors have, or NaN.
        """
        if len(reals) != self.elements:
            raise TensorError(f"got {len(reals)} numbers, needed {self.elements}: {self}")
        ends = np.cumsum([spec.elements for spec in self.specs])[:-1]
        return self.to_bytes(self.pack_real(np.split(np.asarray(reals), ends)))

    def to_numbers(self, raw: bytes) -> list[float]:
        """Inverse of `from_numbers`."""
        columns = self.columns(self.from_bytes(raw))
        reals = [
            to_reals(column, spec).ravel() for column, spec in zip(columns, self.specs, strict=True)
        ]
        return [float(real) for part in reals for real in part]

    def named(self, samples: NDArray[Any]) -> Any:
        """Samples as users get them: an array, or for several tensors a dict of them by name."""
        columns = self.columns(samples)
        return columns[0] if len(columns) == 1 else dict(zip(self.names, columns, strict=True))

    def __str__(self) -> str:
        return ", ".join(
            f"{name!r} of {spec.dtype} {spec.shape}"
            for name, spec in zip(self.names, self.specs, strict=True)
        )

    def by_position(self, given: Mapping[Any, Any]) -> list[Any]:
        """The values of a mapping by tensor, in the tensors' order.

        Raises:
            TensorError: a tensor is absent or unknown.
        """
        found: dict[int, Any] = {}
        for key, value in given.items():
            position = self.position(str(key))
            if position is None or position in found:
                problem = "there is no tensor" if position is None else "there is twice"
                raise TensorError(f"{problem} {key!r}: the model has {self}")
            found[position] = value
        absent = [name for at, name in enumerate(self.names) if at not in found]
        if absent:
            raise TensorError(f"tensor {absent[0]!r} was not given: the model has {self}")
        return [found[at] for at in range(len(self.specs))]

    def position(self, name: str) -> int | None:
        """Position of the tensor that a user calls so; None if there is none."""
        return self._positions().get(name)

    def _by_position(self, batch: Batch) -> Sequence[Any]:
        if isinstance(batch, np.ndarray) and batch.dtype.names:
            return self.by_position({name: batch[name] for name in batch.dtype.names})
        if isinstance(batch, Mapping):
            return self.by_position(batch)
        if len(self.specs) == 1:
            return [batch]
        if isinstance(batch, np.ndarray):
            raise TensorError(
                f"got one array for {len(self.specs)} tensors: give a dict by name or a list in "
                f"this order: {self}"
            )
        if len(batch) != len(self.specs):
            raise TensorError(f"got {len(batch)} arrays: the model has {self}")
        return batch

    def _positions(self) -> dict[str, int]:
        """Positions by all that a tensor may be called; its own name comes first."""
        short = [_keras_name(name) for name in self.names]
        return {
            **{name: at for at, name in enumerate(short) if short.count(name) == 1},
            **{str(at): at for at in range(len(short))},
            **{name: at for at, name in enumerate(self.names)},
        }


_MOST_INT64 = 2.0**63 - 1024
"""The largest double that is an int64."""


def limits_of(dtype: str) -> tuple[float, float]:
    """The least and largest value of a dtype of integers or truth values, as doubles."""
    if dtype == "bool":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    return float(limits.min), min(float(limits.max), _MOST_INT64)


def to_tensor(real: Any, spec: TensorSpec) -> NDArray[Any]:
    """Reals as the tensor holds them, in the same shape.

    As `quantize`; where a tensor of integers or truth values has no scale, the reals are rounded
    (halves away from zero) and saturate at the dtype's ends, as the firmware does it.

    Raises:
        TensorError: `real` holds NaN.
    """
    values = np.asarray(real)
    if spec.quantized or spec.dtype == "float32":
        return quantize(values, spec)
    low, high = limits_of(spec.dtype)
    doubles = values.astype(np.float64)
    if np.isnan(doubles).any():
        raise TensorError(f"input for tensor {spec.name!r} holds NaN")
    rounded = np.trunc(doubles + np.copysign(0.5, doubles))
    return np.clip(rounded, low, high).astype(spec.dtype)


def to_reals(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """The real numbers of a tensor's values: float32; of integers without a scale, float64."""
    if spec.quantized or spec.dtype == "float32":
        return dequantize(values, spec)
    return values.astype(np.float64)


def _keras_name(name: str) -> str:
    """What the layer was called: `x` for `serving_default_x:0`."""
    return name.removeprefix("serving_default_").removesuffix(":0")


def _tail(spec: TensorSpec) -> tuple[int, ...]:
    return spec.shape[1:] if spec.shape and spec.shape[0] == 1 else spec.shape


def _element(spec: TensorSpec) -> np.dtype[Any]:
    return np.dtype((spec.dtype, _tail(spec)))


def _column(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    wanted = f"tensor {spec.name!r} of {spec.dtype} {spec.shape}"
    if array.dtype != np.dtype(spec.dtype):
        raise TensorError(f"got {array.dtype} for {wanted}")
    if array.size == 0 or array.size % spec.elements:
        raise TensorError(
            f"got {array.size} values for {wanted}: not a whole number of samples of "
            f"{spec.elements}"
        )
    return array.reshape(-1, *_tail(spec))
