"""A model's operators from its `.tflite` file, and the steps a runtime takes to execute them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact
from harness.model.state import stateful_operators
from harness.model.tensor import DTYPES, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One node of the model's graph, with its first output tensor.

    A node without outputs, such as ASSIGN_VARIABLE, has tensor -1 and no name, dtype or shape.

    `kind` is TFLite's name (CONV_2D), `index` counts nodes from 0, and `tensor` is the output's
    index in the file; `name`, `dtype` and `shape` are the output's. `macs` counts the
    multiply-accumulates per inference: 0 for all but convolutions and dense layers.
    """

    index: int
    kind: str
    tensor: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a runtime: the operators that it executes, in the model's order.

    `output` is the operator whose output tensor is in memory after the step. A runtime that merges
    operators has fewer steps than the model has operators.
    """

    operators: tuple[int, ...]
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The first subgraph of a `.tflite` file, the only one that boards run.

    `per_channel_dense` says whether a Dense layer has a scale for each of its outputs. `kinds` are
    the distinct operators of all subgraphs. `stateful`: one of them, or a variable tensor, keeps
    state from one invoke to the next. `variables` counts resource variables, and `initializers`
    are the subgraphs that CALL_ONCE runs to assign them.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[Operator, ...]
    per_channel_dense: bool
    kinds: tuple[str, ...] = ()
    stateful: bool = False
    variables: int = 0
    initializers: tuple[int, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(operator.macs for operator in self.operators)


def read_graph(content: bytes, *, name: str) -> Graph:
    """Read a `.tflite` file without an interpreter.

    LiteRT, once it has allocated tensors, reports a single scale as one per channel.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    import tflite  # 0.05 s: only where a model is looked into

    names = {
        code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
    }
    try:
        model = tflite.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        nodes = [graph.Operators(index) for index in range(graph.OperatorsLength())]
        kinds = [names[_code(model, node)] for node in nodes]
        everywhere = _nodes_of_all_subgraphs(model, names)
        return Graph(
            inputs=tuple(_spec(graph.Tensors(i)) for i in graph.InputsAsNumpy()),
            outputs=tuple(_spec(graph.Tensors(i)) for i in graph.OutputsAsNumpy()),
            operators=tuple(_operator(graph, *item) for item in enumerate(kinds)),
            per_channel_dense=any(
                kind == "FULLY_CONNECTED" and _scales(graph.Tensors(node.Inputs(1))) > 1
                for node, kind in zip(nodes, kinds, strict=True)
            ),
            kinds=tuple(dict.fromkeys(kind for kind, _ in everywhere)),
            stateful=bool(stateful_operators(kind for kind, _ in everywhere))
            or _has_variable_tensor(model),
            variables=len({_variable(node) for kind, node in everywhere if kind == "VAR_HANDLE"}),
            initializers=tuple(
                sorted({_initializer(node) for kind, node in everywhere if kind == "CALL_ONCE"})
            ),
        )
    except (struct.error, LookupError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"cannot read the operators: {error!r}", where=Where(model=name)
        ) from error


def read_operators(artifact: Artifact) -> tuple[Operator, ...]:
    """The operators of an artifact's file.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    return read_graph(artifact.content, name=artifact.name).operators


def _code(model: Any, node: Any) -> int:
    code = model.OperatorCodes(node.OpcodeIndex())
    # Codes up to 127 stand in the older, one-byte field; the newer one is then 0 in old files.
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def _nodes_of_all_subgraphs(model: Any, names: dict[int, str]) -> list[tuple[str, Any]]:
    """Kind and node of each operator; a custom one's kind is what the file calls it."""
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    nodes = [graph.Operators(index) for graph in graphs for index in range(graph.OperatorsLength())]
    return [(_custom_name(model, node) or names[_code(model, node)], node) for node in nodes]


def _custom_name(model: Any, node: Any) -> str:
    name = model.OperatorCodes(node.OpcodeIndex()).CustomCode()
    return name.decode() if name else ""


def _has_variable_tensor(model: Any) -> bool:
    graphs = (model.Subgraphs(index) for index in range(model.SubgraphsLength()))
    return any(
        graph.Tensors(index).IsVariable()
        for graph in graphs
        for index in range(graph.TensorsLength())
    )


def _variable(node: Any) -> tuple[bytes, bytes]:
    import tflite

    options = tflite.VarHandleOptions()
    options.Init(node.BuiltinOptions().Bytes, node.BuiltinOptions().Pos)
    return options.Container() or b"", options.SharedName() or b""


def _initializer(node: Any) -> int:
    import tflite

    options = tflite.CallOnceOptions()
    options.Init(node.BuiltinOptions().Bytes, node.BuiltinOptions().Pos)
    return int(options.InitSubgraphIndex())


def _operator(graph: Any, index: int, kind: str) -> Operator:
    node = graph.Operators(index)
    if node.OutputsLength() == 0:
        return Operator(index=index, kind=kind, tensor=-1, name="", dtype="", shape=(), macs=0)
    number = node.Outputs(0)
    tensor = graph.Tensors(number)
    return Operator(
        index=index,
        kind=kind,
        tensor=number,
        name=tensor.Name().decode(),
        dtype=_dtype(tensor),
        shape=_shape(tensor),
        macs=_macs(graph, node, kind),
    )


def _scales(tensor: Any) -> int:
    quantization = tensor.Quantization()
    return 0 if quantization is None else int(quantization.ScaleLength())


def _spec(tensor: Any) -> TensorSpec:
    quantized, parameters = _scales(tensor) > 0, tensor.Quantization()
    return TensorSpec(
        shape=_shape(tensor),
        dtype=_dtype(tensor),
        scale=float(parameters.Scale(0)) if quantized else 0.0,
        zero_point=int(parameters.ZeroPoint(0)) if quantized else 0,
        name=tensor.Name().decode(),
    )


def _dtype(tensor: Any) -> str:
    return DTYPES.get(tensor.Type(), f"type {tensor.Type()}")


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))


def _macs(graph: Any, node: Any, kind: str) -> int:
    """Number of outputs times the number of weights that each output sums over.

    Weights are (out, in), (out, height, width, in) and, depthwise, (1, height, width, out).
    """
    if kind not in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    weights = _shape(graph.Tensors(node.Inputs(1)))
    summed = weights[1:3] if kind == "DEPTHWISE_CONV_2D" else weights[1:]
    return math.prod(_shape(graph.Tensors(node.Outputs(0)))) * math.prod(summed)


def one_step_each(count: int) -> tuple[Step, ...]:
    """The steps of an interpreter, which executes one operator after the other."""
    return tuple(Step(operators=(index,), output=index) for index in range(count))
