"""Small IDX sets for tests, written byte by byte from the format's description."""

import gzip
import struct
from pathlib import Path

import numpy as np

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(values: np.ndarray) -> bytes:
    """Magic number 0, 0, 8 (unsigned byte), rank; big-endian sizes; the values."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + bytes(
        values.astype(np.uint8).ravel()
    )


def write_set(folder: Path, *, train: int, test: int, packed: bool = False, side: int = 28) -> None:
    """Images that show their class by a bright bar at row 2 * class, and their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(8)
    for count, (images_name, labels_name) in zip(
        (train, test), (NAMES[:2], NAMES[2:]), strict=True
    ):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, side, side))
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 3] += 180
        for name, values in ((images_name, images), (labels_name, labels)):
            content = idx_bytes(values)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
