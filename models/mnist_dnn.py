"""Handwritten digits by Dense layers."""

from __future__ import annotations

from functools import partial
from typing import Any

from models.images import digits, mnist
from models.recipe import CLASSES, Bounds, Dataset, Recipe, Request, Schedule
from models.training import adam_with_cosine_decay, first_images, stop_at_accuracy

STOP_AT = 0.999


def dataset(request: Request) -> Dataset:
    """scikit-learn's digits of 8x8 pixels, or MNIST's of 28x28, as the variant says."""
    return mnist(request) if request.variant.startswith("28x28") else digits(request)


def network(side: int, units: int, keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side)),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(10),
        ]
    )


RECIPE = Recipe(
    name="mnist_dnn",
    summary="handwritten digits: Flatten, Dense with ReLU, Dense 10 with softmax",
    dataset=dataset,
    variants={
        "8x8-128": partial(network, 8, 128),
        "28x28-128": partial(network, 28, 128),
        "28x28-512": partial(network, 28, 512),
    },
    default_variant="8x8-128",
    head=CLASSES,
    labels=tuple("0123456789"),
    metrics=("accuracy",),
    schedules={
        "fast": Schedule(
            optimizer=partial(adam_with_cosine_decay, 0.01),
            epochs=20,
            batch_size=64,
            callbacks=partial(stop_at_accuracy, STOP_AT),
        ),
    },
    representative=first_images,
    targets={
        "8x8-128": {"accuracy": 0.95},
        "28x28-128": {"accuracy": 0.97},
        "28x28-512": {"accuracy": 0.97},
    },
    bounds={
        name: Bounds(mae_vs_float=0.01, max_abs_vs_float=0.4)
        for name in ("8x8-128", "28x28-128", "28x28-512")
    },
    folder="the four IDX files of MNIST, for the 28x28 variants",
)
