"""What a model of the zoo is made from, and how it is converted."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.quiet import quiet

Array = NDArray[Any]

FORMS = ("float32", "int8", "int8-with-float-io", "uint8-io", "int16x8", "dynamic-range", "float16")
"""How weights and tensors are stored. The last two are forms that TFLite Micro refuses."""

CALIBRATION_SAMPLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One model of the zoo.

    `function` is what the model computes, in TensorFlow; `inputs` specify its arguments, by the
    names that it gives them. Calibration draws from `low` to `high`. `owner` is the `tf.Module`
    whose variables the function reads. `per_tensor` gives Dense layers one scale.
    """

    name: str
    what: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    form: str = "float32"
    low: float = -2.0
    high: float = 2.0
    owner: Any = None
    per_tensor: bool = False

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"{self.name}: form {self.form!r} is none of {FORMS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A model whose bytes are there already, as those that the converter cannot make."""

    name: str
    what: str
    content: bytes


def rng_of(name: str) -> np.random.Generator:
    """Numbers for a model, the same ones whatever other models there are."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def weights(name: str, *shape: int, scale: float = 0.5) -> Array:
    """Weights for a model of this name, from a normal distribution."""
    return rng_of(name).normal(0.0, scale, shape).astype(np.float32)


def convert(tf: Any, source: Source) -> bytes:
    """The `.tflite` file of a source."""
    function = tf.function(source.function, input_signature=list(source.inputs))
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()], source.owner or tf.Module()
        )
        _configure(tf, converter, source)
        return bytes(converter.convert())


def _configure(tf: Any, converter: Any, source: Source) -> None:
    converter.experimental_enable_resource_variables = source.owner is not None
    if source.form == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter._experimental_disable_per_channel_quantization_for_dense_layers = source.per_tensor
    if source.form == "dynamic-range":
        return
    if source.form == "float16":
        converter.target_spec.supported_types = [tf.float16]
        return
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [
        sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if source.form == "int16x8"
        else sets.TFLITE_BUILTINS_INT8
    ]
    converter.representative_dataset = lambda: _samples(source)
    kind = {"int8": tf.int8, "uint8-io": tf.uint8, "int16x8": tf.int16}.get(source.form, tf.float32)
    converter.inference_input_type = kind
    converter.inference_output_type = kind


def _samples(source: Source) -> Iterator[dict[str, Array]]:
    rng = rng_of(source.name)
    for _ in range(CALIBRATION_SAMPLES):
        yield {spec.name: _sample(rng, spec, source) for spec in source.inputs}


def _sample(rng: np.random.Generator, spec: Any, source: Source) -> Array:
    shape = tuple(size or 1 for size in spec.shape)
    if spec.dtype.is_bool:
        return rng.integers(0, 2, shape).astype(bool)
    if spec.dtype.is_integer:
        return rng.integers(0, 4, shape).astype(spec.dtype.as_numpy_dtype)
    return rng.uniform(source.low, source.high, shape).astype(np.float32)
