"""What a data set says the answers are: classes, or expected outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.tensor import TensorSpec, dequantize
from harness.text import printable

CLASSES, VALUES = "classes", "values"
"""What answers can be: the number of a class, or the output itself."""

TASKS = (CLASSES, VALUES)
_STATE_IT = "Say which they are: --task classes or --task values."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """The answers of n samples, as far as they are known.

    `labels` (n,) are class numbers; `expected` (n, elements) are outputs in the model's unit. At
    most one of them is given. `classes` names the classes, and is empty where nobody did.
    """

    labels: NDArray[np.int64] | None = None
    expected: NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()

    def first(self, count: int) -> Targets:
        """Those of the first `count` samples."""
        return self.picked(slice(count))

    def picked(self, which: Any) -> Targets:
        """Those of some samples: a slice, or indices."""
        return Targets(
            labels=None if self.labels is None else self.labels[which],
            expected=None if self.expected is None else self.expected[which],
            classes=self.classes,
        )


UNKNOWN = Targets()


def class_count(output: TensorSpec) -> int:
    """Classes that an output can name: two by a single probability."""
    return max(2, output.elements)


def targets_of(
    values: NDArray[Any],
    output: TensorSpec,
    *,
    source: str,
    classes: tuple[str, ...] = (),
    task: str | None = None,
    decides: bool = False,
) -> Targets:
    """Answers from an array of n rows.

    Whole numbers, one for each sample, are classes where the model has several outputs; rows of as
    many numbers as the model has outputs are expected outputs, or classes where in each row one
    number is 1 and all others are 0. Text names classes.

    Args:
        classes: names of the classes, in the order of their numbers.
        task: `classes` or `values`; None to decide by the rules above.
        decides: the model's single output is a probability, so that 0 and 1 are classes.

    Raises:
        TensorError: the answers fit neither, or both.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "US":
        return _named(values, output, source=source, classes=classes)
    if values.dtype.kind not in "biuf":
        raise TensorError(f"{source}: answers of type {values.dtype} are neither numbers nor text")
    _refuse_not_finite(values, source)
    rows = values.reshape(len(values), -1)
    if task == VALUES:
        return _expected(rows, output, source)
    if rows.shape[1] > 1:
        return _rows(rows, output, source=source, classes=classes, task=task)
    whole = bool(np.array_equal(values, np.rint(values)))
    if task == CLASSES or (whole and output.elements > 1):
        return _numbered(values, output, source=source, classes=classes)
    if output.elements > 1:
        raise TensorError(
            f"{source}: one number that is not whole for each sample, while the model has "
            f"{output.elements} outputs"
        )
    if whole and set(np.unique(values).tolist()) <= {0, 1}:
        if decides:
            return _numbered(values, output, source=source, classes=classes)
        raise TensorError(f"{source}: answers of 0 and 1 may be classes or outputs", hint=_STATE_IT)
    return _expected(rows, output, source)


def _rows(
    rows: NDArray[Any],
    output: TensorSpec,
    *,
    source: str,
    classes: tuple[str, ...],
    task: str | None,
) -> Targets:
    """One row of numbers for each sample."""
    if rows.shape[1] != output.elements:
        raise TensorError(
            f"{source}: {rows.shape[1]} numbers for each sample, while the model has "
            f"{output.elements} outputs"
        )
    one_hot = bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())
    if one_hot:
        return _numbered(rows.argmax(axis=1), output, source=source, classes=classes)
    if task == CLASSES:
        raise TensorError(f"{source}: rows of several numbers that are not one 1 and zeros else")
    return _expected(rows, output, source)


def _expected(rows: NDArray[Any], output: TensorSpec, source: str) -> Targets:
    if rows.shape[1] != output.elements:
        raise TensorError(
            f"{source}: {rows.shape[1]} numbers for each sample, while the model has "
            f"{output.elements} outputs"
        )
    if output.quantized and rows.dtype == np.dtype(output.dtype):
        return Targets(expected=dequantize(rows, output))
    return Targets(expected=rows.astype(np.float32))


def _numbered(
    values: NDArray[Any], output: TensorSpec, *, source: str, classes: tuple[str, ...]
) -> Targets:
    most = class_count(output)
    wrong = np.flatnonzero((values < 0) | (values >= most) | (values != np.rint(values)))
    if len(wrong):
        raise TensorError(
            f"{source}: sample {wrong[0]} is of class {values[wrong[0]]:g}, while the model has "
            f"classes 0 to {most - 1}"
        )
    return Targets(labels=values.astype(np.int64), classes=classes)


def _named(
    values: NDArray[Any], output: TensorSpec, *, source: str, classes: tuple[str, ...]
) -> Targets:
    """Text: names that are known, numbers, or names in the order of the alphabet."""
    texts = [str(value).strip() for value in values.ravel()]
    found = sorted(set(texts))
    numbers = class_numbers(found, classes, most=class_count(output), source=source)
    labels = np.array([numbers[text] for text in texts], dtype=np.int64)
    return Targets(labels=labels, classes=class_names(numbers, classes))


def class_numbers(
    names: list[str], known: tuple[str, ...], *, most: int, source: str
) -> dict[str, int]:
    """The number of each class by its name.

    Names that the model's manifest has count as it does, whole numbers as themselves; all others
    are counted in the order of the alphabet, as Keras does.

    Raises:
        TensorError: more classes than the model has.
    """
    places = {name.casefold(): number for number, name in enumerate(known)}
    if all(name.casefold() in places for name in names):
        return {name: places[name.casefold()] for name in names}
    if all(name.isascii() and name.isdigit() and len(name) < 6 for name in names):
        numbers = {name: int(name) for name in names}
    else:
        numbers = {name: number for number, name in enumerate(sorted(names))}
    beyond = [name for name, number in numbers.items() if number >= most]
    if beyond:
        raise TensorError(
            f"{source}: class {printable(beyond[0])!r} is number {numbers[beyond[0]]}, while the "
            f"model has classes 0 to {most - 1}"
        )
    return numbers


def class_names(numbers: dict[str, int], known: tuple[str, ...]) -> tuple[str, ...]:
    """Names in the order of their numbers; those of the manifest where it has any."""
    if known:
        return known
    by_number = {number: name for name, number in numbers.items()}
    count = 1 + max(by_number)
    return tuple(printable(by_number.get(number, str(number))) for number in range(count))


def _refuse_not_finite(values: NDArray[Any], source: str) -> None:
    if values.dtype.kind != "f":
        return
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not good.all():
        raise TensorError(
            f"{source}: the answer of sample {int(np.argmin(good))} is NaN or infinite"
        )
