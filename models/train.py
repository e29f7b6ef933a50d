"""Training one variant of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from models.recipe import Array, Dataset, Examples, Loop, Recipe, Request, Schedule

WHOLE_SET_BYTES = 256 * 1024 * 1024
"""Sets in memory up to this size are shuffled as a whole, by one gather for each pass."""

SHUFFLED = 2000
"""Of larger sets this many examples are shuffled at a time."""

Progress = Callable[[int, int, float, float], None]
"""Called after each epoch: epoch from 1, epochs, loss, validation loss."""


class TrainingDiverged(ArithmeticError):
    """The loss, or another value that a loop returns, is not finite."""

    def __init__(self, step: int, value: float, what: str = "loss") -> None:
        self.step, self.value, self.what = step, value, what
        super().__init__(
            f"training diverged: {what} is {value} after step {step}. "
            "Lower the learning rate or look at the data."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained Keras model, and its history.

    `whole` ends with the recipe's activation. `epochs` holds Keras's history by name, one
    number for each epoch; `steps` what the recipe's own loop returned, one entry for each step.
    """

    whole: Any
    epochs: Mapping[str, list[float]]
    steps: Mapping[str, list[Any]]


def train(
    tf: Any,
    recipe: Recipe,
    *,
    request: Request,
    schedule: str,
    data: Dataset,
    progress: Progress,
) -> Trained:
    """Train one variant. The same seed gives the same weights on one machine, not across machines.

    Raises:
        TrainingDiverged: a loss was NaN or infinite. Keras reports the mean over an epoch's steps,
            so that the error names the last step of the epoch.
    """
    keras = tf.keras
    # Layer names are counted per process and end up in the files.
    keras.utils.clear_session()
    keras.utils.set_random_seed(request.seed)
    logits = recipe.variants[request.variant](keras)
    if recipe.pretrained is not None:
        recipe.pretrained(logits, request)
    head = recipe.head_of(request.variant)
    whole = logits
    if head.activation is not None:
        last = keras.layers.Activation(head.activation)
        whole = keras.Model(logits.inputs[0], last(logits.outputs[0]))
    metrics = [name for name in recipe.metrics if name != head.loss]
    run = _Run(
        tf=tf,
        model=whole,
        loss=head.loss,
        metrics=metrics,
        data=data,
        seed=request.seed,
        progress=progress,
    )
    plan = recipe.schedules.get(schedule)
    while plan is not None and whole.trainable_variables:
        if plan.unfreeze is not None:
            plan.unfreeze(whole)
        run.follow(plan)
        plan = plan.fine_tune
    return Trained(whole=whole, epochs=run.epochs, steps=run.steps)


class _Run:
    """One training, possibly with several schedules, and its history."""

    def __init__(
        self,
        *,
        tf: Any,
        model: Any,
        loss: str,
        metrics: list[str],
        data: Dataset,
        seed: int,
        progress: Progress,
    ) -> None:
        self._tf = tf
        self._model = model
        self._loss = loss
        self._metrics = metrics
        self._data = data
        self._seed = seed
        self._progress = progress
        self.epochs: dict[str, list[float]] = {}
        self.steps: dict[str, list[Any]] = {}

    def follow(self, plan: Schedule) -> None:
        """Train as the schedule says and add to the history."""
        batches, steps = _training_batches(self._tf, self._data.train, plan, self._seed)
        if plan.loop is not None:
            self._own_loop(plan.loop, plan, batches, steps)
        else:
            self._fit(plan, batches, steps)

    def _own_loop(self, loop: Loop, plan: Schedule, batches: Any, steps: int) -> None:
        total = steps * plan.epochs
        optimizer = plan.optimizer(self._tf.keras, total)
        kept = loop(self._tf, self._model, optimizer, batches.take(total))
        for name, values in kept.items():
            for step, entry in enumerate(values, 1):
                for value in np.ravel(entry):
                    if not math.isfinite(value):
                        raise TrainingDiverged(step, float(value), name)
            self.steps.setdefault(name, []).extend(values)

    def _fit(self, plan: Schedule, batches: Any, steps: int) -> None:
        keras, model = self._tf.keras, self._model
        model.compile(
            optimizer=plan.optimizer(keras, steps * plan.epochs),
            loss=self._loss,
            metrics=self._metrics,
            steps_per_execution=steps,
            # XLA takes longer to compile networks of these sizes than it saves.
            jit_compile=False,
        )
        # Variables made inside the first step would have it traced twice.
        model.optimizer.build(model.trainable_variables)
        callbacks = [_watch(keras, plan.epochs, steps, self._progress)]
        if plan.callbacks is not None:
            callbacks += plan.callbacks(keras)
        history = model.fit(
            batches,
            validation_data=_pairs(self._tf, self._data.validation).batch(256),
            epochs=plan.epochs,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,  # The pipeline shuffles; Keras warns when asked to as well.
            verbose=0,
        ).history
        for name, values in history.items():
            self.epochs.setdefault(name, []).extend(map(float, values))


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
    """Endless shuffled batches, and the number of batches in an epoch."""
    if isinstance(source, Examples) and source.x.nbytes + source.y.nbytes <= WHOLE_SET_BYTES:
        count = len(source.x)
        batches = _passes(tf, source, seed).rebatch(plan.batch_size)
    else:
        pairs = _pairs(tf, source)
        count = int(pairs.cardinality())
        shuffled = pairs.shuffle(SHUFFLED, seed=seed, reshuffle_each_iteration=True)
        batches = shuffled.repeat().batch(plan.batch_size)
    if count < 1:
        raise ValueError("the training set's size is unknown; use assert_cardinality")
    steps = math.ceil(count * plan.repeats / plan.batch_size)
    if plan.augment is not None:
        augment = partial(plan.augment, tf)
        batches = batches.map(lambda x, y: (augment(x), y), num_parallel_calls=tf.data.AUTOTUNE)
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
            if not math.isfinite(logs["val_loss"]):
                raise TrainingDiverged((epoch + 1) * steps, float(logs["val_loss"]), "val_loss")
            progress(epoch + 1, epochs, float(logs["loss"]), float(logs["val_loss"]))

    return Watch()
