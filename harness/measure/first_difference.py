"""The first operator whose output on the board differs from the golden's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.apart import beyond
from harness.model.graph import Operator
from harness.text import shortened
from harness.tolerance import EXACT, Tolerance

SHOWN = 5
LONGEST_NAME = 71
"""Of one that fits its line: the converter joins the names of all that it merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element that differs: its index, the board's value and the golden's."""

    at: tuple[int, ...]
    board: float
    golden: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDifference:
    """The first operator whose output differs between a board and the golden.

    `kind` names all operators that the board's step stands for; `index`, `name`, `dtype` and
    `shape` are of the one whose output it leaves. `first` are the first of the `differing`
    elements of `elements`, `max_abs` the largest difference, in LSB for integers. `second` is by
    how many elements the board differs from LiteRT, which may itself differ from the golden.
    `input` is the index of the check input that showed it; None where another one was given.
    """

    index: int
    kind: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    differing: int
    elements: int
    max_abs: float
    first: tuple[Element, ...]
    golden: str
    second: int | None = None
    input: int | None = None

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        lines = [
            f"first difference: operator {self.index}, {self.kind}",
            f"  output {shortened(self.name, LONGEST_NAME)}",
            f"  {self.dtype} {size}: {self.differing} of {self.elements} elements differ from "
            f"{self.golden}, by up to {self.max_abs:g}",
        ]
        if self.input is not None:
            lines.insert(1, f"  with check input {self.input}")
        if self.second is not None:
            lines.append(f"  second opinion: {self.second} differ from LiteRT")
        lines += [
            f"  {list(item.at)}: board {item.board:g}, golden {item.golden:g}"
            for item in self.first
        ]
        return "\n".join(lines)


def difference_at(
    operator: Operator,
    kind: str,
    board: NDArray[Any],
    golden: NDArray[Any],
    *,
    source: str,
    second: NDArray[Any] | None = None,
    place: int | None = None,
    allowed: Tolerance = EXACT,
) -> FirstDifference:
    """Compare one operator's outputs; NaNs with the same bits are equal, by `allowed` all are.

    Args:
        kind: the operators that the board's step stands for.
        board, golden, second: the operator's output, all of one shape and dtype; the board's, the
            golden's, and LiteRT's if known.
        source: what made the golden.
        place: index of the check input.
    """
    wrong = _unlike(board, golden) if allowed == EXACT else beyond(board, golden, allowed)
    places = np.argwhere(wrong)
    apart = np.abs(board.astype(np.float64) - golden.astype(np.float64))[wrong]
    return FirstDifference(
        index=operator.index,
        kind=kind,
        name=operator.name,
        dtype=operator.dtype,
        shape=operator.shape,
        differing=len(places),
        elements=golden.size,
        max_abs=float(apart.max()) if apart.size else 0.0,
        first=tuple(
            Element(
                at=tuple(int(axis) for axis in place),
                board=float(board[tuple(place)]),
                golden=float(golden[tuple(place)]),
            )
            for place in places[:SHOWN]
        ),
        golden=source,
        second=None if second is None else int(np.count_nonzero(_unlike(board, second))),
        input=place,
    )


def _unlike(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the bits differ; so 0.0 and -0.0 differ."""
    bits = np.dtype(f"u{one.dtype.itemsize}")
    unlike: NDArray[np.bool_] = one.view(bits) != other.view(bits)
    return unlike
