"""Converting a Keras model to `.tflite` files."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from models.quiet import quiet
from models.recipe import Array

DTYPES = ("float32", "dynamic_range", "int8")


def with_static_batch(keras: Any, model: Any) -> Any:
    """The same layers and weights behind an Input of batch 1, so that every shape is known.

    Code generators that plan memory ahead of time refuse a file with an open batch size.
    """
    inputs = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="input")
    static = keras.models.clone_model(model, input_tensors=inputs)
    static.set_weights(model.get_weights())
    return static


def convert(tf: Any, model: Any, dtype: str, *, representative: Array) -> bytes:
    """Convert a model of batch 1 to one of `DTYPES`.

    Args:
        representative: inputs that calibrate int8, first axis the example.
    """
    content = _convert(tf, model, dtype, representative)
    return _completed(content)


def _completed(content: bytes) -> bytes:
    """Add what the converter leaves out and code generators (BakeNN 1.0) require.

    A RESHAPE gets options with the shape of its output, and a FULLY_CONNECTED without a bias gets
    version 6, the first in which the bias is optional.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    changed = False
    for graph in model.subgraphs:
        for node in graph.operators:
            code = model.operatorCodes[node.opcodeIndex]
            if code.builtinCode == schema.BuiltinOperator.RESHAPE and node.builtinOptions is None:
                node.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
                node.builtinOptions = schema.ReshapeOptionsT()
                node.builtinOptions.newShape = list(graph.tensors[node.outputs[0]].shape)
                changed = True
            dense = code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
            if dense and -1 in list(node.inputs) and code.version < 6:
                model.operatorCodes.append(copy.copy(code))
                model.operatorCodes[-1].version = 6
                node.opcodeIndex = len(model.operatorCodes) - 1
                changed = True
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if changed else content


def _convert(tf: Any, model: Any, dtype: str, representative: Array) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    # One scale per Dense layer: TFLite Micro of 2023 and early 2024 ignores further ones
    # and computes garbage without an error.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if dtype != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if dtype == "int8":
        samples = np.asarray(representative, dtype=np.float32)
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with quiet(), warnings.catch_warnings():
        # It warns that no statistics were given, although they come from the representative data.
        warnings.simplefilter("ignore")
        return bytes(converter.convert())
