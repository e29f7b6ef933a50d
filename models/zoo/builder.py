"""Writes `.tflite` files operator by operator, for what TensorFlow's converter cannot make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.zoo.source import Array


class Builder:
    """One subgraph. Tensors are known by the numbers that `tensor` returns."""

    def __init__(self) -> None:
        from tensorflow.lite.python import schema_py_generated

        self._schema = schema_py_generated
        self._graph = self._schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._codes: list[Any] = []
        self._buffers: list[Any] = [self._schema.BufferT()]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        data: Array | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        variable: bool = False,
    ) -> int:
        """Add a tensor; a constant if `data` is given. `scale` quantizes it."""
        made = self._schema.TensorT()
        made.name, made.shape = name.encode(), list(shape)
        made.type = getattr(self._schema.TensorType, dtype.upper())
        made.isVariable, made.buffer = variable, 0 if variable else len(self._buffers)
        if not variable:
            self._buffers.append(self._buffer(data))
        if scale is not None:
            made.quantization = self._schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [zero_point]
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def constant(self, name: str, data: Array, **quantized: Any) -> int:
        """Add a constant of the array's own type."""
        return self.tensor(name, data.shape, data.dtype.name, data=data, **quantized)

    def _buffer(self, data: Array | None) -> Any:
        buffer = self._schema.BufferT()
        if data is not None:
            buffer.data = list(np.ascontiguousarray(data).tobytes())
        return buffer

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        options: str = "",
        version: int = 1,
        **values: Any,
    ) -> None:
        """Add an operator of TFLite; `options` names its table, `values` are the table's fields."""
        made = self._operator(inputs, outputs, getattr(self._schema.BuiltinOperator, kind), version)
        if options:
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self._schema, f"{options}T")()
            for name, value in values.items():
                setattr(made.builtinOptions, name, value)

    def custom(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], values: Mapping[str, Any]
    ) -> None:
        """Add a custom operator, with its options as a flexbuffer map."""
        from flatbuffers import flexbuffers

        made = self._operator(inputs, outputs, self._schema.BuiltinOperator.CUSTOM, 1)
        self._codes[-1].customCode = kind.encode()
        made.customOptions = list(flexbuffers.Dumps(dict(values)))

    def _operator(
        self, inputs: Sequence[int], outputs: Sequence[int], code: int, version: int
    ) -> Any:
        named = self._schema.OperatorCodeT()
        named.builtinCode, named.version = code, version
        named.deprecatedBuiltinCode = min(code, 127)
        self._codes.append(named)
        made = self._schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self._codes) - 1, inputs, outputs
        self._graph.operators.append(made)
        return made

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file with these tensors as the model's inputs and outputs."""
        from tensorflow.lite.tools import flatbuffer_utils

        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        model = self._schema.ModelT()
        model.version, model.description = 3, b"models.zoo"
        model.operatorCodes, model.subgraphs = self._codes, [self._graph]
        model.buffers = self._buffers
        return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
