"""A model's operators from its `.tflite` file, and the steps a runtime takes to execute them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import ModelError, TensorError, Where
from harness.model.artifact import Artifact
from harness.model.consistent import FIXED_SIZES, check_consistent, uncalled
from harness.model.flatbuffer import Malformed
from harness.model.state import stateful_operators
from harness.model.subgraphs import MOST_BYTES, Node, Subgraph, Tensor, read_subgraphs
from harness.model.tensor import TensorSpec

LAYERS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
"""Operators that multiply and accumulate, with weights as their second input."""

_WEIGHTED = (*LAYERS, "SVDF")

NO_TENSOR = -1
"""Index of the output of an operator that has none, as ASSIGN_VARIABLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One node of the model's graph, with its first output tensor.

    `kind` is TFLite's name (CONV_2D) or, of a `custom` operator, the name that the file gives it.
    `index` counts nodes from 0, and `tensor` is the output's index in the file, NO_TENSOR if it has
    no output; `name`, `dtype` and `shape` are the output's. `macs` counts the multiply-accumulates
    per inference: 0 for all but LAYERS. `weights` is the shape of the weights of these and of SVDF.
    """

    index: int
    kind: str
    tensor: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    macs: int
    custom: bool = False
    weights: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"operator {self.index} ({self.kind})"


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
    the distinct operators of all `subgraphs`. `stateful`: one of them, or a variable tensor, keeps
    state from one invoke to the next. `variables` counts resource variables, and `initializers`
    are the subgraphs that CALL_ONCE runs to assign them.

    `tensors` counts the first subgraph's; `activation_bytes` is what those without values in the
    file take, as if all were in use at once. `weights` holds bytes of values in the file, by dtype,
    most first. `hybrid` is the first layer with integer weights and float32 inputs, None where
    there is none. `uncalled` has the numbers of subgraphs that an inference never reaches.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[Operator, ...]
    per_channel_dense: bool
    kinds: tuple[str, ...] = ()
    stateful: bool = False
    variables: int = 0
    initializers: tuple[int, ...] = ()
    subgraphs: int = 1
    tensors: int = 0
    activation_bytes: int = 0
    weights: tuple[tuple[str, int], ...] = ()
    hybrid: int | None = None
    uncalled: tuple[int, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(operator.macs for operator in self.operators)


def read_graph(content: bytes, *, name: str, file: str = "the file") -> Graph:
    """Read a `.tflite` file without an interpreter.

    No interpreter takes all files: LiteRT refuses some that TFLM runs, and custom operators; and
    once it has allocated tensors, it reports a single scale as one per channel.

    Args:
        file: what errors call the file.

    Raises:
        ModelError: the file is not a TFLite model, is damaged, contradicts itself (see
            `consistent`), or takes or gives what no board can be sent: no tensor at all, sizes left
            open, or a type such as strings.
    """
    where = Where(model=name)
    try:
        subgraphs = read_subgraphs(content)
        graph = _graph(subgraphs)
        check_consistent(subgraphs)
        return graph
    except Malformed as error:
        raise ModelError(f"{file} {error}", where=where, hint=error.hint) from error
    except TensorError as error:
        raise ModelError(error.what, where=where, hint=error.hint) from error


def read_operators(artifact: Artifact) -> tuple[Operator, ...]:
    """The operators of an artifact's file.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    return read_graph(artifact.content, name=artifact.name).operators


def _graph(subgraphs: tuple[Subgraph, ...]) -> Graph:
    main = subgraphs[0]
    nodes = [node for graph in subgraphs for node in graph.nodes]
    kinds = tuple(dict.fromkeys(node.kind for node in nodes))
    variable = any(tensor.variable for graph in subgraphs for tensor in graph.tensors)
    return Graph(
        inputs=_ends(main, main.inputs, "input"),
        outputs=_ends(main, main.outputs, "output"),
        operators=tuple(_operator(main, *item) for item in enumerate(main.nodes)),
        per_channel_dense=any(_per_channel_dense(main, node) for node in main.nodes),
        kinds=kinds,
        stateful=bool(stateful_operators(kinds)) or variable,
        variables=len({node.variable for node in nodes if node.variable is not None}),
        initializers=_initializers(nodes, len(subgraphs)),
        subgraphs=len(subgraphs),
        tensors=len(main.tensors),
        activation_bytes=sum(
            tensor.size_bytes + 16 for tensor in main.tensors if tensor.constant_bytes == 0
        ),
        weights=_weights(subgraphs),
        hybrid=_first_hybrid(main),
        uncalled=uncalled(subgraphs),
    )


def _initializers(nodes: Sequence[Node], subgraphs: int) -> tuple[int, ...]:
    found = sorted({node.initializer for node in nodes if node.initializer is not None})
    if found and not 0 < found[0] <= found[-1] < subgraphs:
        raise Malformed(f"has a CALL_ONCE of subgraph {found[-1]}, and it has {subgraphs}")
    return tuple(found)


def _ends(graph: Subgraph, links: tuple[int, ...], role: str) -> tuple[TensorSpec, ...]:
    """Specs of the model's inputs, or of its outputs."""
    if not links:
        raise Malformed(f"has no {role}: there is nothing to {_SENT[role]}")
    if len(links) > MOST_ENDS:
        raise Malformed(f"has {len(links)} {role}s; at most {MOST_ENDS} are read")
    return tuple(_spec(graph.tensors[link], role) for link in links)


MOST_ENDS = 32
"""Inputs, or outputs, of a model."""

_SENT = {"input": "send", "output": "compare"}


def _spec(tensor: Tensor, role: str) -> TensorSpec:
    if tensor.dtype == "string":
        raise Malformed(
            f"has an {role} of strings, {tensor.name!r}, and TFLM has no kernels for strings",
            "Turn text into numbers before the model, and convert the rest of it.",
        )
    if any(size < 1 for size in tensor.shape):
        raise Malformed(
            f"leaves a size of its {role} {tensor.name!r} open: {tensor.shape}", FIXED_SIZES
        )
    if tensor.size_bytes > MOST_BYTES:
        raise Malformed(
            f"has an {role} {tensor.name!r} of {tensor.size_bytes} bytes, more than any board "
            f"holds: at most {MOST_BYTES} are read",
            "Use a smaller model.",
        )
    return TensorSpec(
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
        name=tensor.name,
    )


def _operator(graph: Subgraph, index: int, node: Node) -> Operator:
    output = graph.tensors[node.outputs[0]] if node.outputs else None
    weights = _weights_of(graph, node)
    return Operator(
        index=index,
        kind=node.kind,
        custom=node.custom,
        tensor=output.index if output else NO_TENSOR,
        name=output.name if output else "",
        dtype=output.dtype if output else "",
        shape=output.shape if output else (),
        macs=_macs(node.kind, output, weights),
        weights=weights,
    )


def _weights_of(graph: Subgraph, node: Node) -> tuple[int, ...]:
    """Shape of the weights of a layer or SVDF, its second input; () for other operators."""
    if node.kind not in _WEIGHTED or len(node.inputs) < 2 or node.inputs[1] < 0:
        return ()
    return graph.tensors[node.inputs[1]].shape


def _macs(kind: str, output: Tensor | None, weights: tuple[int, ...]) -> int:
    """Number of outputs times the number of weights that each output sums over.

    Weights are (out, in), (out, height, width, in) and, depthwise, (1, height, width, out).
    """
    if output is None or not weights or kind not in LAYERS:
        return 0
    summed = weights[1:3] if kind == "DEPTHWISE_CONV_2D" else weights[1:]
    return output.elements * math.prod(max(1, size) for size in summed)


def _per_channel_dense(graph: Subgraph, node: Node) -> bool:
    if node.kind != "FULLY_CONNECTED" or len(node.inputs) < 2 or node.inputs[1] < 0:
        return False
    return len(graph.tensors[node.inputs[1]].scales) > 1


def _first_hybrid(graph: Subgraph) -> int | None:
    """The first layer with float32 inputs and integer weights."""
    for index, node in enumerate(graph.nodes):
        dtypes = [graph.tensors[link].dtype if link >= 0 else "" for link in node.inputs[:2]]
        if node.kind in LAYERS and dtypes in (["float32", "int8"], ["float32", "int4"]):
            return index
    return None


def _weights(subgraphs: tuple[Subgraph, ...]) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for graph in subgraphs:
        for tensor in graph.tensors:
            if tensor.constant_bytes:
                found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.constant_bytes
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def one_step_each(count: int) -> tuple[Step, ...]:
    """The steps of an interpreter, which executes one operator after the other."""
    return tuple(Step(operators=(index,), output=index) for index in range(count))
