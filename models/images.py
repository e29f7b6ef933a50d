"""Fashion-MNIST and handwritten digits: finding and splitting the data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models import idx
from models.quiet import import_tensorflow, quiet
from models.recipe import Array, DataError, Dataset, Examples, Request

FASHION_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
KERAS = Path("~/.keras/datasets").expanduser()
VALIDATION = 5000
"""Of the training images; a quarter of a set that is smaller than four times as many."""


def _folder(name: str, given: Path | None, usual: tuple[Path, ...], ways: str) -> Path:
    for folder in (given,) if given is not None else usual:
        if idx.holds_all(folder):
            return folder
    if given is not None:
        raise DataError(f"{given} has no {name}: it lacks {', '.join(idx.missing(given))}")
    looked = ", ".join(map(str, usual))
    raise DataError(f"no {name} here: looked in {looked}. {ways}")


def _split(train: Examples, test: Examples, *, channels: bool, source: str) -> Dataset:
    def shaped(x: Array) -> Array:
        return x[..., np.newaxis] if channels else x

    cut = len(train.x) - min(VALIDATION, len(train.x) // 4)
    return Dataset(
        train=Examples(x=shaped(train.x[:cut]), y=train.y[:cut]),
        validation=Examples(x=shaped(train.x[cut:]), y=train.y[cut:]),
        test=Examples(x=shaped(test.x), y=test.y),
        source=source,
    )


def fashion(
    request: Request,
    *,
    channels: bool = False,
    usual: tuple[Path, ...] = (DEBIAN, KERAS / "fashion-mnist"),
) -> Dataset:
    """Fashion-MNIST: 55000, 5000 and 10000 images of 28x28 from 0 to 1, and their classes.

    Raises:
        DataError: it is in none of the usual places; the error says how to get it.
    """
    folder = _folder(
        "Fashion-MNIST",
        request.folder,
        usual,
        "Install Debian's package (sudo apt-get install dataset-fashion-mnist), or let Keras fetch "
        "it once (python -c 'import keras; keras.datasets.fashion_mnist.load_data()'), or name the "
        "folder with its four IDX files: --data DIR",
    )
    train, test = idx.load(folder, len(FASHION_LABELS))
    return _split(train, test, channels=channels, source="Fashion-MNIST")


def mnist(request: Request) -> Dataset:
    """MNIST from the folder given, Keras's cache, or by Keras over the network, as `fashion`.

    Raises:
        DataError: none of the three has it.
    """
    if request.folder is not None:
        folder = _folder("MNIST", request.folder, (), "")
        return _split(*idx.load(folder, 10), channels=False, source="MNIST")
    keras = import_tensorflow().keras
    try:
        with quiet():
            (x, y), (test_x, test_y) = keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception where the download fails.
        raise DataError(
            f"no MNIST here: Keras has none and could not fetch it ({error}). Name a folder with "
            "its four IDX files: --data DIR, or train a variant on scikit-learn's digits"
        ) from error
    train, test = (
        Examples(x=(images / np.float32(255)).astype(np.float32), y=labels.astype(np.int32))
        for images, labels in ((x, y), (test_x, test_y))
    )
    return _split(train, test, channels=False, source="MNIST")


def digits(request: Request) -> Dataset:
    """scikit-learn's 1797 digits of 8x8 pixels from 0 to 1, shuffled: 1200, 197 and 400.

    Raises:
        DataError: scikit-learn is not installed, or a folder was given.
    """
    if request.folder is not None:
        raise DataError("--data is for the 28x28 variants; these digits come with scikit-learn")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("the digits come with scikit-learn: pip install scikit-learn") from error
    held = load_digits()
    order = np.random.default_rng(request.seed).permutation(len(held.target))
    x = (held.images[order] / 16).astype(np.float32)
    y = held.target[order].astype(np.int32)
    parts = zip(np.split(x, [1200, 1397]), np.split(y, [1200, 1397]), strict=True)
    train, validation, test = (Examples(x=images, y=labels) for images, labels in parts)
    source = "scikit-learn's digits"
    return Dataset(train=train, validation=validation, test=test, source=source)
