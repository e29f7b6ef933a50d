"""The graph of a `.tflite` file for `aot`, and new files made of some of its operators."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, Where
from harness.model.tensor import DTYPES

TYPES = {
    **DTYPES,
    **{1: "float16", 5: "string", 8: "complex64", 10: "float64"},
    **{12: "uint64", 15: "uint32", 16: "uint16"},
}
"""TFLite's TensorType numbers, as NumPy names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor of the file. `content` holds a constant's bytes; None for what is computed.

    A `variable` keeps its value from one inference to the next.
    """

    index: int
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    content: bytes | None
    variable: bool

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize

    @property
    def scale(self) -> float:
        """The first scale; 0 where there is none."""
        return self.scales[0] if self.scales else 0.0

    @property
    def zero_point(self) -> int:
        """The first zero point; 0 where there is none."""
        return self.zero_points[0] if self.zero_points else 0

    def values(self) -> NDArray[Any]:
        """A constant's values, in its shape."""
        return np.frombuffer(self.content or b"", dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator: `index` counts from 0 in the file, absent inputs are -1.

    `options` is the schema's own object (`Conv2DOptionsT`), None where the file has none.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    options_type: int

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"operator {self.index} ({self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The first subgraph of a file, with the operators that its outputs depend on."""

    where: Where
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    changes: tuple[str, ...] = ()

    def refused(self, node: Node, why: str, hint: str) -> ModelError:
        """The error for an operator that `aot` cannot run."""
        return ModelError(f"runtime aot cannot run {node.name}: {why}", where=self.where, hint=hint)

    def computed(self, node: Node) -> tuple[int, ...]:
        """Indices of a node's inputs that are no constants, each once."""
        found = (
            index for index in node.inputs if index >= 0 and self.tensors[index].content is None
        )
        return tuple(dict.fromkeys(found))


def read_graph(content: bytes, *, where: Where) -> Graph:
    """Read a file, leaving out what only computes the fixed shape of a RESHAPE.

    Raises:
        ModelError: not a TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema  # 0.1 s: only where it compiles

    kinds = {code: key for key, code in vars(schema.BuiltinOperator).items() if key.isupper()}
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        codes = [
            kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes
        ]
        tensors = tuple(
            _tensor(index, tensor, model.buffers) for index, tensor in enumerate(graph.tensors)
        )
        nodes = [_node(i, item, codes) for i, item in enumerate(_listed(graph.operators))]
        read = Graph(
            where=where,
            tensors=tensors,
            nodes=tuple(nodes),
            inputs=tuple(map(int, graph.inputs)),
            outputs=tuple(map(int, graph.outputs)),
            changes=_open_batch(graph.tensors),
        )
        for node in nodes:
            _check_indices(node, len(tensors))
    except (struct.error, LookupError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"runtime aot cannot compile the model: the file cannot be read ({error!r})",
            where=where,
            hint="Is it a whole .tflite file?",
        ) from error
    return _needed(read)


def _listed(items: Any) -> list[Any]:
    return [] if items is None else list(items)


def _tensor(index: int, tensor: Any, buffers: Sequence[Any]) -> Tensor:
    quantization = tensor.quantization
    scales = _listed(quantization and quantization.scale)
    zero_points = _listed(quantization and quantization.zeroPoint)
    data = buffers[tensor.buffer].data
    shape = tuple(map(int, _listed(tensor.shape)))
    return Tensor(
        index=index,
        shape=shape,
        dtype=TYPES.get(tensor.type, f"type {tensor.type}"),
        scales=tuple(map(float, scales)),
        zero_points=tuple(map(int, zero_points)),
        content=None if data is None or len(data) == 0 else bytes(bytearray(data)),
        variable=bool(tensor.isVariable),
    )


def _node(index: int, operator: Any, codes: Sequence[str]) -> Node:
    return Node(
        index=index,
        kind=codes[operator.opcodeIndex],
        inputs=tuple(map(int, _listed(operator.inputs))),
        outputs=tuple(map(int, _listed(operator.outputs))),
        options=operator.builtinOptions,
        options_type=int(operator.builtinOptionsType),
    )


def _check_indices(node: Node, count: int) -> None:
    wrong = [index for index in (*node.inputs, *node.outputs) if not -1 <= index < count]
    if wrong or not node.outputs or -1 in node.outputs:
        raise IndexError(f"{node.name} has no tensor {wrong or -1}")


def _open_batch(tensors: Sequence[Any]) -> tuple[str, ...]:
    signatures = [_listed(tensor.shapeSignature) for tensor in tensors]
    if not any(size < 0 for signature in signatures for size in signature):
        return ()
    return ("The open batch of its shapes (-1 in shape_signature) is dropped: shapes are fixed.",)


VIEWS = frozenset({"RESHAPE", "EXPAND_DIMS", "SQUEEZE"})
"""Operators that change the shape only; the file states the shape of their output."""


def _needed(graph: Graph) -> Graph:
    """Without the operators that no output depends on, once shapes of views are fixed."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        inputs = node.inputs[:1] if node.kind in VIEWS else node.inputs
        kept.append(replace(node, inputs=inputs))
        wanted.update(inputs)
    kept.reverse()
    indices = {node.index for node in kept}
    dropped = [node for node in graph.nodes if node.index not in indices]
    changes = graph.changes
    if dropped:
        names = ", ".join(f"{node.index} ({node.kind})" for node in dropped)
        changes += (f"Operators {names} are left out: they compute shapes, which are fixed.",)
    without = [node.index for node in kept if node.kind == "RESHAPE" and node.options is None]
    if without:
        numbers = ", ".join(map(str, without))
        changes += (f"RESHAPE gets the shape of its output as an option (operators {numbers}).",)
    return replace(graph, nodes=tuple(kept), changes=changes)


class FileWriter:
    """A new `.tflite` file of one subgraph, built tensor by tensor and operator by operator."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []

    def tensor(
        self,
        tensor: Tensor,
        *,
        shape: Sequence[int] | None = None,
        scales: Sequence[float] | None = None,
        axis: int = 0,
        name: str = "",
    ) -> int:
        """Add a tensor with the type and content of one that was read; returns its index.

        Args:
            shape: instead of its own.
            scales: instead of its own; zero points are then repeated.
            axis: the dimension that scales belong to, where there are several.
        """
        added = self._schema.TensorT()
        added.name = (name or f"t{tensor.index}").encode()
        added.shape = np.array(tensor.shape if shape is None else shape, np.int32)
        added.type = next(code for code, dtype in TYPES.items() if dtype == tensor.dtype)
        added.buffer = 0
        if tensor.content is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(tensor.content, np.uint8)
            added.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        own = tensor.scales if scales is None else tuple(scales)
        if own:
            parameters = self._schema.QuantizationParametersT()
            parameters.scale = np.array(own, np.float32)
            points = tensor.zero_points or (0,)
            parameters.zeroPoint = np.array(
                points if len(points) == len(own) else points[:1] * len(own), np.int64
            )
            parameters.quantizedDimension = axis
            added.quantization = parameters
        self._graph.tensors.append(added)
        return len(self._graph.tensors) - 1

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        version: int = 1,
        options: Any = None,
        options_type: int = 0,
    ) -> None:
        """Add an operator after those there are."""
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        added = self._schema.OperatorT()
        added.opcodeIndex = len(self._model.operatorCodes)
        added.inputs = np.array(inputs, np.int32)
        added.outputs = np.array(outputs, np.int32)
        added.builtinOptions, added.builtinOptionsType = options, options_type
        self._model.operatorCodes.append(code)
        self._graph.operators.append(added)

    def reshape(self, source: int, target: int) -> None:
        """Add a RESHAPE to the shape that the target tensor has."""
        options = self._schema.ReshapeOptionsT()
        options.newShape = self._graph.tensors[target].shape
        self.operator(
            "RESHAPE",
            [source],
            [target],
            options=options,
            options_type=self._schema.BuiltinOptions.ReshapeOptions,
        )

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes."""
        import flatbuffers

        self._graph.inputs = np.array(inputs, np.int32)
        self._graph.outputs = np.array(outputs, np.int32)
        self._model.subgraphs = [self._graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def one_operator(graph: Graph, node: Node, shapes: Mapping[int, tuple[int, ...]]) -> bytes:
    """A file with one operator of a graph, with other shapes for some of its tensors.

    Computed inputs are the file's inputs.
    """
    writer = FileWriter()
    added = {-1: -1}
    for index in (*node.inputs, *node.outputs):
        if index not in added:
            added[index] = writer.tensor(graph.tensors[index], shape=shapes.get(index))
    writer.operator(
        node.kind,
        [added[index] for index in node.inputs],
        [added[index] for index in node.outputs],
        options=node.options,
        options_type=node.options_type,
    )
    return writer.content(
        [added[index] for index in graph.computed(node)], [added[index] for index in node.outputs]
    )
