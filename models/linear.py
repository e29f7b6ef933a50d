"""One neuron learns y = 2x - 1 from six points, as the first lesson of a course has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.recipe import (
    REGRESSION,
    Array,
    Bounds,
    Dataset,
    Examples,
    Probe,
    Recipe,
    Request,
    Schedule,
)

X = np.array([[-1], [0], [1], [2], [3], [4]], dtype=np.float32)
FAR = 10.0
"""The input that the course asks a prediction for: far outside of the training data."""


def line(x: Array) -> Array:
    return 2 * x - 1


def dataset(request: Request) -> Dataset:
    """The six points for training; for tests the range up to the course's question."""
    learned = Examples(x=X, y=line(X))
    asked = np.linspace(-1, FAR, 256, dtype=np.float32)[:, np.newaxis]
    return Dataset(train=learned, validation=learned, test=Examples(x=asked, y=line(asked)))


def one_neuron(keras: Any) -> Any:
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


def two_layers(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((1,)), layers.Dense(2), layers.Dense(1)])


def sgd(keras: Any, steps: int) -> Any:
    return keras.optimizers.SGD(0.01)


def gradient_tape(tf: Any, model: Any, optimizer: Any, batches: Any) -> dict[str, list[Any]]:
    """The loop written out: forward, loss, gradients, step; keeps loss and weights after each."""

    @tf.function  # type: ignore[untyped-decorator]
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    # Variables made inside the first step would have it traced twice.
    optimizer.build(model.trainable_variables)
    losses, weights = [], []
    for x, y in batches:
        losses.append(float(step(x, y)))
        weights.append([round(float(w), 6) for v in model.trainable_variables for w in np.ravel(v)])
    return {"loss": losses, "weights": weights}


def representative(data: Dataset) -> Array:
    """The range of the test set, since int8 saturates outside of the calibrated range."""
    inputs: Array = data.test.x
    return inputs


RECIPE = Recipe(
    name="linear",
    summary="y = 2x - 1 from six points, one Dense neuron",
    dataset=dataset,
    variants={"1": one_neuron, "2-1": two_layers},
    default_variant="1",
    head=REGRESSION,
    metrics=("mse", "mae"),
    schedules={
        # The course's 500 epochs of one step each, dispatched ten at a time.
        "fast": Schedule(optimizer=sgd, epochs=50, batch_size=6, repeats=10),
        "tape": Schedule(optimizer=sgd, epochs=500, batch_size=6, loop=gradient_tape),
    },
    default_schedule="tape",
    representative=representative,
    truth=line,
    domain=(-1.0, FAR),
    # An output step is 0.086: half of one is lost by rounding, more by that of the input.
    bounds={
        "1": Bounds(
            mae_vs_float=0.1, max_abs_vs_float=0.2, mae_vs_truth=0.15, max_abs_vs_truth=0.3
        ),
        "2-1": Bounds(
            mae_vs_float=0.15, max_abs_vs_float=0.3, mae_vs_truth=0.2, max_abs_vs_truth=0.4
        ),
    },
    probes=(Probe(what="prediction at x = 10", x=(FAR,), y=(19.0,), within=0.4),),
)
