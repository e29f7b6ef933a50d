"""Images in one folder per class, read and resized by tf.data."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.quiet import import_tensorflow
from models.recipe import Array, DataError, Dataset, Examples

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
LEAST_SIDE = 8
"""Smaller pictures are refused: they show nothing, and resizing would hide that."""
NAMED = 20
"""At most this many of the files left out are named; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Usable images: paths and classes side by side. `labels` are the folders' names, sorted."""

    paths: tuple[Path, ...]
    classes: tuple[int, ...]
    labels: tuple[str, ...]


def _decode(tf: Any, path: Any) -> Any:
    raw = tf.io.read_file(path)
    return tf.io.decode_image(raw, channels=3, expand_animations=False)


def _complaint(tf: Any, path: Path) -> str | None:
    """Why an image cannot be used; None if it can. Decodes it as training does."""
    if path.suffix.lower() not in SUFFIXES:
        return f"not one of {', '.join(SUFFIXES)}"
    try:
        if path.stat().st_size == 0:
            return "empty"
        height, width, _ = _decode(tf, str(path)).shape
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except tf.errors.OpError:
        return "cannot be decoded"
    return f"{width}x{height} pixels" if min(width, height) < LEAST_SIDE else None


def list_images(folder: Path, say: Callable[[str], None]) -> Listing:
    """All usable images of a folder that holds one folder for each class.

    Files that cannot be used are left out and named.

    Raises:
        DataError: no such folder, no image, one class only, or a class without usable images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; it should hold one folder of images per class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        found = f"only {classes[0].name}" if classes else "none"
        raise DataError(f"{folder} should hold one folder per class, two at least; found {found}")
    tf = import_tensorflow()
    paths: list[Path] = []
    numbers: list[int] = []
    bad: list[str] = []
    files = [
        (number, path)
        for number, one in enumerate(classes)
        for path in sorted(one.rglob("*"))
        if path.is_file() and path.name[0] != "."
    ]
    for done, (number, path) in enumerate(files, 1):
        complaint = _complaint(tf, path)
        if complaint is None:
            paths.append(path)
            numbers.append(number)
        else:
            bad.append(f"{path}: {complaint}")
        if done % 500 == 0 and sys.stdout.isatty():
            print(f"\rlooked at {done} of {len(files)} images", end="", flush=True)
    for line in bad[:NAMED]:
        say(f"left out {line}")
    if bad:
        say(f"left out {len(bad)} of {len(files)} files, {len(paths)} images remain")
    counted = Counter(numbers)
    empty = [one.name for number, one in enumerate(classes) if not counted[number]]
    if empty:
        raise DataError(f"{folder}: no usable image in class {', '.join(empty)}")
    return Listing(
        paths=tuple(paths), classes=tuple(numbers), labels=tuple(path.name for path in classes)
    )


def read_set(
    folder: Path,
    *,
    labels: tuple[str, ...],
    side: int,
    seed: int,
    say: Callable[[str], None],
    low: float = 0.0,
) -> Dataset:
    """70, 15 and 15 % of the images, shuffled; x (side, side, 3) from `low` to 1, y the class.

    Args:
        labels: the names that the folders must have.

    Raises:
        DataError: as `list_images`, or the folders have other names.
    """
    listing = list_images(folder, say)
    if set(listing.labels) != set(labels):
        raise DataError(f"{folder} has classes {listing.labels}, this recipe is for {labels}")
    numbers = np.array([labels.index(listing.labels[number]) for number in listing.classes])
    order = np.random.default_rng(seed).permutation(len(numbers))
    cuts = [int(len(order) * share) for share in (0.7, 0.85)]
    parts = np.split(order, cuts)
    if not all(len(part) for part in parts):
        raise DataError(f"{folder} holds {len(order)} images: too few for three parts")
    tf = import_tensorflow()
    train, validation, test = (
        _pairs(tf, [listing.paths[i] for i in part], numbers[part], side, low) for part in parts
    )
    return Dataset(train=train, validation=validation, test=in_memory(test), source=folder.name)


def _pairs(tf: Any, paths: list[Path], classes: Array, side: int, low: float) -> Any:
    def small(path: Any, label: Any) -> tuple[Any, Any]:
        image = _decode(tf, path)
        image.set_shape((None, None, 3))
        resized = tf.image.resize(image, (side, side), antialias=True)
        return tf.saturate_cast(tf.round(resized), tf.uint8), label

    def scaled(image: Any, label: Any) -> tuple[Any, Any]:
        return low + (1.0 - low) * tf.cast(image, tf.float32) / 255.0, label

    source = tf.data.Dataset.from_tensor_slices(
        ([str(p) for p in paths], classes.astype(np.float32))
    )
    # Decoded once and kept as bytes: 25000 pictures of 96x96 take 0.7 GB.
    kept = source.map(small, num_parallel_calls=tf.data.AUTOTUNE).cache()
    pairs = kept.map(scaled, num_parallel_calls=tf.data.AUTOTUNE)
    return pairs.apply(tf.data.experimental.assert_cardinality(len(paths)))


def in_memory(pairs: Any) -> Examples:
    """The examples of a finite tf.data.Dataset of single pairs."""
    images, labels = zip(*pairs.as_numpy_iterator(), strict=True)
    return Examples(x=np.stack(images), y=np.array(labels))
