"""Folders of images and sounds as data sets."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.answers import spread
from harness.model.arrays import MOST_UNPACKED
from harness.model.artifact import Artifact
from harness.model.dataset import DataOptions, DataSet, digest_of_files, numbers_of, stated
from harness.model.folders import (
    Feature,
    Folder,
    featured,
    load_feature,
    one_sample,
    read_folder,
    read_image,
    read_pixels,
    read_sound,
    source_of,
)
from harness.model.inputs import Numbers, meaning_of
from harness.model.samples import Layout
from harness.model.stored import Stored, stored_in
from harness.model.streams import Streams, cut, streams_of_counts, windows
from harness.model.targets import UNKNOWN, Targets, class_count
from harness.model.tensor import TensorSpec
from harness.text import printable


def of_folder(path: Path, artifact: Artifact, options: DataOptions) -> DataSet:
    """A folder with one folder of images or sounds for each class.

    A sound of which a feature step makes several samples, or a stream of frames, is a sequence.

    Raises:
        TensorError: as `open_data`.
    """
    spec, source = artifact.inputs[0], printable(path.name)
    if any((options.labels, options.task, options.sequence)):
        raise TensorError(f"{source}: the folders are the classes; nothing else can be stated")
    most = class_count(artifact.outputs[0])
    folder = read_folder(path, known=artifact.labels, most=most)
    feature = load_feature(options.feature) if options.feature else None
    if folder.sounds and feature is None:
        raise TensorError(
            f"{source} holds sounds; what makes the model's input of them must be stated",
            hint="Name a function of (samples, rate): --feature MODULE:FUNCTION",
        )
    if options.stride is not None and not folder.sounds:
        raise TensorError(f"{source} holds images: no windows can be cut of them")
    whole = stated(options) + (source_of(feature) if feature else b"")
    paths = [folder.path(index) for index in range(len(folder.files))]
    digest = digest_of_files(paths, path, whole)
    targets = Targets(labels=folder.labels, classes=folder.classes)
    rest = (UNKNOWN,) * (len(artifact.outputs) - 1)
    layout = Layout(specs=artifact.inputs)
    if feature is not None and folder.sounds and _several(folder, spec, artifact, options, feature):
        stored, streams = _unrolled(folder, spec, options, feature, source)
        known, labels = spread(targets, len(folder.files), streams.samples, streams, source)
        numbers = numbers_of(stored.flat, len(stored), lambda at: f"frame {at} of {source}")
        return DataSet(
            source=source,
            digest=digest,
            count=streams.samples,
            layout=layout,
            meanings=(meaning_of(numbers, spec, source=source, stated=options.inputs),),
            answers=(known, *rest),
            rows=lambda start, stop: (windows(stored.flat, streams, start, stop),),
            name=lambda index: f"sample {index} of {source}, of {streams.name_at(index)}",
            streams=_labelled(streams, labels),
        )
    one = _decoder(folder, spec, options, feature)

    def rows(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        return (np.stack([one(index) for index in range(start, stop)]),)

    first = one(0)[np.newaxis]
    numbers = numbers_of(lambda start, stop: first[start:stop], 1, folder.name)
    if feature is None:
        numbers = Numbers(dtype=np.dtype(np.uint8), low=0, high=255, whole=True)
    return DataSet(
        source=source,
        digest=digest,
        count=len(folder.files),
        layout=layout,
        meanings=(meaning_of(numbers, spec, source=source, stated=options.inputs),),
        answers=(targets, *rest),
        rows=rows,
        name=folder.name,
    )


def _labelled(streams: Streams, labels: NDArray[np.int64] | None) -> Streams:
    return replace(streams, labels=labels)


def _decoder(
    folder: Folder, spec: TensorSpec, options: DataOptions, feature: Feature | None
) -> Callable[[int], NDArray[Any]]:
    """What makes one flat row of numbers of a file."""

    def sound(index: int) -> NDArray[Any]:
        assert feature is not None, "refused before"
        return one_sample(_heard(folder, index, feature), folder.name(index), spec.elements)

    def image(index: int) -> NDArray[Any]:
        name, path = folder.name(index), folder.path(index)
        if feature is not None:
            pixels = read_pixels(path, name, options.colour)
            return one_sample(featured(feature, (pixels,), name), name, spec.elements)
        fitting = read_image(path, name, spec, resize=options.resize, colour=options.colour)
        return fitting.reshape(-1)

    return sound if folder.sounds else image


def _heard(folder: Folder, index: int, feature: Feature) -> NDArray[Any]:
    name = folder.name(index)
    return featured(feature, read_sound(folder.path(index), name), name)


def _several(
    folder: Folder, spec: TensorSpec, artifact: Artifact, options: DataOptions, feature: Feature
) -> bool:
    """Whether each sound is a sequence: with a stride or state it is, else as the first one."""
    if options.stride is not None or artifact.stateful:
        return True
    made = _heard(folder, 0, feature)
    return made.ndim > 1 and len(made) > 1 and made[0].size == spec.elements


def _unrolled(
    folder: Folder, spec: TensorSpec, options: DataOptions, feature: Feature, source: str
) -> tuple[Stored, Streams]:
    """The frames of all sounds, in a temporary file, and which sound each is of."""
    counts: list[int] = []
    kind: tuple[int, np.dtype[Any]] | None = None
    with tempfile.TemporaryFile(prefix="hil-data-") as unpacked:
        for index in range(len(folder.files)):
            name = folder.name(index)
            made = _as_frames(_heard(folder, index, feature), spec, options.stride, name)
            kind = kind or (made.shape[1], made.dtype)
            if (made.shape[1], made.dtype) != kind:
                raise TensorError(
                    f"the feature step made {made.dtype} frames of {made.shape[1]} numbers of "
                    f"{name}, and {kind[1]} frames of {kind[0]} of {folder.name(0)}"
                )
            unpacked.write(made.tobytes())
            counts.append(len(made))
            _refuse_too_long(unpacked.tell(), source)
        unpacked.flush()
        assert kind is not None, "a folder has files"
        stored = stored_in(unpacked.fileno(), (sum(counts), kind[0]), kind[1])
    names = tuple(folder.name(index) for index in range(len(counts)))
    streams = streams_of_counts(counts, names)
    length = spec.elements // kind[0]
    return stored, cut(streams, length=length, stride=options.stride or 1, source=source)


def _refuse_too_long(size: int, source: str) -> None:
    if size > MOST_UNPACKED:
        raise TensorError(
            f"{source}: what the feature step makes has more than {MOST_UNPACKED} bytes"
        )


def _as_frames(made: NDArray[Any], spec: TensorSpec, stride: int | None, name: str) -> NDArray[Any]:
    """What a feature step made, as frames (k, numbers), of which windows or samples are made."""
    if stride is None and made.size == spec.elements:
        return made.reshape(1, -1)
    each = math.prod(made.shape[1:])
    fitting = made.ndim > 0 and len(made) > 0 and each > 0
    if stride is None and fitting and each == spec.elements:
        return made.reshape(len(made), each)
    if stride is not None and fitting and spec.elements % each == 0:
        return made.reshape(len(made), each)
    wanted = f"frames that make up {spec.elements}" if stride else f"samples of {spec.elements}"
    raise TensorError(
        f"the feature step made {made.size} numbers of {name}, shape {made.shape}; the model takes "
        f"{wanted}, counted by the first axis"
    )
