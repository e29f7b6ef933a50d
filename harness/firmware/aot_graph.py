"""The graph of a `.tflite` file for `aot`, and new files made of some of its operators."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import ModelError, Where
from harness.model.consistent import check_consistent
from harness.model.flatbuffer import Malformed
from harness.model.subgraphs import Node, Tensor, read_subgraphs

HINT = "Runtime tflm may run it."


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

    def options(self, node: Node) -> Any:
        """A node's options as the schema's own object (`Conv2DOptionsT`); None where it has none.

        Raises:
            ModelError: a part of them is not within the file.
        """
        if node.options is None:
            return None
        from ai_edge_litert import schema_py_generated as schema  # 0.1 s: only where it compiles
        from flatbuffers.table import Table

        table = Table(node.options.content, node.options.position)
        try:
            return schema.BuiltinOptionsCreator(node.options_type, table)
        except (struct.error, LookupError, ValueError, TypeError, OverflowError) as error:
            hint = "Is it a whole .tflite file?"
            raise self.refused(node, "its options are damaged", hint) from error

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
    try:
        subgraphs = read_subgraphs(content)
        check_consistent(subgraphs)
    except Malformed as error:
        raise ModelError(
            f"runtime aot cannot compile the model: the file {error}",
            where=where,
            hint=error.hint or "Is it a whole .tflite file?",
        ) from error
    main = subgraphs[0]
    read = Graph(
        where=where,
        tensors=main.tensors,
        nodes=main.nodes,
        inputs=main.inputs,
        outputs=main.outputs,
        changes=_open_batch(main.tensors),
    )
    for node in read.nodes:
        if not node.outputs:
            raise read.refused(
                node, "it has no output: it changes a state, and aot keeps none", HINT
            )
    return _needed(read)


def _open_batch(tensors: Sequence[Tensor]) -> tuple[str, ...]:
    if not any(size < 0 for tensor in tensors for size in tensor.signature):
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
        added.type = getattr(self._schema.TensorType, tensor.dtype.upper())
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
        options=graph.options(node),
        options_type=node.options_type,
    )
    return writer.content(
        [added[index] for index in graph.computed(node)], [added[index] for index in node.outputs]
    )
