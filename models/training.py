"""Optimizers, callbacks and calibration inputs that several recipes use."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.recipe import Array, Dataset, Examples

CALIBRATION = 300
"""Number of inputs that calibrate int8: in trials more of them changed no scale by over 1 %."""


def adam_with_cosine_decay(rate: float, keras: Any, steps: int) -> Any:
    """Adam from `rate` down to 0 over all steps."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def stop_at_accuracy(accuracy: float, keras: Any) -> list[Any]:
    """A callback that ends training after the epoch whose training accuracy reaches `accuracy`."""

    class StopAt(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs["accuracy"] >= accuracy:
                self.model.stop_training = True

    return [StopAt()]


def first_images(data: Dataset) -> Array:
    """The first CALIBRATION training inputs; the sets are shuffled already."""
    if isinstance(data.train, Examples):
        return np.asarray(data.train.x[:CALIBRATION])
    return np.stack([np.asarray(x) for x, _ in data.train.take(CALIBRATION)])
