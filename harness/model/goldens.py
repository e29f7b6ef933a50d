"""Reference outputs of a model, the accuracy it promises, and outputs to compare with them."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goldens:
    """Reference outputs for stated inputs.

    `inputs` (k, ...) and `outputs` (k, ...) are int8. For the same inputs `float_outputs` are the
    float model's outputs and `truth` the true function's, in real numbers; None if there are none.
    `in_domain` (k,) says which inputs lie in the domain that the model was trained for. `labels`
    (k,) are class numbers.
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]
    float_outputs: NDArray[np.float32] | None
    truth: NDArray[np.float32] | None
    in_domain: NDArray[np.bool_] | None
    produced_by: str
    labels: NDArray[np.int16] | None = None

    def first(self, count: int) -> Goldens:
        """The first `count` goldens."""
        arrays = ("inputs", "outputs", "float_outputs", "truth", "in_domain", "labels")
        held = {name: getattr(self, name) for name in arrays}
        return replace(
            self, **{name: all_[:count] for name, all_ in held.items() if all_ is not None}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An input with a known output, in the model's own unit: |output - y| <= within."""

    what: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    within: float

    def __post_init__(self) -> None:
        if not self.within > 0:
            raise ValueError(f"probe {self.what}: within must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Outputs (k, ...) of one source, a board or a host interpreter, for the inputs compared."""

    source: str
    outputs: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far int8 outputs may be from the float32 model and from the truth, in the output's unit.

    Mean and largest absolute error; None where nothing is promised. Errors against the truth count
    only for inputs in the domain that the model was trained for.
    """

    mae_vs_float: float | None = None
    max_abs_vs_float: float | None = None
    mae_vs_truth: float | None = None
    max_abs_vs_truth: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in astuple(self) if value is not None]
        if any(not value > 0 for value in given):
            raise ValueError(f"bounds must be above 0: {given}")


def derive(bases: NDArray[Any], count: int) -> NDArray[Any]:
    """`count` images (count, height, width, channels) out of fewer, of the same dtype.

    Image i is base i % k, mirrored left to right in every other round through the bases, and rolled
    by 3 rows and 5 columns more in every second one. Rounds are counted from 0.
    """
    images = []
    for index in range(count):
        turn, base = divmod(index, len(bases))
        image = bases[base][:, ::-1] if turn % 2 else bases[base]
        images.append(np.roll(image, (3 * (turn // 2), 5 * (turn // 2)), axis=(0, 1)))
    return np.stack(images)
