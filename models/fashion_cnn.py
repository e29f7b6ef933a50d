"""Fashion-MNIST by convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

from models.images import FASHION_LABELS, fashion
from models.recipe import CLASSES, Bounds, Recipe, Schedule
from models.training import adam_with_cosine_decay, first_images

dataset = partial(fashion, channels=True)


def network(first: int, second: int, dropout: float, keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(first, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(second, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(128, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(10),
        ]
    )


RECIPE = Recipe(
    name="fashion_cnn",
    summary="Fashion-MNIST: Conv, pool, Conv, pool, Dense 128, Dense 10 with softmax",
    dataset=dataset,
    variants={
        "8": partial(network, 8, 16, 0.0),
        "16": partial(network, 16, 32, 0.25),
        "64": partial(network, 64, 64, 0.25),
    },
    default_variant="16",
    head=CLASSES,
    labels=FASHION_LABELS,
    metrics=("accuracy",),
    schedules={
        "fast": Schedule(
            optimizer=partial(adam_with_cosine_decay, 0.003), epochs=8, batch_size=128
        ),
        # As the course has it.
        "course": Schedule(
            optimizer=lambda keras, steps: keras.optimizers.Adam(), epochs=5, batch_size=32
        ),
    },
    representative=first_images,
    targets={"8": {"accuracy": 0.87}, "16": {"accuracy": 0.90}, "64": {"accuracy": 0.90}},
    bounds={name: Bounds(mae_vs_float=0.02, max_abs_vs_float=0.5) for name in ("8", "16", "64")},
    folder="the four IDX files of Fashion-MNIST",
)
