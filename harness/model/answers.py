"""The answers of a data set, for each output of a model, and for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.artifact import Artifact
from harness.model.dataset import DataOptions, Y
from harness.model.samples import Layout
from harness.model.streams import Streams, frame_labels
from harness.model.targets import UNKNOWN, Targets, targets_of
from harness.text import printable

_OF_OUTPUT = f"{Y}_"
"""Before the name of an output: `y_probabilities` has the answers of `probabilities`."""

_DECIDING = ("LOGISTIC",)


def output_of(name: str, outputs: Layout, source: str) -> int | None:
    """The position of the output whose answers an array or a column of this name has.

    `y` is the first output's. None where the name is none of these; of a model with one output
    there is only `y`.

    Raises:
        TensorError: `y_` and something that is no output.
    """
    if name == Y:
        return 0
    if not name.startswith(_OF_OUTPUT) or len(outputs.specs) == 1:
        return None
    at = outputs.position(name.removeprefix(_OF_OUTPUT))
    if at is None:
        raise TensorError(f"{source}: {printable(name)!r} names no output; the model has {outputs}")
    return at


def answered(
    values: Mapping[int, NDArray[Any]],
    count: int,
    artifact: Artifact,
    options: DataOptions,
    source: str,
    streams: Streams | None,
) -> tuple[tuple[Targets, ...], Streams | None]:
    """What is known of each output, sample by sample; and the streams with the first one's labels.

    Args:
        values: by the output's position, one row for each sample; of streams also one for each
            frame or for each sequence.

    Raises:
        TensorError: another number of answers, or answers that do not fit the output.
    """
    if not values and options.task is not None:
        raise TensorError(f"{source} has no answers that could be {options.task}")
    targets = [UNKNOWN] * len(artifact.outputs)
    for at, found in values.items():
        known = _targets(found, at, artifact, options, source)
        targets[at], labels = spread(known, len(found), count, streams, source)
        if at == 0 and streams is not None:
            streams = replace(streams, labels=labels)
    return tuple(targets), streams


def spread(
    known: Targets, answers: int, count: int, streams: Streams | None, source: str
) -> tuple[Targets, NDArray[np.int64] | None]:
    """Answers for each of `count` samples, and the class of each frame.

    A window has the answer of its last frame, and a sample that of its sequence.

    Raises:
        TensorError: as many answers as there are neither samples nor frames nor sequences.
    """
    if streams is None:
        if answers != count:
            raise TensorError(f"{source} has {count} samples and {answers} answers")
        return known, None
    if answers == streams.frames:
        return known.picked(streams.firsts + streams.length - 1), known.labels
    if answers == count:
        labels = None if known.labels is None else frame_labels(known.labels, streams)
        return known, labels
    if answers == len(streams.starts):
        sizes = np.diff(np.append(streams.frame_starts, streams.frames))
        labels = None if known.labels is None else np.repeat(known.labels, sizes)
        return known.picked(streams.sequence_of), labels
    raise TensorError(
        f"{source} has {answers} answers for {streams.frames} frames in {len(streams.starts)} "
        f"sequences, of which {count} samples are made: one for each of any of these"
    )


def _targets(
    values: NDArray[Any], at: int, artifact: Artifact, options: DataOptions, source: str
) -> Targets:
    several = len(artifact.outputs) > 1
    return targets_of(
        values,
        artifact.outputs[at],
        source=f"{source}, output {Layout(specs=artifact.outputs).names[at]!r}"
        if several
        else source,
        classes=artifact.labels if at == 0 else (),
        task=options.task,
        decides=not several and _decides(artifact),
    )


def _decides(artifact: Artifact) -> bool:
    """Whether a single output is a probability."""
    last = artifact.operators[-1:] in tuple((name,) for name in _DECIDING)
    return artifact.activation == "sigmoid" or last or bool(artifact.labels)
