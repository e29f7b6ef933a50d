"""Training a recipe's variant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.recipe import Array, Dataset, Examples, Recipe, Schedule

WHOLE_SET = 10_000
"""Sets up to this size are shuffled whole; of larger ones this many examples at a time."""

Progress = Callable[[int, int, float, float], None]
"""Called after each epoch: epoch from 1, epochs, loss, validation loss."""


class TrainingDiverged(ArithmeticError):
    """The loss stopped being a finite number."""

    def __init__(self, step: int, loss: float) -> None:
        self.step, self.loss = step, loss
        super().__init__(
            f"training diverged: loss is {loss} after step {step}. "
            "Lower the learning rate or look at the data."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained Keras model, and the losses after each epoch."""

    model: Any
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]


def train(
    tf: Any,
    recipe: Recipe,
    *,
    variant: str,
    schedule: str,
    seed: int,
    data: Dataset,
    progress: Progress,
) -> Trained:
    """Train one variant. The same seed gives the same weights on one machine, not across machines.

    Raises:
        TrainingDiverged: a loss was NaN or infinite.
    """
    keras = tf.keras
    plan = recipe.schedules[schedule]
    # Layer names are counted per process and end up in the files.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = recipe.variants[variant](keras)
    batches, steps = _training_batches(tf, data.train, plan, seed)
    model.compile(
        optimizer=plan.optimizer(keras, steps * plan.epochs),
        loss=recipe.loss,
        metrics=[name for name in recipe.metrics if name != recipe.loss],
        steps_per_execution=steps,
        # XLA takes longer to compile a network of this size than it saves.
        jit_compile=False,
    )
    # Variables made inside the first step would have it traced twice.
    model.optimizer.build(model.trainable_variables)
    callbacks = [_watch(keras, plan.epochs, steps, progress)]
    if plan.callbacks is not None:
        callbacks += plan.callbacks(keras)
    history = model.fit(
        batches,
        validation_data=_pairs(tf, data.validation).batch(256),
        epochs=plan.epochs,
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,  # The pipeline shuffles; Keras warns when asked to as well.
        verbose=0,
    ).history
    return Trained(model=model, loss=tuple(history["loss"]), val_loss=tuple(history["val_loss"]))


def predict(model: Any, x: Array, *, batch_size: int = 256) -> Array:
    """The Keras model's outputs, without the tracing that `model.predict` begins with."""
    parts = [
        model(x[i : i + batch_size], training=False).numpy() for i in range(0, len(x), batch_size)
    ]
    return np.concatenate(parts)


def _pairs(tf: Any, source: Any) -> Any:
    if isinstance(source, Examples):
        return tf.data.Dataset.from_tensor_slices((source.x, source.y))
    return source


def _training_batches(tf: Any, source: Any, plan: Schedule, seed: int) -> tuple[Any, int]:
    """Endless shuffled batches, and how many make an epoch."""
    if isinstance(source, Examples) and len(source.x) <= WHOLE_SET:
        count = len(source.x)
        batches = _passes(tf, source, seed).rebatch(plan.batch_size)
    else:
        pairs = _pairs(tf, source)
        count = int(pairs.cardinality())
        shuffled = pairs.shuffle(WHOLE_SET, seed=seed, reshuffle_each_iteration=True)
        batches = shuffled.repeat().batch(plan.batch_size)
    if count < 1:
        raise ValueError("the training set's size is unknown; use assert_cardinality")
    steps = math.ceil(count * plan.repeats / plan.batch_size)
    return batches.prefetch(tf.data.AUTOTUNE), steps


def _passes(tf: Any, examples: Examples, seed: int) -> Any:
    """The whole set again and again, in another order each time.

    One gather a pass: a pipeline that shuffles and batches example by example takes 10 us for each,
    which is more than a small network takes to train on it.
    """
    x, y = tf.constant(examples.x), tf.constant(examples.y)

    def one_pass(number: Any) -> tuple[Any, Any]:
        key = tf.stack([tf.constant(seed, tf.int64), number])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(examples.x)), seed=key)
        return tf.gather(x, order), tf.gather(y, order)

    return tf.data.Dataset.counter().map(one_pass)


def _watch(keras: Any, epochs: int, steps: int, progress: Progress) -> Any:
    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                raise TrainingDiverged(self.epoch * steps + batch + 1, loss)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            progress(epoch + 1, epochs, float(logs["loss"]), float(logs["val_loss"]))

    return Watch()
