"""Fashion-MNIST by Dense layers."""

from __future__ import annotations

from functools import partial
from typing import Any

from models.images import FASHION_LABELS, fashion
from models.recipe import CLASSES, Bounds, Recipe, Schedule
from models.training import adam_with_cosine_decay, first_images, stop_at_accuracy

STOP_AT = 0.95


def network(units: int, keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(10),
        ]
    )


RECIPE = Recipe(
    name="fashion_dnn",
    summary="Fashion-MNIST: Flatten, Dense 128 with ReLU, Dense 10 with softmax",
    dataset=fashion,
    variants={"128": partial(network, 128), "512": partial(network, 512)},
    default_variant="128",
    head=CLASSES,
    labels=FASHION_LABELS,
    metrics=("accuracy",),
    schedules={
        "fast": Schedule(
            optimizer=partial(adam_with_cosine_decay, 0.003),
            epochs=8,
            batch_size=256,
            callbacks=partial(stop_at_accuracy, STOP_AT),
        ),
        # As the course has it: plain Adam, until the accuracy is reached or five epochs are over.
        "course": Schedule(
            optimizer=lambda keras, steps: keras.optimizers.Adam(),
            epochs=5,
            batch_size=32,
            callbacks=partial(stop_at_accuracy, STOP_AT),
        ),
    },
    representative=first_images,
    targets={"128": {"accuracy": 0.87}, "512": {"accuracy": 0.87}},
    bounds={name: Bounds(mae_vs_float=0.01, max_abs_vs_float=0.4) for name in ("128", "512")},
    folder="the four IDX files of Fashion-MNIST",
)
