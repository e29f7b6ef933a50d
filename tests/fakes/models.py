"""Artifacts without files, for what needs only tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.model.artifact import Artifact
from harness.model.goldens import Bounds
from harness.model.tensor import TensorSpec

PIXELS = TensorSpec(shape=(1, 2, 2, 1), dtype="int8", scale=1 / 255, zero_point=-128, name="image")
THREE = TensorSpec(shape=(1, 3), dtype="int8", scale=1 / 256, zero_point=-128, name="classes")
ONE = TensorSpec(shape=(1, 1), dtype="int8", scale=0.01, zero_point=0, name="y")


def few_checks(artifact: Artifact, count: int = 32) -> Artifact:
    """The model with the first of its check inputs only, where all of them show nothing more."""
    assert artifact.goldens is not None
    return replace(artifact, goldens=artifact.goldens.first(count))


def artifact(
    inputs: TensorSpec | tuple[TensorSpec, ...] = PIXELS,
    output: TensorSpec = THREE,
    labels: tuple[str, ...] = (),
    operators: tuple[str, ...] = ("FULLY_CONNECTED",),
) -> Artifact:
    return Artifact(
        name="tiny_int8",
        model="tiny",
        dtype="int8",
        path=Path("tiny_int8.tflite"),
        content=b"tiny",
        inputs=inputs if isinstance(inputs, tuple) else (inputs,),
        outputs=(output,),
        operators=operators,
        per_channel_dense=False,
        bounds=Bounds(),
        labels=labels,
    )
