"""What a recipe declares. Every module of `models/` with a `RECIPE` is a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a recipe is written with comes from here.
from harness.model.goldens import Bounds as Bounds
from harness.model.goldens import Probe as Probe
from harness.model.tensor import ACTIVATIONS

Array = NDArray[Any]


class DataError(ValueError):
    """Data that are missing or cannot be trained on; the text says what to do."""


Build = Callable[[Any], Any]
"""Builds a Keras model, given the keras module.

Its Input has no batch size. It ends at the logits if the recipe's head has an activation.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Inputs and expected outputs, first axis the example. Refuses NaN and infinity."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not len(self.x):
            raise DataError(f"{len(self.x)} inputs and {len(self.y)} expected outputs")
        for name, values in (("x", self.x), ("y", self.y)):
            wrong = np.argwhere(~np.isfinite(values))
            if len(wrong):
                at = tuple(int(i) for i in wrong[0])
                raise DataError(f"{name}{list(at)} is {values[at]}; training data must be finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a data set is needed for.

    `folder` is the user's folder of data, `weights` a file of pretrained weights. `say` shows a
    line of text to the user.
    """

    variant: str
    seed: int = 1
    folder: Path | None = None
    weights: Path | None = None
    say: Callable[[str], None] = print


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The three parts of a data set.

    `train` and `validation` are `Examples`, or a `tf.data.Dataset` of known cardinality whose
    elements are single `(x, y)` pairs, for sets that do not fit in memory or are augmented.
    `test` is in memory: every host interpreter runs all of it. `source` names the data set.
    """

    train: Any
    validation: Any
    test: Examples
    source: str = "built in"


def check_labels(labels: Array, classes: int, source: str) -> None:
    """Raise DataError for the first label outside 0 to `classes` - 1."""
    wrong = np.argwhere((labels < 0) | (labels >= classes))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise DataError(
            f"{source}: label {labels[at]} of example {at[0]} is not one of the "
            f"{classes} classes; {len(wrong)} such labels"
        )


Loop = Callable[[Any, Any, Any, Any], Mapping[str, list[Any]]]
"""A recipe's own training loop: from (tf, model, optimizer, batches) to lists with one entry for
each step, `loss` among them. `batches` yields exactly the steps to take.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a variant is trained.

    `optimizer` gets the keras module and the total number of steps, for decay schedules.
    `repeats` passes over the training set make one epoch. Python starts one epoch of steps at a
    time, which changes no result. `loop` replaces Keras's `fit`. `augment` gets the tf module and a
    batch of training inputs and returns the changed batch. `fine_tune` trains the same network
    afterwards; its `unfreeze` makes layers trainable first.
    """

    optimizer: Callable[[Any, int], Any]
    epochs: int
    batch_size: int
    repeats: int = 1
    callbacks: Callable[[Any], list[Any]] | None = None
    loop: Loop | None = None
    augment: Callable[[Any, Any], Any] | None = None
    unfreeze: Callable[[Any], None] | None = None
    fine_tune: Schedule | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.repeats) < 1:
            raise ValueError("epochs, batch_size and repeats must be at least 1")
        if self.loop is not None and self.callbacks is not None:
            raise ValueError("a loop of one's own calls no Keras callbacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The activation after the logits, and the loss to train with."""

    activation: str | None
    loss: str

    def __post_init__(self) -> None:
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is not one of {ACTIVATIONS}")


BINARY = Head(activation="sigmoid", loss="binary_crossentropy")
CLASSES = Head(activation="softmax", loss="sparse_categorical_crossentropy")
REGRESSION = Head(activation=None, loss="mse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model: data, networks, schedules and what its int8 form must achieve.

    `representative` selects the inputs that calibrate int8, first axis the example. `metrics` are
    names from `METRICS`, computed on the test set for every converted file. `golden_count` inputs
    are sampled from the test set, unless the input is one int8 element: then all 256 values are
    goldens. With `golden_bases` only that many inputs are stored, and the others are derived from
    them by mirroring and shifting. `folder` says what a folder named by the user must hold; None if
    the recipe reads no folder.

    The variants end at the logits; `head` has the activation after them. `heads` are the heads of
    variants that differ. `pretrained` sets the weights before training. `labels` names the
    classes. `targets` holds, by variant and metric, what int8 must reach on the test set. Probes
    hold for every variant. A network without trainable weights needs no schedule.
    """

    name: str
    summary: str
    dataset: Callable[[Request], Dataset]
    variants: Mapping[str, Build]
    default_variant: str
    schedules: Mapping[str, Schedule]
    representative: Callable[[Dataset], Array]
    head: Head
    metrics: tuple[str, ...]
    bounds: Mapping[str, Bounds]
    heads: Mapping[str, Head] = field(default_factory=dict)
    pretrained: Callable[[Any, Request], None] | None = None
    labels: tuple[str, ...] = ()
    targets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    truth: Callable[[Array], Array] | None = None
    domain: tuple[float, float] | None = None
    default_schedule: str = "fast"
    default_seed: int = 1
    golden_count: int = 256
    golden_bases: int | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.default_variant not in self.variants:
            raise ValueError(f"{self.name}: no variant {self.default_variant}")
        if self.schedules and self.default_schedule not in self.schedules:
            raise ValueError(f"{self.name}: no schedule {self.default_schedule}")
        if set(self.bounds) != set(self.variants):
            raise ValueError(f"{self.name}: bounds are stated for {sorted(self.bounds)}")
        for of in self.bounds.values():
            if None in (of.mae_vs_float, of.max_abs_vs_float):
                raise ValueError(f"{self.name}: bounds against the float model are missing")
            if (of.mae_vs_truth is None) != (of.max_abs_vs_truth is None):
                raise ValueError(f"{self.name}: bounds against the truth come as a pair")
        unknown = set(self.metrics) - set(METRICS)
        if unknown:
            raise ValueError(f"{self.name}: unknown metrics {sorted(unknown)}")
        strange = (set(self.targets) | set(self.heads)) - set(self.variants)
        if strange or any(set(of) - set(self.metrics) for of in self.targets.values()):
            raise ValueError(f"{self.name}: targets and heads name its variants and metrics")
        if (self.truth is None) != (self.domain is None):
            raise ValueError(f"{self.name}: truth and domain come together")

    def head_of(self, variant: str) -> Head:
        """The head of a variant."""
        return self.heads.get(variant, self.head)

    def model_id(self, variant: str) -> str:
        """The recipe's name, with the variant unless it is the default."""
        return self.name if variant == self.default_variant else f"{self.name}-{variant}"


def mse(predicted: Array, expected: Array) -> float:
    """Mean squared error."""
    return float(np.mean(np.square(predicted.astype(np.float64) - expected)))


def mae(predicted: Array, expected: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(predicted.astype(np.float64) - expected)))


def accuracy(predicted: Array, expected: Array) -> float:
    """Share of right answers: the highest of several scores, or one score above one half."""
    scores = predicted.reshape(len(predicted), -1)
    answers = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0] > 0.5
    return float(np.mean(answers == expected.reshape(-1)))


METRICS: Mapping[str, Callable[[Array, Array], float]] = MappingProxyType(
    {"mse": mse, "mae": mae, "accuracy": accuracy}
)
