"""Training pictures as a network sees them: each as it is, and what augmentation makes of it."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from models.quiet import import_tensorflow
from models.recipe import Array, DataError, Examples, Recipe, Request

ROWS, COLUMNS = 4, 6


def sheet(recipe: Recipe, *, request: Request, schedule: str) -> Array:
    """The first training pictures as one, bytes (height, width, channels), a row for each.

    A row begins with the picture as it is; with a schedule that augments, what it makes of the
    picture follows, drawn anew each time by the request's seed.

    Raises:
        DataError: the data are absent, or no pictures.
    """
    data = recipe.dataset(request)
    tf = import_tensorflow()
    tf.keras.utils.set_random_seed(request.seed)
    shown = _first(data.train)
    if shown.ndim != 4:
        raise DataError(f"the inputs of {recipe.name} are no pictures: shape {shown.shape[1:]}")
    plan = recipe.schedules.get(schedule)
    columns = [shown]
    if plan is not None and plan.augment is not None:
        columns += [plan.augment(tf, shown).numpy() for _ in range(1, COLUMNS)]
    # Column, row, height, width, channel: rows of columns side by side.
    pictures = np.stack(columns).transpose(1, 2, 0, 3, 4)
    rows, height, count, width, channels = pictures.shape
    return _as_bytes(pictures.reshape(rows * height, count * width, channels))


def _first(train: Any) -> Array:
    if isinstance(train, Examples):
        return train.x[:ROWS]
    return np.stack([x for x, _ in islice(train.as_numpy_iterator(), ROWS)])


def _as_bytes(values: Array) -> Array:
    low, high = values.min(), values.max()
    scaled: Array = np.rint(255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8)
    return scaled
