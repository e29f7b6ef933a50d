"""Small models of any shape and type, built by the schema that comes with the TFLM wheel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.model.artifact import Artifact
from harness.model.resolve import described


@dataclass(frozen=True, slots=True, kw_only=True)
class T:
    """A tensor; with `values` a constant."""

    name: str
    dtype: str = "int8"
    shape: tuple[int, ...] = (1, 4)
    scale: float = 0.0
    zero_point: int = 0
    values: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """An operator on tensors by name; `options` are fields of its options table."""

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    table: str = "NONE"
    options: dict[str, Any] | None = None


def built(
    tensors: Sequence[T], operators: Sequence[Op], inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    """The file of a model of one subgraph."""
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    import flatbuffers

    schema = runtime.schema_fb
    model = schema.ModelT()
    model.version, model.description = 3, b"test"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph = schema.SubGraphT()
    places = {tensor.name: at for at, tensor in enumerate(tensors)}
    graph.name = b"main"
    graph.tensors = [_tensor(schema, model, tensor) for tensor in tensors]
    graph.operators = [_operator(schema, model, places, operator) for operator in operators]
    graph.inputs = [places[name] for name in inputs]
    graph.outputs = [places[name] for name in outputs]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def model(folder: Path, name: str, *parts: Any) -> Artifact:
    """The same written to a file, and read."""
    path = folder / f"{name}.tflite"
    path.write_bytes(built(*parts))
    return described(path, path.read_bytes())


def _tensor(schema: Any, model: Any, tensor: T) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.buffer = tensor.name.encode(), list(tensor.shape), 0
    made.type = getattr(schema.TensorType, tensor.dtype.upper())
    if tensor.scale:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [tensor.scale], [tensor.zero_point]
    if tensor.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(tensor.values.tobytes(), np.uint8).tolist()
        made.buffer = len(model.buffers)
        model.buffers.append(buffer)
    return made


def _operator(schema: Any, model: Any, places: dict[str, int], operator: Op) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, operator.kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    node = schema.OperatorT()
    node.opcodeIndex = len(model.operatorCodes)
    model.operatorCodes.append(code)
    node.inputs = [places[name] for name in operator.inputs]
    node.outputs = [places[name] for name in operator.outputs]
    if operator.table != "NONE":
        node.builtinOptionsType = getattr(schema.BuiltinOptions, operator.table)
        node.builtinOptions = getattr(schema, f"{operator.table}T")()
        for field, value in (operator.options or {}).items():
            setattr(node.builtinOptions, field, value)
    return node


SHAPES = ((), (3,), (1, 3), (4, 2), (1, 2, 3), (1, 2, 2, 2), (1, 1, 2, 1, 2))
TYPES = ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")


def every_type(folder: Path) -> Artifact:
    """An input of each type and rank 0 to 5, each handed on as an output of rank 1."""
    inputs = [
        T(name=f"in_{dtype}", dtype=dtype, shape=shape)
        for dtype, shape in zip(TYPES, SHAPES, strict=True)
    ]
    sizes = [int(np.prod(tensor.shape)) for tensor in inputs]
    outputs = [
        T(name=f"out_{dtype}", dtype=dtype, shape=(size,))
        for dtype, size in zip(TYPES, sizes, strict=True)
    ]
    shapes = [
        T(name=f"shape_{dtype}", dtype="int32", shape=(1,), values=np.array([size], np.int32))
        for dtype, size in zip(TYPES, sizes, strict=True)
    ]
    operators = [
        Op(kind="RESHAPE", inputs=(one.name, shape.name), outputs=(other.name,))
        for one, shape, other in zip(inputs, shapes, outputs, strict=True)
    ]
    names = [[tensor.name for tensor in side] for side in (inputs, outputs)]
    return model(folder, "every_type", [*inputs, *shapes, *outputs], operators, *names)
