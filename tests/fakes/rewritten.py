"""Model files made from others, by the schema that comes with the TFLM wheel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

try:
    # Here and not where it is used: `pytester` forgets what a test imports, and TFLM's module
    # cannot be imported twice.
    from tflite_micro.python.tflite_micro import runtime
except ImportError:
    runtime = None


def rewritten(content: bytes, change: Callable[[Any, Any], None]) -> bytes:
    if runtime is None:
        pytest.skip("no tflite-micro wheel here")
    import flatbuffers

    schema = runtime.schema_fb
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    change(schema, model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def all_operators(content: bytes, kind: str) -> bytes:
    """All operators replaced by one of this kind."""

    def change(schema: Any, model: Any) -> None:
        for code in model.operatorCodes:
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)

    return rewritten(content, change)


def lsh_projection(content: bytes) -> bytes:
    """All operators replaced by one that no TFLM library has."""
    return all_operators(content, "LSH_PROJECTION")


def of_schema(content: bytes, version: int) -> bytes:
    """Said to be of another schema version."""
    return rewritten(content, lambda _, model: setattr(model, "version", version))


def float_output(content: bytes) -> bytes:
    """The last layer, int8 but for its output: no kernel takes that."""

    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.outputs[0]].type = schema.TensorType.FLOAT32

    return rewritten(content, change)


def per_channel(content: bytes) -> bytes:
    """Dense layers quantized per channel: every other channel's weights count half.

    Weights and biases keep their integers, so that only the scales tell this model from `content`.
    """

    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        for node in graph.operators:
            _, weights, bias = (graph.tensors[index] for index in node.inputs)
            channels = int(weights.shape[0])
            for tensor in (weights, bias):
                scale = float(tensor.quantization.scale[0])
                halves = [scale if channel % 2 else scale / 2 for channel in range(channels)]
                tensor.quantization.scale = halves
                tensor.quantization.zeroPoint = [0] * channels
                tensor.quantization.quantizedDimension = 0

    return rewritten(content, change)


def first_scales_only(content: bytes) -> bytes:
    """What a library that ignores all scales of a Dense layer but the first takes a file for."""

    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        for node in graph.operators:
            for index in node.inputs[1:]:
                tensor = graph.tensors[index]
                tensor.quantization.scale = [tensor.quantization.scale[0]]
                tensor.quantization.zeroPoint = [0]

    return rewritten(content, change)


def of_bias(content: bytes, operator: int, added: int) -> bytes:
    """One operator's first bias is larger by so much; all else is the same."""

    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        tensor = graph.tensors[graph.operators[operator].inputs[2]]
        bias = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype="<i4").copy()
        bias[0] += added
        model.buffers[tensor.buffer].data = np.frombuffer(bias.tobytes(), dtype=np.uint8)

    return rewritten(content, change)


def planned(content: bytes, tensor: int, offset: int) -> bytes:
    """With a plan of the arena in the file, which leaves all but one tensor's place to TFLM."""

    def change(schema: Any, model: Any) -> None:
        count = sum(len(graph.tensors) for graph in model.subgraphs)
        plan = np.array([1, 0, count, *[-1] * count], dtype="<i4")
        plan[3 + tensor] = offset
        held, entry = schema.BufferT(), schema.MetadataT()
        held.data = np.frombuffer(plan.tobytes(), dtype=np.uint8)
        entry.name, entry.buffer = "OfflineMemoryAllocation", len(model.buffers)
        model.buffers.append(held)
        model.metadata = [*(model.metadata or []), entry]

    return rewritten(content, change)
