"""What a model should answer: reference outputs, promised accuracy, and what a source answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goldens:
    """Reference outputs for stated inputs.

    `inputs` (k, ...) and `outputs` (k, ...) are the model's int8; `float_outputs` the float model's
    reals and `truth` the true function's for the same inputs, None where there is none.
    `in_domain` (k,) says which inputs lie where `truth` was trained for. `labels` (k,) are classes.
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]
    float_outputs: NDArray[np.float32] | None
    truth: NDArray[np.float32] | None
    in_domain: NDArray[np.bool_] | None
    produced_by: str
    labels: NDArray[np.int16] | None = None

    def first(self, count: int) -> Goldens:
        """The first `count` of them."""
        arrays = ("inputs", "outputs", "float_outputs", "truth", "in_domain", "labels")
        held = {name: getattr(self, name) for name in arrays}
        return replace(
            self, **{name: all_[:count] for name, all_ in held.items() if all_ is not None}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An input whose output everybody knows, in the model's own unit: |output - y| <= within."""

    what: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Outputs of one source (a board, a host interpreter) for the same inputs: (k, ...)."""

    source: str
    outputs: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Accuracy a model's manifest promises, in the output's unit; None where it promises none."""

    mae_vs_float: float | None = None
    max_abs_vs_float: float | None = None
    mae_vs_truth: float | None = None
    max_abs_vs_truth: float | None = None
