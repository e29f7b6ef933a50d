"""Horses or humans, by five blocks of convolution and pooling."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from models.drawings import HORSES_AND_HUMANS, folder_for
from models.folders import read_set
from models.recipe import BINARY, Bounds, Dataset, Recipe, Request, Schedule
from models.training import first_images

STATE = Path(".hil") / "data"


def dataset(request: Request) -> Dataset:
    """Pictures of the variant's side from a folder with `horses` and `humans`, 0 to 1."""
    folder = folder_for(request, "horse-or-human", HORSES_AND_HUMANS, STATE)
    labels = tuple(HORSES_AND_HUMANS)
    side = int(request.variant)
    return read_set(folder, labels=labels, side=side, seed=request.seed, say=request.say)


def network(side: int, padding: str, filters: tuple[int, ...], units: int, keras: Any) -> Any:
    layers = keras.layers
    blocks = [
        layer
        for count in filters
        for layer in (
            layers.Conv2D(count, 3, padding=padding, activation="relu"),
            layers.MaxPooling2D(2),
        )
    ]
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            *blocks,
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(1),
        ]
    )


def rmsprop(keras: Any, steps: int) -> Any:
    return keras.optimizers.RMSprop(0.001)


def flip_and_shift(tf: Any, images: Any) -> Any:
    """Mirror and shift at random, by up to a twelfth of a side; seeded by the pipeline."""
    side = images.shape[1]
    margin = side // 12
    mirrored = tf.image.random_flip_left_right(images)
    padded = tf.pad(mirrored, [[0, 0], [margin] * 2, [margin] * 2, [0, 0]], "SYMMETRIC")
    return tf.image.random_crop(padded, tf.shape(images))


RECIPE = Recipe(
    name="horse_or_human",
    summary="horse or human: five blocks of Conv and pool, Dense, sigmoid",
    dataset=dataset,
    variants={
        # As the course has it: 1.7 MB of weights and 1.8 MB of arena, for the host only.
        "300": partial(network, 300, "valid", (16, 32, 64, 64, 64), 512),
        # Padded, so that the last block leaves more than one pixel: to flatten a single one is no
        # operator of its own, and code generators refuse what is then in its place.
        "96": partial(network, 96, "same", (4, 8, 16, 32, 32), 64),
    },
    default_variant="96",
    head=BINARY,
    labels=tuple(HORSES_AND_HUMANS),
    metrics=("accuracy",),
    schedules={
        "fast": Schedule(optimizer=rmsprop, epochs=12, batch_size=16),
        "augmented": Schedule(optimizer=rmsprop, epochs=20, batch_size=16, augment=flip_and_shift),
    },
    representative=first_images,
    golden_bases=16,
    targets={"96": {"accuracy": 0.9}, "300": {"accuracy": 0.9}},
    bounds={name: Bounds(mae_vs_float=0.05, max_abs_vs_float=0.6) for name in ("96", "300")},
    folder="one folder of images for each class: horses, humans",
)
