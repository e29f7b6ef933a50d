"""From a Keras model to the three `.tflite` forms."""

from __future__ import annotations

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


def convert(tf: Any, model: Any, *, representative: Array) -> dict[str, bytes]:
    """Convert a model of batch 1 to every form in `DTYPES`.

    Args:
        representative: inputs that calibrate int8, first axis the example.
    """
    return {dtype: _convert(tf, model, dtype, representative) for dtype in DTYPES}


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
