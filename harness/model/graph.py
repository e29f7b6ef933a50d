"""A model's operators from its `.tflite` file, and the steps a runtime takes to execute them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact
from harness.model.tensor import DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One node of the model's graph, with its first output tensor.

    `kind` is TFLite's name (CONV_2D), `index` counts nodes from 0 and `tensor` is the output's
    index in the file; `name`, `dtype` and `shape` are the output's. `macs` are multiply-accumulates
    an inference: 0 for all but convolutions and dense layers.
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
    """What a runtime does in one go: the operators it stands for, in the model's order.

    `output` is the one among them whose output tensor the step leaves in memory. A runtime that
    merges operators has fewer steps than the model has operators.
    """

    operators: tuple[int, ...]
    output: int


def read_operators(artifact: Artifact) -> tuple[Operator, ...]:
    """The operators of the first subgraph, the only one that boards run.

    Raises:
        ModelError: the file is not a TFLite model.
    """
    import tflite  # 0.05 s: only where a model is looked into

    names = {
        code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
    }
    try:
        model = tflite.Model.GetRootAs(artifact.content, 0)
        graph = model.Subgraphs(0)
        return tuple(
            _operator(graph, index, names[_code(model, graph.Operators(index))])
            for index in range(graph.OperatorsLength())
        )
    except (struct.error, LookupError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"cannot read the operators of {artifact.path}: {error!r}",
            where=Where(model=artifact.name),
        ) from error


def _code(model: Any, node: Any) -> int:
    code = model.OperatorCodes(node.OpcodeIndex())
    # Codes up to 127 stand in the older, one-byte field; the newer one is then 0 in old files.
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def _operator(graph: Any, index: int, kind: str) -> Operator:
    node = graph.Operators(index)
    number = node.Outputs(0)
    tensor = graph.Tensors(number)
    return Operator(
        index=index,
        kind=kind,
        tensor=number,
        name=tensor.Name().decode(),
        dtype=DTYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        shape=_shape(tensor),
        macs=_macs(graph, node, kind),
    )


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))


def _macs(graph: Any, node: Any, kind: str) -> int:
    """Outputs times the weights that each of them sums over.

    Weights are (out, in), (out, height, width, in) and, depthwise, (1, height, width, out).
    """
    if kind not in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    weights = _shape(graph.Tensors(node.Inputs(1)))
    summed = weights[1:3] if kind == "DEPTHWISE_CONV_2D" else weights[1:]
    return math.prod(_shape(graph.Tensors(node.Outputs(0)))) * math.prod(summed)


def one_step_each(count: int) -> tuple[Step, ...]:
    """The steps of an interpreter, which runs operator after operator."""
    return tuple(Step(operators=(index,), output=index) for index in range(count))
