"""A user's data set: samples read from disk as they are needed, and what is known of the answers.

An `.npz` or `.npy` file, a CSV with a header, or a folder with one folder of images or WAV files
for each class.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.arrays import Table, read_csv, read_npy, read_npz
from harness.model.artifact import Artifact
from harness.model.folders import (
    COLOURS,
    Feature,
    Folder,
    featured,
    load_feature,
    read_folder,
    read_image,
    read_pixels,
    read_sound,
    source_of,
)
from harness.model.inputs import MEANINGS, Numbers, converted, meaning_of, reals
from harness.model.samples import Layout
from harness.model.targets import TASKS, UNKNOWN, Targets, class_count, targets_of
from harness.model.tensor import TensorSpec
from harness.text import printable

X, Y = "x", "y"
"""Arrays of an `.npz` file: the samples, and the answers where they are known."""

_BLOCK_BYTES = 1 << 24
_CHUNK = 1 << 20
_DECIDING = ("LOGISTIC",)

Rows = Callable[[int, int], tuple[NDArray[Any], ...]]
"""Samples of this slice as the file has them: for each input one row of numbers per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How a data set is to be read, as far as it does not say so itself.

    `inputs` is one of MEANINGS, `task` one of TASKS. `labels` names the column of a CSV file or the
    array of an `.npz` file with the answers, or a file of its own. `resize` and `colour` make
    images fit; `feature` is `module:function`.
    """

    inputs: str | None = None
    labels: str | None = None
    task: str | None = None
    resize: bool = False
    colour: str | None = None
    feature: str | None = None


def parse_data(text: str) -> tuple[Path, DataOptions]:
    """The path of a data set, and how to read it, from `set.csv?labels=y&inputs=real`.

    `resize` stands alone or is 1. A path that exists is taken as it is, whatever is in its name.

    Raises:
        TensorError: an option that there is none, or a value that it cannot have.
    """
    name, mark, query = text.rpartition("?")
    if not mark or Path(text).exists():
        return Path(text), DataOptions()
    given = dict(parse_qsl(query, keep_blank_values=True))
    known = {item.name for item in fields(DataOptions)}
    unknown = sorted(set(given) - known)
    for option, choices in (("inputs", MEANINGS), ("task", TASKS), ("colour", COLOURS)):
        if given.get(option, choices[0]) not in choices:
            raise TensorError(f"{option} of a data set is one of {', '.join(choices)}")
    if unknown:
        raise TensorError(
            f"a data set has no option {printable(unknown[0])!r}; known: {', '.join(sorted(known))}"
        )
    resize = given.pop("resize", "0") not in ("0", "false")
    texts: dict[str, Any] = {option: value or None for option, value in given.items()}
    return Path(name), DataOptions(resize=resize, **texts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """`count` samples for one model. `digest` is a SHA-256 over all that the inputs depend on.

    `meanings` says for each input what its numbers were taken for. Safe to be read by several
    threads.
    """

    source: str
    digest: str
    count: int
    layout: Layout
    meanings: tuple[str, ...]
    targets: Targets
    rows: Rows
    name: Callable[[int], str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def meaning(self) -> str:
        """What the numbers were taken for; of several inputs that differ, one after the other."""
        return ", ".join(dict.fromkeys(self.meanings))

    def inputs(self, start: int, stop: int) -> NDArray[Any]:
        """Samples (k, ...) of a slice as the model takes them: see `Layout`.

        Raises:
            TensorError: one cannot be read, or holds NaN; names it.
        """
        given = zip(self._read(start, stop), self.layout.specs, self.meanings, strict=True)
        return self.layout.pack([converted(rows, spec, meaning) for rows, spec, meaning in given])

    def picked(self, indices: Sequence[int]) -> NDArray[Any]:
        """Samples of these places, as `inputs` gives them."""
        return np.concatenate([self.inputs(index, index + 1) for index in indices])

    def reals(self, start: int, stop: int) -> NDArray[np.float32]:
        """The first input of the same samples in the model's own unit; quantized by nobody.

        Raises:
            TensorError: as `inputs`.
        """
        spec, rows = self.layout.specs[0], self._read(start, stop)[0]
        values = reals(rows, spec, self.meanings[0])
        return values.reshape(stop - start, *sample_shape(spec))

    def _read(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        with self.lock:
            read = self.rows(start, stop)
        for rows in read:
            _refuse_not_finite(rows, start, self.name)
        return read


def sample_shape(spec: TensorSpec) -> tuple[int, ...]:
    """A tensor's shape without a batch axis of 1; a sample of a larger batch is the whole batch."""
    return spec.shape[1:] if spec.shape and spec.shape[0] == 1 else spec.shape


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
        return _of_folder(path, artifact, options)
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
    return kinds[path.suffix.lower()](path, artifact, options)


def _of_npz(path: Path, artifact: Artifact, options: DataOptions) -> DataSet:
    source, table = printable(path.name), read_npz(path)
    if options.labels in table.arrays:
        answers: NDArray[Any] | None = table.arrays[str(options.labels)]
    elif options.labels is not None:
        answers = _answers_file(options.labels, source)
    else:
        answers = table.arrays.get(Y)
    return _of_arrays(path, _samples(table, artifact, source), answers, artifact, options)


def _samples(table: Table, artifact: Artifact, source: str) -> list[NDArray[Any]]:
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


def _of_npy(path: Path, artifact: Artifact, options: DataOptions) -> DataSet:
    answers = None
    if options.labels is not None:
        answers = _answers_file(options.labels, printable(path.name))
    return _of_arrays(path, [read_npy(path)], answers, artifact, options)


def _answers_file(labels: str, source: str) -> NDArray[Any]:
    if labels.endswith(".npy"):
        return read_npy(Path(labels))
    raise TensorError(
        f"{source} has no array {printable(labels)!r}",
        hint="--labels names an array of an .npz file, a column of a .csv file, or a .npy file.",
    )


def _of_csv(path: Path, artifact: Artifact, options: DataOptions) -> DataSet:
    columns = read_csv(path, options.labels)
    answers: NDArray[Any] | None = columns.answers
    if answers is not None:
        answers = _numbers_if_all(answers)
    samples = [columns.numbers]
    return _of_arrays(path, samples, answers, artifact, options, whole=columns.whole)


def _numbers_if_all(texts: NDArray[Any]) -> NDArray[Any]:
    try:
        numbers: NDArray[Any] = texts.astype(np.float64)
    except ValueError:
        return texts
    return numbers


def _of_arrays(
    path: Path,
    samples: Sequence[NDArray[Any]],
    answers: NDArray[Any] | None,
    artifact: Artifact,
    options: DataOptions,
    *,
    whole: bool = False,
) -> DataSet:
    """A data set of arrays with one row for each sample, one for each input.

    Args:
        whole: floating-point numbers stand for whole ones.
    """
    source, layout = printable(path.name), Layout(specs=artifact.inputs)

    def name(index: int) -> str:
        return f"sample {index} of {source}"

    flats, meanings = [], []
    for array, spec in zip(samples, layout.specs, strict=True):
        flat = _flat(array, spec, source)
        numbers = _numbers_of(flat, name, whole=whole)
        meanings.append(meaning_of(numbers, spec, source=source, stated=options.inputs))
        flats.append(flat)
    counts = sorted({len(flat) for flat in flats})
    if len(counts) > 1:
        raise TensorError(f"{source} has inputs with different numbers of samples: {counts}")

    def rows(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        return tuple(np.ascontiguousarray(flat[start:stop]) for flat in flats)

    return DataSet(
        source=source,
        digest=_digest_of_files([path, *_label_file(options)], path.parent, _stated(options)),
        count=counts[0],
        layout=layout,
        meanings=tuple(meanings),
        targets=_targets(answers, counts[0], artifact, options, source),
        rows=rows,
        name=name,
    )


def _flat(samples: NDArray[Any], spec: TensorSpec, source: str) -> NDArray[Any]:
    if samples.dtype.kind not in "biuf":
        raise TensorError(f"{source} holds {samples.dtype}, no numbers")
    _refuse_other_shape(samples.shape, spec, source)
    return samples.reshape(len(samples), -1)


def _label_file(options: DataOptions) -> list[Path]:
    labels = options.labels
    return [Path(labels)] if labels and labels.endswith(".npy") and Path(labels).is_file() else []


def _refuse_other_shape(shape: tuple[int, ...], spec: TensorSpec, source: str) -> None:
    """Accept (n, ...) with the input's shape, axes of 1 left out or not, or n flat rows."""
    if shape[0] == 0:
        raise TensorError(f"{source} holds no samples")
    wanted = tuple(size for size in sample_shape(spec) if size != 1)
    got = tuple(size for size in shape[1:] if size != 1)
    if got not in (wanted, (spec.elements,)) and not (spec.elements == 1 and got == ()):
        raise TensorError(
            f"{source} has shape {shape}: {shape[0]} samples of {shape[1:]}, while the model takes "
            f"{sample_shape(spec)}",
            hint="The first axis counts the samples.",
        )


def _blocks(flat: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _BLOCK_BYTES // max(1, flat.shape[1] * flat.itemsize))
    for start in range(0, len(flat), step):
        yield start, flat[start : start + step]


def _numbers_of(flat: NDArray[Any], name: Callable[[int], str], *, whole: bool) -> Numbers:
    low, high, all_whole = np.inf, -np.inf, flat.dtype.kind != "f"
    rounded = not all_whole
    for start, block in _blocks(flat):
        _refuse_not_finite(block, start, name)
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        rounded = rounded and bool((block == np.rint(block)).all())
    dtype = np.dtype(np.int64) if whole else flat.dtype.newbyteorder("=")
    return Numbers(dtype=dtype, low=low, high=high, whole=all_whole or rounded)


def _refuse_not_finite(rows: NDArray[Any], start: int, name: Callable[[int], str]) -> None:
    if rows.dtype.kind != "f":
        return
    good = np.isfinite(rows).all(axis=1)
    if not good.all():
        raise TensorError(f"{name(start + int(np.argmin(good)))} holds NaN or an infinite number")


def _targets(
    answers: NDArray[Any] | None, count: int, artifact: Artifact, options: DataOptions, source: str
) -> Targets:
    if answers is None:
        if options.task is not None:
            raise TensorError(f"{source} has no answers that could be {options.task}")
        return UNKNOWN
    if len(answers) != count:
        raise TensorError(f"{source} has {count} samples and {len(answers)} answers")
    return targets_of(
        answers,
        artifact.outputs[0],
        source=source,
        classes=artifact.labels,
        task=options.task,
        decides=_decides(artifact),
    )


def _decides(artifact: Artifact) -> bool:
    """Whether a single output is a probability."""
    last = artifact.operators[-1:] in tuple((name,) for name in _DECIDING)
    return artifact.activation == "sigmoid" or last or bool(artifact.labels)


def _of_folder(path: Path, artifact: Artifact, options: DataOptions) -> DataSet:
    spec, source = artifact.inputs[0], printable(path.name)
    if options.labels is not None or options.task is not None:
        raise TensorError(f"{source}: the folders are the classes; nothing else can be stated")
    most = class_count(artifact.outputs[0])
    folder = read_folder(path, known=artifact.labels, most=most)
    feature = load_feature(options.feature) if options.feature else None
    if folder.sounds and feature is None:
        raise TensorError(
            f"{source} holds sounds; what makes the model's input of them must be stated",
            hint="Name a function of (samples, rate): --feature MODULE:FUNCTION",
        )
    one = _decoder(folder, spec, options, feature)

    def rows(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        return (np.stack([one(index) for index in range(start, stop)]),)

    first = one(0)
    numbers = _numbers_of(first[np.newaxis], folder.name, whole=False)
    if feature is None:
        numbers = Numbers(dtype=np.dtype(np.uint8), low=0, high=255, whole=True)
    stated = _stated(options) + (source_of(feature) if feature else b"")
    paths = [folder.path(index) for index in range(len(folder.files))]
    return DataSet(
        source=source,
        digest=_digest_of_files(paths, path, stated),
        count=len(folder.files),
        layout=Layout(specs=artifact.inputs),
        meanings=(meaning_of(numbers, spec, source=source, stated=options.inputs),),
        targets=Targets(labels=folder.labels, classes=folder.classes),
        rows=rows,
        name=folder.name,
    )


def _decoder(
    folder: Folder, spec: TensorSpec, options: DataOptions, feature: Feature | None
) -> Callable[[int], NDArray[Any]]:
    """What makes one flat row of numbers of a file."""

    def sound(index: int) -> NDArray[Any]:
        assert feature is not None, "refused before"
        name = folder.name(index)
        return np.asarray(
            featured(feature, read_sound(folder.path(index), name), name, spec.elements)
        )

    def image(index: int) -> NDArray[Any]:
        name, path = folder.name(index), folder.path(index)
        if feature is not None:
            pixels = read_pixels(path, name, options.colour)
            return np.asarray(featured(feature, (pixels,), name, spec.elements))
        fitting = read_image(path, name, spec, resize=options.resize, colour=options.colour)
        return fitting.reshape(-1)

    return sound if folder.sounds else image


def _stated(options: DataOptions) -> bytes:
    return repr(options).encode()


def _digest_of_files(paths: list[Path], root: Path, stated: bytes) -> str:
    """SHA-256 over names and contents of files, and over how they are to be read."""
    whole = hashlib.sha256(stated)
    for path in paths:
        content = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
        except OSError as error:
            raise TensorError(f"cannot read {printable(path.name)}: {error.strerror}") from error
        whole.update(os.fsencode(os.path.relpath(path, root)) + b"\0" + content.digest())
    return whole.hexdigest()
