"""Opening a user's data set for a model: an `.npz` or `.npy` file, or a CSV with a header.

Folders of images and sounds are opened by `folder_data`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.answers import answered, output_of
from harness.model.arrays import Table, read_csv, read_npy, read_npz
from harness.model.artifact import Artifact
from harness.model.dataset import (
    SEQUENCE,
    DataOptions,
    DataSet,
    X,
    Y,
    digest_of_files,
    numbers_of,
    sample_shape,
    stated,
)
from harness.model.folder_data import of_folder
from harness.model.inputs import meaning_of
from harness.model.samples import Layout
from harness.model.stored import Stored
from harness.model.streams import (
    Streams,
    cut,
    one_stream,
    streams_of,
    streams_of_counts,
    windows,
)
from harness.model.tensor import TensorSpec
from harness.text import printable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """What a file holds: samples of each input, answers by output, ids of sequences.

    `whole`: floating-point numbers stand for whole ones.
    """

    samples: list[Stored]
    answers: Mapping[int, NDArray[Any]]
    ids: NDArray[Any] | None = None
    whole: bool = False


def open_data(path: Path, artifact: Artifact, options: DataOptions | None = None) -> DataSet:
    """Open a data set for a model; its content is read once, for its digest and range.

    Raises:
        TensorError: it cannot be read, does not fit the model, or could be meant in several ways;
            names the file and, where it is about one, the sample.
    """
    options = options or DataOptions()
    if len(artifact.inputs) != 1 and path.suffix.lower() != ".npz":
        raise TensorError(
            f"model {artifact.name} has several inputs: {Layout(specs=artifact.inputs)}",
            hint="Give an .npz file with one array for each, by its name.",
        )
    if path.is_dir():
        return of_folder(path, artifact, options)
    if not path.is_file():
        raise TensorError(
            f"there is no data set {printable(path.name)} in {printable(str(path.parent))}"
        )
    kinds = {".npz": _of_npz, ".npy": _of_npy, ".csv": _of_csv}
    if path.suffix.lower() not in kinds:
        raise TensorError(
            f"{printable(path.name)} is no data set",
            hint="A data set is an .npz, .npy or .csv file, or a folder with one folder of images "
            "or .wav files for each class.",
        )
    held = kinds[path.suffix.lower()](path, artifact, options)
    return _of_arrays(path, held, artifact, options)


def _of_npz(path: Path, artifact: Artifact, options: DataOptions) -> _Held:
    source, table = printable(path.name), read_npz(path)
    inputs, outputs = Layout(specs=artifact.inputs), Layout(specs=artifact.outputs)
    answers = {}
    for name, array in table.arrays.items():
        at = output_of(name, outputs, source)
        if at is not None and inputs.position(name) is None:
            answers[at] = array.whole()
    if options.labels is not None:
        answers[0] = _named(table, options.labels, "labels", source)
    ids = None
    if options.sequence is not None:
        ids = _named(table, options.sequence, SEQUENCE, source)
    elif SEQUENCE in table.arrays and inputs.position(SEQUENCE) is None:
        ids = table.arrays[SEQUENCE].whole()
    return _Held(samples=_samples(table, artifact, source), answers=answers, ids=ids)


def _named(table: Table, name: str, option: str, source: str) -> NDArray[Any]:
    """An array of the file, or one of a file of its own."""
    return table.arrays[name].whole() if name in table.arrays else _own_file(name, option, source)


def _samples(table: Table, artifact: Artifact, source: str) -> list[Stored]:
    """The array of each input: by its name or position; of a model with one also `x`."""
    layout = Layout(specs=artifact.inputs)
    found = {layout.position(name): array for name, array in table.arrays.items()}
    if len(layout.specs) == 1:
        # Named `x` first: a tensor may have the name of another array by chance.
        named = found.get(0) if X not in table.arrays else None
        return [table.named(X, source) if named is None else named]
    absent = [name for at, name in enumerate(layout.names) if at not in found]
    if absent:
        raise TensorError(
            f"{source} has no array for input {printable(absent[0])!r}; the model has {layout}"
        )
    return [found[at] for at in range(len(layout.specs))]


def _of_npy(path: Path, artifact: Artifact, options: DataOptions) -> _Held:
    source = printable(path.name)
    answers, ids = {}, None
    if options.labels is not None:
        answers[0] = _own_file(options.labels, "labels", source)
    if options.sequence is not None:
        ids = _own_file(options.sequence, SEQUENCE, source)
    return _Held(samples=[read_npy(path)], answers=answers, ids=ids)


def _own_file(name: str, option: str, source: str) -> NDArray[Any]:
    if name.endswith(".npy"):
        return read_npy(Path(name)).whole()
    raise TensorError(
        f"{source} has no array {printable(name)!r}",
        hint=f"--{option} names an array of an .npz file, a column of a .csv file, or a .npy file.",
    )


def _of_csv(path: Path, artifact: Artifact, options: DataOptions) -> _Held:
    source, outputs = printable(path.name), Layout(specs=artifact.outputs)
    ids_name = options.sequence or SEQUENCE

    def maybe(name: str) -> bool:
        # A column `y` may be an input: answers of the first output are named by --labels.
        return name == ids_name or (name != Y and output_of(name, outputs, source) is not None)

    named = [name for name in (options.labels, options.sequence) if name is not None]
    columns = read_csv(path, named, maybe)
    answers = {}
    for name, texts in columns.texts.items():
        at = 0 if name == options.labels else output_of(name, outputs, source)
        if name != ids_name and at is not None:
            answers[at] = _numbers_if_all(texts)
    ids = columns.texts.get(ids_name)
    return _Held(samples=[columns.numbers], answers=answers, ids=ids, whole=columns.whole)


def _numbers_if_all(texts: NDArray[Any]) -> NDArray[Any]:
    try:
        numbers: NDArray[Any] = texts.astype(np.float64)
    except ValueError:
        return texts
    return numbers


def _of_arrays(path: Path, held: _Held, artifact: Artifact, options: DataOptions) -> DataSet:
    """A data set of arrays with one row for each sample or frame, one for each input."""
    source, layout = printable(path.name), Layout(specs=artifact.inputs)
    samples, streams = _streams(held, artifact, options, source)
    what = "sample" if streams is None or streams.length == 1 else "frame"

    def row_name(index: int) -> str:
        return f"{what} {index} of {source}"

    meanings = []
    for array, spec in zip(samples, layout.specs, strict=True):
        numbers = numbers_of(array.flat, len(array), row_name, whole=held.whole)
        meanings.append(meaning_of(numbers, spec, source=source, stated=options.inputs))

    def rows(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        if options.stride is not None and streams is not None:
            return (windows(samples[0].flat, streams, start, stop),)
        return tuple(array.flat(start, stop) for array in samples)

    count = len(samples[0]) if streams is None else streams.samples
    answers, streams = answered(held.answers, count, artifact, options, source, streams)
    return DataSet(
        source=source,
        digest=digest_of_files([path, *_other_files(options)], path.parent, stated(options)),
        count=count,
        layout=layout,
        meanings=tuple(meanings),
        answers=answers,
        rows=rows,
        name=lambda index: f"sample {index} of {source}",
        streams=streams,
    )


def _streams(
    held: _Held, artifact: Artifact, options: DataOptions, source: str
) -> tuple[list[Stored], Streams | None]:
    """The rows of each input, and the sequences that they form."""
    for array in held.samples:
        if array.dtype.kind not in "biuf":
            raise TensorError(f"{source} holds {array.dtype}, no numbers")
        if len(array) == 0:
            raise TensorError(f"{source} holds no samples")
    if options.stride is not None:
        return _frames(held, artifact, options.stride, source)
    for array, spec in zip(held.samples, artifact.inputs, strict=True):
        _refuse_other_shape(array.shape, spec, source)
    counts = sorted({len(array) for array in held.samples})
    if len(counts) > 1:
        raise TensorError(f"{source} has inputs with different numbers of samples: {counts}")
    return held.samples, _by_ids(held.ids, counts[0], "samples", source)


def _by_ids(ids: NDArray[Any] | None, count: int, what: str, source: str) -> Streams | None:
    if ids is None:
        return None
    if len(ids) != count:
        raise TensorError(f"{source} has {count} {what} and {len(ids)} ids of sequences")
    return streams_of(ids, source)


def _frames(
    held: _Held, artifact: Artifact, stride: int, source: str
) -> tuple[list[Stored], Streams]:
    """Streams that samples are cut out of: the rows are frames, or each row is a stream."""
    if len(held.samples) != 1:
        raise TensorError(f"{source}: windows are cut for models with one input")
    spec, frames = artifact.inputs[0], held.samples[0]
    length = spec.elements // max(1, math.prod(frames.shape[1:]))
    if length and length * math.prod(frames.shape[1:]) == spec.elements:
        streams = _by_ids(held.ids, len(frames), "frames", source) or one_stream(
            len(frames), source
        )
    else:
        streams, frames = _rows_as_streams(held, spec, source)
        length = spec.elements // math.prod(frames.shape[1:])
    return [frames], cut(streams, length=length, stride=stride, source=source)


def _rows_as_streams(held: _Held, spec: TensorSpec, source: str) -> tuple[Streams, Stored]:
    rows = held.samples[0]
    frame = math.prod(rows.shape[2:])
    if len(rows.shape) < 2 or frame == 0 or spec.elements % frame:
        raise TensorError(
            f"{source} has shape {rows.shape}, of which no windows of {sample_shape(spec)} can be "
            "cut",
            hint="Streams are frames along the first axis; or one stream in each row, frames along "
            "the second. The model's input is a whole number of frames.",
        )
    if held.ids is not None and len(held.ids) != len(rows):
        raise TensorError(f"{source} has {len(rows)} streams and {len(held.ids)} ids of sequences")
    names = map(str, range(len(rows)) if held.ids is None else held.ids)
    counts = [rows.shape[1]] * len(rows)
    return streams_of_counts(counts, tuple(map(printable, names))), rows.merged(source)


def _other_files(options: DataOptions) -> list[Path]:
    named = (options.labels, options.sequence)
    return [Path(name) for name in named if name and name.endswith(".npy") and Path(name).is_file()]


def _refuse_other_shape(shape: Sequence[int], spec: TensorSpec, source: str) -> None:
    """Accept (n, ...) with the input's shape, axes of 1 left out or not, or n flat rows."""
    wanted = tuple(size for size in sample_shape(spec) if size != 1)
    got = tuple(size for size in shape[1:] if size != 1)
    if got not in (wanted, (spec.elements,)) and not (spec.elements == 1 and got == ()):
        raise TensorError(
            f"{source} has shape {tuple(shape)}: {shape[0]} samples of {tuple(shape[1:])}, while "
            f"the model takes {sample_shape(spec)}",
            hint="The first axis counts the samples. Of streams that are longer than the model's "
            "input windows are cut with --stride FRAMES.",
        )
