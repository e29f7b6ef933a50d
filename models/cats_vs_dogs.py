"""Cats or dogs by transfer learning: a pretrained MobileNetV2 with a new head."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from models.drawings import CATS_AND_DOGS, folder_for
from models.folders import read_set
from models.quiet import quiet
from models.recipe import (
    BINARY,
    CLASSES,
    Bounds,
    DataError,
    Dataset,
    Recipe,
    Request,
    Schedule,
)
from models.training import adam_with_cosine_decay, first_images

SIDE = 96
ALPHA = 0.35
FINE_TUNED = 20
"""Number of layers that fine-tuning trains, the last ones."""
TOP_OF_BASE = "out_relu"
"""Keras's name of the last layer in published weights without a top."""
STATE = Path(".hil") / "data"


def dataset(request: Request) -> Dataset:
    """Pictures of 96x96 from a folder with `cats` and `dogs`, -1 to 1 as MobileNetV2 wants them."""
    folder = folder_for(request, "cats-vs-dogs", CATS_AND_DOGS, STATE)
    labels = tuple(CATS_AND_DOGS)
    return read_set(folder, labels=labels, side=SIDE, seed=request.seed, say=request.say, low=-1.0)


def network(units: int, keras: Any) -> Any:
    """A frozen base with a 1x1 convolution as head, which code generators accept after pooling."""
    layers = keras.layers
    base = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=ALPHA, include_top=False, weights=None
    )
    for layer in base.layers:
        layer.trainable = False
    pooled = layers.AveragePooling2D(SIDE // 32)(base.outputs[0])
    kept = layers.Dropout(0.2)(pooled)
    scores = layers.Conv2D(units, 1)(kept)
    return keras.Model(base.inputs[0], layers.Flatten()(scores))


def pretrained(model: Any, request: Request) -> None:
    """Fill the base from a Keras weights file, such as the one Keras publishes for ImageNet.

    Raises:
        DataError: the file cannot be read, or is of another network.
    """
    if request.weights is None:
        request.say(
            "no --weights FILE: the base starts from random weights, so this is no transfer "
            "learning and will be much less accurate"
        )
        for layer in model.layers:
            # A frozen random base would be of no use. Its batch statistics start from nothing, too,
            # and there are too few steps to average them as slowly as the published ones were.
            layer.trainable = True
            if hasattr(layer, "momentum"):
                layer.momentum = 0.9
        return
    import keras

    base = keras.Model(model.inputs[0], model.get_layer(TOP_OF_BASE).output)
    try:
        with quiet():
            base.load_weights(request.weights)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot use weights {request.weights}: {error}") from error


def unfreeze_top(model: Any) -> None:
    """Make the last layers trainable, except batch normalization, whose statistics are kept."""
    for layer in model.layers[-FINE_TUNED:]:
        layer.trainable = "BatchNormalization" not in type(layer).__name__


RECIPE = Recipe(
    name="cats_vs_dogs",
    summary="cat or dog: transfer learning from MobileNetV2 0.35 at 96x96",
    dataset=dataset,
    variants={"binary": partial(network, 1), "classes": partial(network, 2)},
    default_variant="binary",
    head=BINARY,
    heads={"classes": CLASSES},
    pretrained=pretrained,
    labels=tuple(CATS_AND_DOGS),
    metrics=("accuracy",),
    schedules={
        "fast": Schedule(
            optimizer=partial(adam_with_cosine_decay, 0.003),
            epochs=8,
            batch_size=16,
            fine_tune=Schedule(
                optimizer=partial(adam_with_cosine_decay, 0.0003),
                epochs=4,
                batch_size=16,
                unfreeze=unfreeze_top,
            ),
        ),
    },
    representative=first_images,
    golden_bases=16,
    bounds={
        name: Bounds(mae_vs_float=0.15, max_abs_vs_float=1.0) for name in ("binary", "classes")
    },
    folder="one folder of images for each class: cats, dogs",
)
