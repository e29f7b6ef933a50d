"""Running `.tflite` files on the host, one example at a time as a board does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.model.graph import read_graph
from harness.model.interpreters import Interpreter, LiteRtInterpreter, TflmInterpreter
from harness.model.tensor import dequantize, quantize
from models.recipe import Array

TFLM_ARENA_BYTES = 8 * 1024 * 1024
"""Far more than a board has: a small file may have large activations."""

Run = Callable[[Array], Array]


def tflm(content: bytes) -> Run:
    """A function from raw inputs (n, ...) to raw outputs, computed by TFLite Micro."""
    arena_bytes = max(TFLM_ARENA_BYTES, 10 * len(content))
    return _batch(TflmInterpreter(content, name="trained", arena_bytes=arena_bytes))


def litert(content: bytes) -> Run:
    """The same by LiteRT, without the delegate whose rounding depends on the processor."""
    return _batch(LiteRtInterpreter(content, name="trained", default_delegates=False))


def on_reals(content: bytes, run: Callable[[bytes], Run]) -> Run:
    """The model as a function of real numbers: quantizes and dequantizes where the file is int8."""
    graph = read_graph(content, name="trained")
    raw = run(content)

    def real(x: Array) -> Array:
        outputs = raw(quantize(x, graph.inputs[0]))
        return dequantize(outputs, graph.outputs[0])

    return real


def _batch(interpreter: Interpreter) -> Run:
    return lambda x: np.stack([interpreter.run(example[np.newaxis])[0] for example in x])
