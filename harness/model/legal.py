"""Random inputs that a model can take: what its graph says of the values of each input tensor."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact
from harness.model.samples import Layout, limits_of
from harness.model.tensor import DTYPES, TensorSpec

INTEGERS = 1000
"""Integers that nothing is known of are drawn from -INTEGERS to INTEGERS: products do not wrap."""

FAR = 16
"""Most operators that hand a tensor on, between an input and the operator that limits it."""

_HANDS_ON = (
    *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CAST", "TRANSPOSE", "STRIDED_SLICE", "SLICE"),
    *("SPLIT", "SPLIT_V", "UNPACK", "PACK", "CONCATENATION", "TILE", "BROADCAST_TO"),
)
_DIVIDES = ("DIV", "FLOOR_DIV", "FLOOR_MOD")
_OF_POSITIVES = ("SQRT", "RSQRT", "LOG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The least and the largest value to draw for an input tensor, both included.

    Integers as the tensor holds them; reals of a float tensor.
    """

    low: float
    high: float

    def within(self, other: Limits) -> Limits:
        """What both allow; the other's where nothing is."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Limits(low=low, high=high) if low <= high else other


def random_inputs(artifact: Artifact, count: int, seed: int) -> NDArray[Any]:
    """Samples (count, ...) of all input tensors, within `input_limits`; the same for each seed."""
    random = np.random.default_rng(seed)
    limits = input_limits(artifact)
    layout = Layout(specs=artifact.inputs)
    columns = [
        _drawn(random, spec, limit, count)
        for spec, limit in zip(artifact.inputs, limits, strict=True)
    ]
    return layout.pack(columns)


def _drawn(
    random: np.random.Generator, spec: TensorSpec, limit: Limits, count: int
) -> NDArray[Any]:
    shape = (count, spec.elements)
    if spec.dtype == "float32":
        return random.uniform(limit.low, limit.high, shape).astype(np.float32)
    whole = random.integers(int(limit.low), int(limit.high), shape, np.int64, endpoint=True)
    return whole.astype(spec.dtype)


def input_limits(artifact: Artifact) -> tuple[Limits, ...]:
    """What may be drawn for each input tensor.

    Ids lie within the table that they look up. Quantized tensors have the range they were
    calibrated for: that of their dtype. Floats are from -1 to 1, or in the range that an operator
    QUANTIZE behind them can hold. Truth values are 0 and 1. Other integers lie within INTEGERS. A
    divisor is above 0, and so is what a root or a logarithm is taken of.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    import tflite  # 0.05 s: only where a model is looked into

    names = {code: name for name, code in vars(tflite.BuiltinOperator).items()}
    try:
        graph = _Graph(tflite.Model.GetRootAs(artifact.content, 0), names)
        numbers = [int(number) for number in graph.main.InputsAsNumpy()]
        return tuple(
            _limits(graph, number, spec)
            for number, spec in zip(numbers, artifact.inputs, strict=True)
        )
    except (struct.error, LookupError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"cannot read what its inputs may be: {error!r}", where=Where(model=artifact.name)
        ) from error


def _limits(graph: _Graph, number: int, spec: TensorSpec) -> Limits:
    found = _usual(spec)
    for use in graph.uses(number):
        limit = graph.limit_of(use, spec)
        found = found if limit is None else found.within(limit)
    return found


def _usual(spec: TensorSpec) -> Limits:
    if spec.dtype == "float32":
        return Limits(low=-1.0, high=1.0)
    low, high = limits_of(spec.dtype)
    if spec.dtype in ("int32", "int64"):
        return Limits(low=-INTEGERS, high=INTEGERS)
    return Limits(low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """An operator that reads a tensor as its input number `position`."""

    kind: str
    node: Any
    position: int


class _Graph:
    """The first subgraph of a model, asked for what reads a tensor."""

    def __init__(self, model: Any, names: dict[Any, str]) -> None:
        self._model = model
        self._names = names
        self.main = model.Subgraphs(0)

    def uses(self, number: int, far: int = FAR) -> Iterator[_Use]:
        """Operators that read a tensor, also behind those that hand it on as it is."""
        for index in range(self.main.OperatorsLength() if far else 0):
            node = self.main.Operators(index)
            reads = [node.Inputs(at) for at in range(node.InputsLength())]
            if number not in reads:
                continue
            use = _Use(kind=self._kind(node), node=node, position=reads.index(number))
            yield use
            if use.kind in _HANDS_ON:
                for at in range(node.OutputsLength()):
                    yield from self.uses(node.Outputs(at), far - 1)

    def limit_of(self, use: _Use, spec: TensorSpec) -> Limits | None:
        """What a use says of a tensor; None if nothing."""
        if use.kind == "GATHER" and use.position == 1:
            return self._below(self._table(use, 0)[self._gather_axis(use.node)])
        if use.kind == "EMBEDDING_LOOKUP" and use.position == 0:
            return self._below(self._table(use, 1)[0])
        if use.kind == "GATHER_ND" and use.position == 1:
            return self._below(min(self._table(use, 0)))
        if use.kind == "QUANTIZE" and spec.dtype == "float32":
            return self._quantized(use.node)
        if use.kind in _DIVIDES and use.position == 1 and not spec.quantized:
            return None if spec.dtype == "float32" else Limits(low=1, high=INTEGERS)
        if use.kind in _OF_POSITIVES:
            return _above_0(spec)
        return None

    def _kind(self, node: Any) -> str:
        code = self._model.OperatorCodes(node.OpcodeIndex())
        # Codes up to 127 stand in the older, one-byte field; the newer one is then 0 in old files.
        return self._names[int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))]

    def _table(self, use: _Use, position: int) -> list[int]:
        tensor = self.main.Tensors(use.node.Inputs(position))
        return [int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())]

    def _gather_axis(self, node: Any) -> int:
        import tflite

        table = node.BuiltinOptions()
        if table is None:
            return 0
        options = tflite.GatherOptions()
        options.Init(table.Bytes, table.Pos)
        return int(options.Axis())

    def _below(self, size: int) -> Limits:
        return Limits(low=0, high=size - 1)

    def _quantized(self, node: Any) -> Limits | None:
        tensor = self.main.Tensors(node.Outputs(0))
        quantization = tensor.Quantization()
        if quantization is None or quantization.ScaleLength() != 1:
            return None
        scale, zero_point = float(quantization.Scale(0)), int(quantization.ZeroPoint(0))
        low, high = limits_of(DTYPES[tensor.Type()])
        ends = (scale * (low - zero_point), scale * (high - zero_point))
        return Limits(low=ends[0], high=ends[1]) if all(map(math.isfinite, ends)) else None


def _above_0(spec: TensorSpec) -> Limits:
    if spec.dtype == "float32":
        return Limits(low=2.0**-10, high=1.0)
    high = limits_of(spec.dtype)[1] if spec.quantized else INTEGERS
    return Limits(low=min(spec.zero_point + 1, high), high=high)
