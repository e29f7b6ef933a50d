"""Small models that keep state, built by the schema that comes with the TFLM wheel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ELEMENTS = 4
SCALE, ZERO_POINT = 0.5, -3
ZEROS = (ZERO_POINT,) * ELEMENTS
SEVENS = (7, 7, ZERO_POINT, 0)


class _Builder:
    """Collects the parts of a model file."""

    def __init__(self) -> None:
        runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
        self.schema = runtime.schema_fb
        self.model = self.schema.ModelT()
        self.model.version = 3
        self.model.description = b"test"
        self.model.buffers = [self.schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = []

    def subgraph(self, name: str) -> Any:
        graph = self.schema.SubGraphT()
        graph.name = name.encode()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs.append(graph)
        return graph

    def tensor(self, graph: Any, name: str, values: list[int] | None = None, **more: Any) -> int:
        """An int8 tensor of ELEMENTS; with values, a constant."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = name.encode(), [1, ELEMENTS]
        tensor.type, tensor.buffer = self.schema.TensorType.INT8, 0
        tensor.quantization = self.schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [SCALE], [ZERO_POINT]
        if values is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.array(values, dtype=np.int8).view(np.uint8).tolist()
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        for field, value in more.items():
            setattr(tensor, field, value)
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def handle(self, graph: Any) -> int:
        """The variable's handle, made by VAR_HANDLE."""
        number = self.tensor(graph, "handle", shape=[], type=self.schema.TensorType.RESOURCE)
        graph.tensors[number].quantization = None
        options = self.schema.VarHandleOptionsT()
        options.container, options.sharedName = b"", b"total"
        self.operator(graph, "VAR_HANDLE", [], [number], options, "VarHandleOptions")
        return number

    def operator(
        self,
        graph: Any,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: Any = None,
        options_type: str = "NONE",
    ) -> None:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        node = self.schema.OperatorT()
        node.opcodeIndex = len(self.model.operatorCodes) - 1
        node.inputs, node.outputs = inputs, outputs
        node.builtinOptions = options
        node.builtinOptionsType = getattr(self.schema.BuiltinOptions, options_type)
        graph.operators.append(node)

    def content(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(0)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def summing(initial: tuple[int, ...] = ZEROS) -> bytes:
    """A model whose output is the sum of all inputs since its state was reset.

    Args:
        initial: what the sum begins with, as the tensor's int8, by CALL_ONCE.
    """
    build = _Builder()
    graph = build.subgraph("main")
    given = build.tensor(graph, "x")
    once = build.schema.CallOnceOptionsT()
    once.initSubgraphIndex = 1
    build.operator(graph, "CALL_ONCE", [], [], once, "CallOnceOptions")
    handle = build.handle(graph)
    held, total = build.tensor(graph, "held"), build.tensor(graph, "y")
    build.operator(graph, "READ_VARIABLE", [handle], [held])
    build.operator(graph, "ADD", [given, held], [total], build.schema.AddOptionsT(), "AddOptions")
    build.operator(graph, "ASSIGN_VARIABLE", [handle, total], [])
    graph.inputs, graph.outputs = [given], [total]
    start = build.subgraph("start")
    begin = build.tensor(start, "begin", list(initial))
    build.operator(start, "ASSIGN_VARIABLE", [build.handle(start), begin], [])
    return build.content()


def sums(inputs: NDArray[np.int8], initial: tuple[int, ...] = ZEROS) -> NDArray[np.int8]:
    """What `summing` answers to a sequence (k, ...), by hand: all tensors have one scale."""
    held, totals = np.array(initial), []
    for given in inputs.reshape(-1, ELEMENTS).astype(int):
        held = np.clip(held + given - ZERO_POINT, -128, 127)
        totals.append(held)
    return np.array(totals, dtype=np.int8).reshape(inputs.shape)


def summing_file(folder: Path, initial: tuple[int, ...] = ZEROS) -> Path:
    """The path of `summing`, written into a folder."""
    path = folder / ("summing.tflite" if initial == ZEROS else "summing_from.tflite")
    path.write_bytes(summing(initial))
    return path
