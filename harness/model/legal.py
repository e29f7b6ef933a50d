"""Random inputs that a model can take: what its graph says of the values of each input tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact
from harness.model.flatbuffer import Malformed
from harness.model.graph import read_graph
from harness.model.samples import Layout, limits_of
from harness.model.subgraphs import Node, Subgraph, Tensor, read_subgraphs
from harness.model.tensor import TensorSpec

INTEGERS = 1000
"""Integers that nothing is known of are drawn from -INTEGERS to INTEGERS: products do not wrap."""

_HANDS_ON = (
    *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CAST", "TRANSPOSE", "STRIDED_SLICE", "SLICE"),
    *("SPLIT", "SPLIT_V", "UNPACK", "PACK", "CONCATENATION", "TILE", "BROADCAST_TO"),
)
_LOOKS_UP = {("GATHER", 1): 0, ("EMBEDDING_LOOKUP", 0): 1, ("GATHER_ND", 1): 0}
"""Operators and their input that holds ids; and which of their inputs is the table."""

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


def mild_values(content: bytes) -> tuple[float, ...]:
    """For each input tensor of a file the value nearest to 0 that it may hold.

    None for a file that is no model: to be found out by who reads it.
    """
    try:
        specs = read_graph(content, name="").inputs
        graph = _Graph.of(content, "")
    except ModelError:
        return ()
    limits = [
        _limits(graph, number, spec) for number, spec in zip(graph.main.inputs, specs, strict=True)
    ]
    return tuple(min(max(0.0, limit.low), limit.high) for limit in limits)


def input_limits(artifact: Artifact) -> tuple[Limits, ...]:
    """What may be drawn for each input tensor.

    Ids lie within the table that they look up. Quantized tensors have the range they were
    calibrated for: that of their dtype. Floats are from -1 to 1, or in the range that an operator
    QUANTIZE behind them can hold. Truth values are 0 and 1. Other integers lie within INTEGERS. A
    divisor is above 0, and so is what a root or a logarithm is taken of.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    graph = _Graph.of(artifact.content, artifact.name)
    numbers = graph.main.inputs
    return tuple(
        _limits(graph, number, spec) for number, spec in zip(numbers, artifact.inputs, strict=True)
    )


def _limits(graph: _Graph, number: int, spec: TensorSpec) -> Limits:
    """What all uses allow; where none says anything, the usual."""
    found = None
    for use in graph.uses(number):
        limit = graph.limit_of(use, spec)
        if limit is not None:
            found = limit.within(found or limit)
    if found is None or spec.dtype == "float32":
        return found or _usual(spec)
    low, high = limits_of(spec.dtype)
    return found.within(Limits(low=low, high=high))


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

    index: int
    node: Node
    position: int


class _Graph:
    """The first subgraph of a model, asked for what reads a tensor."""

    @classmethod
    def of(cls, content: bytes, name: str) -> _Graph:
        """Of a file.

        Raises:
            ModelError: it is no TFLite model.
        """
        try:
            return cls(read_subgraphs(content)[0])
        except (Malformed, IndexError) as error:
            raise ModelError(
                f"it is no TFLite model: it {error}", where=Where(model=name)
            ) from error

    def __init__(self, main: Subgraph) -> None:
        self.main = main

    def uses(self, number: int) -> Iterator[_Use]:
        """Operators that read a tensor, also behind those that hand its values on."""
        seen: set[int] = set()
        waiting = [number]
        while waiting:
            tensor = waiting.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            for index, node in enumerate(self.main.nodes):
                if tensor in node.inputs:
                    yield _Use(index=index, node=node, position=node.inputs.index(tensor))
                    waiting += node.outputs if node.kind in _HANDS_ON else ()

    def limit_of(self, use: _Use, spec: TensorSpec) -> Limits | None:
        """What a use says of a tensor; None if nothing."""
        kind = use.node.kind
        if (kind, use.position) in _LOOKS_UP:
            return self._within_table(use)
        if kind == "QUANTIZE" and spec.dtype == "float32":
            return _quantized(self.main.tensors[use.node.outputs[0]])
        positive = kind in _OF_POSITIVES or (kind in _DIVIDES and use.position == 1)
        return _above_0(spec) if positive else None

    def _within_table(self, use: _Use) -> Limits:
        table = self.main.tensors[use.node.inputs[_LOOKS_UP[use.node.kind, use.position]]].shape
        if use.node.kind == "GATHER_ND":
            size = min(table, default=1)
        elif use.node.kind == "GATHER":
            size = table[use.node.options.number(0) if use.node.options else 0]
        else:
            size = table[0]
        return Limits(low=0, high=max(0, size - 1))


def _quantized(tensor: Tensor) -> Limits | None:
    """The reals that a quantized tensor can hold."""
    if len(tensor.scales) != 1:
        return None
    low, high = limits_of(tensor.dtype)
    ends = [tensor.scale * (end - tensor.zero_point) for end in (low, high)]
    return Limits(low=ends[0], high=ends[1]) if all(map(math.isfinite, ends)) else None


def _above_0(spec: TensorSpec) -> Limits:
    if spec.dtype == "float32":
        return Limits(low=2.0**-10, high=1.0)
    high = limits_of(spec.dtype)[1] if spec.quantized else INTEGERS
    return Limits(low=min(spec.zero_point + 1, high), high=high)
