"""Reading what a `.tflite` file says about itself, from the flatbuffer.

An interpreter would not do: LiteRT repeats a single scale per channel once tensors are allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

_DTYPES = {
    tflite.TensorType.FLOAT32: "float32",
    tflite.TensorType.INT32: "int32",
    tflite.TensorType.UINT8: "uint8",
    tflite.TensorType.INT64: "int64",
    tflite.TensorType.BOOL: "bool",
    tflite.TensorType.INT16: "int16",
    tflite.TensorType.INT8: "int8",
}
_OPERATORS: dict[int, str] = {
    int(code): str(name)
    for name, code in vars(tflite.BuiltinOperator).items()
    if isinstance(code, int)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output; `scale` and `zero_point` are None where it is not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a manifest records of one file. `operators` has one name per node, in order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[str, ...]
    per_channel_dense: bool
    macs: int


def summarize(content: bytes) -> Summary:
    """Summarize the first subgraph, the only one that boards run."""
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    nodes = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    names = [_operator_name(model.OperatorCodes(node.OpcodeIndex())) for node in nodes]
    dense = [node for node, name in zip(nodes, names, strict=True) if name == "FULLY_CONNECTED"]
    return Summary(
        inputs=tuple(_tensor(graph.Tensors(i)) for i in graph.InputsAsNumpy()),
        outputs=tuple(_tensor(graph.Tensors(i)) for i in graph.OutputsAsNumpy()),
        operators=tuple(names),
        per_channel_dense=any(_scales(graph.Tensors(node.Inputs(1))) > 1 for node in dense),
        macs=sum(_macs(graph, node, name) for node, name in zip(nodes, names, strict=True)),
    )


def _operator_name(code: Any) -> str:
    # Codes up to 127 stand in the older, one-byte field; the newer one is then 0 in old files.
    return _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(tensor.Shape(i) for i in range(tensor.ShapeLength()))


def _scales(tensor: Any) -> int:
    quantization = tensor.Quantization()
    return 0 if quantization is None else int(quantization.ScaleLength())


def _tensor(tensor: Any) -> Tensor:
    quantized = _scales(tensor) > 0
    parameters = tensor.Quantization()
    return Tensor(
        name=tensor.Name().decode(),
        shape=_shape(tensor),
        dtype=_DTYPES[tensor.Type()],
        scale=float(parameters.Scale(0)) if quantized else None,
        zero_point=int(parameters.ZeroPoint(0)) if quantized else None,
    )


def _macs(graph: Any, node: Any, name: str) -> int:
    """Multiply-accumulates of one node: outputs times the weights that each of them sums over."""
    if name not in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    weights = _shape(graph.Tensors(node.Inputs(1)))
    outputs = int(np.prod(_shape(graph.Tensors(node.Outputs(0)))))
    # Weights are (out, in), (out, height, width, in) and (1, height, width, out).
    summed = weights[1:3] if name == "DEPTHWISE_CONV_2D" else weights[1:]
    return outputs * int(np.prod(summed))
