"""Fixed convolutions: edge, sharpen and blur, with ReLU, and with 2x2 max pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from models.recipe import REGRESSION, Array, Bounds, DataError, Dataset, Examples, Recipe, Request

SIDE = 32
KERNELS = {
    "edge": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
}


def photographs() -> list[Array]:
    """Two colour photographs that come with scikit-learn, as grey values from 0 to 1."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise DataError(
            f"sample images come with scikit-learn: pip install {error.name}"
        ) from error
    # Luma of ITU-R BT.601.
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255
    return [image.astype(np.float32) @ weights for image in load_sample_images().images]


def dataset(request: Request) -> Dataset:
    """Tiles of SIDE x SIDE pixels cut from the photographs, and the filter's output for each."""
    tiles = np.stack(
        [
            picture[top : top + SIDE, left : left + SIDE]
            for picture in photographs()
            for top in range(0, picture.shape[0] - SIDE + 1, SIDE)
            for left in range(0, picture.shape[1] - SIDE + 1, SIDE)
        ]
    )[..., np.newaxis]
    name, _, pool = request.variant.partition("-")
    examples = Examples(x=tiles, y=filtered(tiles, name, pooled=bool(pool)))
    source = "scikit-learn's photographs"
    return Dataset(train=examples, validation=examples, test=examples, source=source)


def filtered(images: Array, kernel: str, *, pooled: bool) -> Array:
    """Filter with NumPy: images (n, h, w, 1) to (n, h - 2, w - 2, 1), halved if pooled."""
    weights = np.array(KERNELS[kernel], dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    out = np.maximum(np.einsum("nhwcij,ij->nhwc", windows, weights), 0)
    if not pooled:
        return np.asarray(out)
    n, h, w, c = out.shape
    return np.asarray(out.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4)))


def network(kernel: str, pooled: bool, keras: Any) -> Any:
    layers = keras.layers
    weights = np.array(KERNELS[kernel], dtype=np.float32)[..., np.newaxis, np.newaxis]
    convolution = layers.Conv2D(
        1,
        3,
        activation="relu",
        use_bias=False,
        trainable=False,
        kernel_initializer=keras.initializers.Constant(weights),
    )
    pooling = [layers.MaxPooling2D(2)] if pooled else []
    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), convolution, *pooling])


def all_tiles(data: Dataset) -> Array:
    inputs: Array = data.test.x
    return inputs


VARIANTS: dict[str, Callable[[Any], Any]] = {
    f"{name}-pool" if pooled else name: partial(network, name, pooled)
    for name in KERNELS
    for pooled in (False, True)
}

RECIPE = Recipe(
    name="filters",
    summary="a fixed 3x3 convolution (edge, sharpen or blur) with ReLU, and with 2x2 max pooling",
    dataset=dataset,
    variants=VARIANTS,
    default_variant="edge",
    head=REGRESSION,
    metrics=("mse", "mae"),
    schedules={},
    default_schedule="fixed",
    representative=all_tiles,
    golden_bases=8,
    # One step of the output, which for the edge filter reaches from 0 to about 5.
    bounds={name: Bounds(mae_vs_float=0.03, max_abs_vs_float=0.12) for name in VARIANTS},
)
