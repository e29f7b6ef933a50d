"""What a model file declares. One module of `models/` with a `RECIPE` is one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Build = Callable[[Any], Any]
"""From the keras module to an unbuilt-batch model, that is one whose Input has no batch size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Inputs and expected outputs, first axis the example. Refuses NaN and infinity."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not len(self.x):
            raise ValueError(f"{len(self.x)} inputs and {len(self.y)} expected outputs")
        for name, values in (("x", self.x), ("y", self.y)):
            wrong = np.argwhere(~np.isfinite(values))
            if len(wrong):
                at = tuple(int(i) for i in wrong[0])
                raise ValueError(f"{name}{list(at)} is {values[at]}; training data must be finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The three parts of a data set.

    `train` and `validation` are `Examples`, or a `tf.data.Dataset` of known cardinality whose
    elements are single `(x, y)` pairs, for sets that do not fit in memory or are augmented.
    `test` is in memory: every host interpreter walks through it.
    """

    train: Any
    validation: Any
    test: Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and with what a variant is trained.

    `optimizer` gets the keras module and the total number of steps, for decay schedules.
    `repeats` passes over the training set make one epoch. Steps are dispatched from Python one
    epoch at a time, which changes no arithmetic.
    """

    optimizer: Callable[[Any, int], Any]
    epochs: int
    batch_size: int
    repeats: int = 1
    callbacks: Callable[[Any], list[Any]] | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.repeats) < 1:
            raise ValueError("epochs, batch_size and repeats must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far the int8 model may be from the float32 model and from the truth, in its own unit.

    The first pair counts over every golden input, the second over those inside the recipe's domain.
    """

    mae_vs_float: float
    max_abs_vs_float: float
    mae_vs_truth: float | None = None
    max_abs_vs_truth: float | None = None

    def __post_init__(self) -> None:
        given = (
            self.mae_vs_float,
            self.max_abs_vs_float,
            self.mae_vs_truth,
            self.max_abs_vs_truth,
        )
        if any(value is not None and not value > 0 for value in given):
            raise ValueError(f"bounds must be above 0: {given}")
        if (self.mae_vs_truth is None) != (self.max_abs_vs_truth is None):
            raise ValueError("bounds against the truth come as a pair")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model: data, networks, schedules and what its int8 form must achieve.

    `dataset` gets the seed. `representative` picks the inputs that calibrate int8, first axis
    the example. `metrics` are names from `METRICS`, taken on the test set for every converted form.
    `golden_count` inputs are sampled from the test set unless the input is one int8 element: then
    all 256 are taken. `modules` names further modules whose source belongs to the recipe.
    """

    name: str
    summary: str
    dataset: Callable[[int], Dataset]
    variants: Mapping[str, Build]
    default_variant: str
    schedules: Mapping[str, Schedule]
    representative: Callable[[Dataset], Array]
    loss: str
    metrics: tuple[str, ...]
    bounds: Mapping[str, Bounds]
    truth: Callable[[Array], Array] | None = None
    domain: tuple[float, float] | None = None
    default_schedule: str = "fast"
    default_seed: int = 1
    golden_count: int = 256
    modules: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.default_variant not in self.variants:
            raise ValueError(f"{self.name}: no variant {self.default_variant}")
        if self.default_schedule not in self.schedules:
            raise ValueError(f"{self.name}: no schedule {self.default_schedule}")
        if set(self.bounds) != set(self.variants):
            raise ValueError(f"{self.name}: bounds are stated for {sorted(self.bounds)}")
        unknown = set(self.metrics) - set(METRICS)
        if unknown:
            raise ValueError(f"{self.name}: unknown metrics {sorted(unknown)}")
        if (self.truth is None) != (self.domain is None):
            raise ValueError(f"{self.name}: truth and domain come together")

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
