"""Proves on the host that the parts of an `aot` model compute what the model computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.firmware.aot_pass import Body, Prepared
from harness.model.artifact import Artifact
from harness.model.graph import read_graph
from harness.model.tensor import TensorSpec
from harness.model.wheels import host_arena_bytes, tflm_version

Array = NDArray[Any]
SEED = 12
MOST_SAMPLES = 64
LEAST_SAMPLES = 4
MACS = 100_000_000
"""Multiply-accumulates that the samples may take together: some seconds of TFLM on the host."""


class _Tflm:
    """A file in TFLM on the host, with all its inputs and outputs."""

    def __init__(self, content: bytes, prepared: Prepared) -> None:
        from tflite_micro import runtime  # 0.1 s: only where it runs

        self._where = prepared.graph.where
        size = host_arena_bytes(content)
        size += 4 * sum(tensor.size_bytes for tensor in prepared.computed_tensors)
        try:
            self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=size)
        except RuntimeError as error:
            raise ModelError(
                f"TFLM on the host cannot load the model: {error}", where=self._where
            ) from error

    def run(self, inputs: Sequence[Array], outputs: int) -> tuple[Array, ...]:
        for index, value in enumerate(inputs):
            shape = self._interpreter.get_input_details(index)["shape"]
            self._interpreter.set_input(value.reshape(shape), index)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(
                f"TFLM on the host cannot run the model: {error}", where=self._where
            ) from error
        return tuple(np.array(self._interpreter.get_output(index)) for index in range(outputs))


def prove(prepared: Prepared, artifact: Artifact) -> None:
    """Compare the parts with the model over golden and random inputs, both in TFLM on the host.

    Our own operators run as NumPy does them; that the firmware's C equals that is tested. Without
    the TFLM wheel nothing is compared here, but still the board with its goldens.

    Raises:
        ModelError: they differ.
    """
    if tflm_version() is None:
        return
    graph = prepared.graph
    whole = _Tflm(artifact.content, prepared)
    bodies = {part: _Tflm(part.content, prepared) for part in prepared.bodies}
    for number, sample in enumerate(_samples(artifact)):
        expected = whole.run(sample, len(graph.outputs))
        known = dict(zip(graph.inputs, sample, strict=True))
        _run_parts(prepared, bodies, known)
        for place, (index, wanted) in enumerate(zip(graph.outputs, expected, strict=True)):
            differing = int((known[index].reshape(-1) != wanted.reshape(-1)).sum())
            if differing:
                raise ModelError(
                    f"runtime aot would compute the model wrongly: {differing} of {wanted.size} "
                    f"values of output {place} differ from TFLM's on the host, in sample {number}",
                    where=graph.where,
                    hint="Runtime tflm may run it. Please report the model.",
                )


def _run_parts(prepared: Prepared, bodies: Mapping[Body, _Tflm], known: dict[int, Array]) -> None:
    """Compute every tensor between parts from the model's inputs."""
    for part in prepared.parts:
        if isinstance(part, Body):
            rows = known[part.source].reshape(part.repeats, -1)
            made = [bodies[part].run([row], 1)[0].reshape(-1) for row in rows]
            shape = prepared.graph.tensors[part.target].shape
            known[part.target] = np.concatenate(made).reshape(shape)
        else:
            outputs = part.compute([known[index] for index in part.inputs])
            known.update(zip(part.outputs, outputs, strict=True))


def _samples(artifact: Artifact) -> list[tuple[Array, ...]]:
    """Golden inputs and as many random ones, fewer for large models."""
    macs = max(1, read_graph(artifact.content, name=artifact.name).macs)
    count = max(LEAST_SAMPLES, min(MOST_SAMPLES, MACS // macs)) // 2
    random = np.random.default_rng(SEED)
    samples = [tuple(_random(spec, random) for spec in artifact.inputs) for _ in range(count)]
    if artifact.goldens is not None and len(artifact.inputs) == 1:
        shape = artifact.inputs[0].shape
        samples += [(golden.reshape(shape),) for golden in artifact.goldens.inputs[:count]]
    return samples


def _random(spec: TensorSpec, random: np.random.Generator) -> Array:
    if spec.dtype == "float32":
        return random.uniform(-4, 4, spec.shape).astype(np.float32)
    limits = np.iinfo(spec.dtype)
    return random.integers(limits.min, limits.max, spec.shape, dtype=spec.dtype, endpoint=True)
