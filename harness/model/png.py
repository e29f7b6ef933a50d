"""Feature maps and images as PNG files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SIDE = 96
"""Smaller maps are enlarged by a whole factor, so that every viewer shows single pixels."""
FRAME = 128


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of (height, width) grey values or (height, width, 3) colours."""
    from PIL import Image  # 0.05 s: only where a picture is written

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def shades(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values to 0 (the lowest) to 255 (the highest); all are 0 if they are equal."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    return np.rint(255 * scaled).astype(np.uint8)


def picture(image: NDArray[Any], least_side: int = LEAST_SIDE) -> NDArray[np.uint8]:
    """Pixels of an image (height, width), (height, width, 1) or (height, width, 3)."""
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    return _enlarged(shades(flat), least_side)


def grid(maps: NDArray[Any], least_side: int = LEAST_SIDE) -> NDArray[np.uint8]:
    """Pixels of all channels of (height, width, channels), side by side, on one scale of grey."""
    columns = math.ceil(math.sqrt(maps.shape[2]))
    tiles = [_enlarged(one, least_side) for one in np.moveaxis(shades(maps), 2, 0)]
    # In the frame's grey: black would look like one more map.
    tiles += [np.full_like(tiles[0], FRAME)] * (-len(tiles) % columns)
    framed = [np.pad(tile, 1, constant_values=FRAME) for tile in tiles]
    rows = [np.hstack(framed[at : at + columns]) for at in range(0, len(framed), columns)]
    return np.vstack(rows)


def _enlarged(pixels: NDArray[np.uint8], least_side: int) -> NDArray[np.uint8]:
    factor = math.ceil(least_side / min(pixels.shape[:2]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
