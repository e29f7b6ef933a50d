"""Reading IDX files, the format MNIST and Fashion-MNIST are published in."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models.recipe import Array, DataError, Examples, check_labels

NAMES = {
    ("train", "x"): "train-images-idx3-ubyte",
    ("train", "y"): "train-labels-idx1-ubyte",
    ("test", "x"): "t10k-images-idx3-ubyte",
    ("test", "y"): "t10k-labels-idx1-ubyte",
}
_UNSIGNED_BYTE = 8


def read(path: Path) -> Array:
    """The array of an IDX file of unsigned bytes, plain or gzipped.

    Raises:
        DataError: it cannot be read, is cut, or holds another type.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path} is not an IDX file of unsigned bytes")
    rank = raw[3]
    if len(raw) < 4 + 4 * rank:
        raise DataError(f"{path} is cut inside its header")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path} holds {values.size} bytes, its header says {shape}")
    return values.reshape(shape)


def find(folder: Path, part: str, kind: str) -> Path | None:
    """The file of `train` or `test`, `x` or `y`, in a folder; None if it is not there."""
    name = NAMES[part, kind]
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    return None


def holds_all(folder: Path) -> bool:
    """Whether all four files are there."""
    return all(find(folder, part, kind) is not None for part, kind in NAMES)


def load(folder: Path, classes: int) -> tuple[Examples, Examples]:
    """Training and test set: images (n, h, w) float32 from 0 to 1, labels (n,) int32.

    Raises:
        DataError: a file is absent or malformed, or a label is not below `classes`.
    """
    train, test = (_examples(folder, part, classes) for part in ("train", "test"))
    return train, test


def _examples(folder: Path, part: str, classes: int) -> Examples:
    paths = [find(folder, part, kind) for kind in ("x", "y")]
    if paths[0] is None or paths[1] is None:
        raise DataError(f"{folder} lacks {' or '.join(missing(folder))}")
    images, labels = read(paths[0]), read(paths[1])
    check_labels(labels, classes, str(paths[1]))
    return Examples(x=(images / np.float32(255)).astype(np.float32), y=labels.astype(np.int32))


def missing(folder: Path) -> Iterable[str]:
    """Names of the files that are not there."""
    return [name for (part, kind), name in NAMES.items() if find(folder, part, kind) is None]
