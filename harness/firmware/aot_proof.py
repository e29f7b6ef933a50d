"""Proves on the host that the parts of an `aot` model compute what the model computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.firmware.aot_own import Own
from harness.firmware.aot_pass import Part, Prepared
from harness.model.artifact import Artifact
from harness.model.graph import read_graph
from harness.model.tensor import TensorSpec
from harness.model.wheels import host_arena_bytes, tflm_version

Array = NDArray[Any]
SEED = 12
MOST_SAMPLES = 64
LEAST_SAMPLES = 4
MOST_ARENA = 1 << 30
MACS = 100_000_000
"""Multiply-accumulates that the samples may take together: some seconds of TFLM on the host."""


def _outputs(
    content: bytes, samples: Sequence[Sequence[Array]], prepared: Prepared
) -> list[tuple[Array, ...]]:
    """Outputs of a file in TFLM on the host, for the inputs of each sample."""
    from harness.firmware import host  # 0.02 s: only where it runs

    size = host_arena_bytes(content)
    size += 4 * sum(tensor.size_bytes for tensor in prepared.computed_tensors)
    name = prepared.graph.where.model or ""
    interpreter = host.tflm(content, name=name, arena_bytes=min(size, MOST_ARENA))
    try:
        return [outputs for outputs, _ in interpreter.run_samples(samples)]
    finally:
        interpreter.close()


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
    samples = _samples(artifact)
    expected = _outputs(artifact.content, samples, prepared)
    known = [dict(zip(graph.inputs, sample, strict=True)) for sample in samples]
    for part in prepared.parts:
        _run_part(part, prepared, known)
    for number, (values, right) in enumerate(zip(known, expected, strict=True)):
        for place, (index, wanted) in enumerate(zip(graph.outputs, right, strict=True)):
            differing = int((values[index].reshape(-1) != wanted.reshape(-1)).sum())
            if differing:
                raise ModelError(
                    f"runtime aot would compute the model wrongly: {differing} of {wanted.size} "
                    f"values of output {place} differ from TFLM's on the host, in sample {number}",
                    where=graph.where,
                    hint="Runtime tflm may run it. Please report the model.",
                )


def _run_part(part: Part, prepared: Prepared, known: Sequence[dict[int, Array]]) -> None:
    """Compute what a part makes for every sample, out of what is known of it."""
    if isinstance(part, Own):
        for values in known:
            outputs = part.compute([values[index] for index in part.inputs])
            values.update(zip(part.outputs, outputs, strict=True))
        return
    takes = read_graph(part.content, name="").inputs[0].shape
    rows = [
        (row.reshape(takes),)
        for values in known
        for row in values[part.source].reshape(part.repeats, -1)
    ]
    made = [outputs[0].reshape(-1) for outputs in _outputs(part.content, rows, prepared)]
    shape = prepared.graph.tensors[part.target].shape
    for number, values in enumerate(known):
        one = made[number * part.repeats : (number + 1) * part.repeats]
        values[part.target] = np.concatenate(one).reshape(shape)


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
