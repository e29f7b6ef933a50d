"""One output of a model on a board, beside the same output of the golden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.apart import beyond, columns, gap, ulps
from harness.model.samples import Layout
from harness.tolerance import Tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputResult:
    """How one output of a board compares with the golden's.

    `mismatches` counts samples with an element beyond the tolerance, `differing` those with any
    that is not equal. `max_abs` is the largest difference, in LSB for integers; `max_ulp` that in
    steps of float32, None for integers. `first_bad` is the first sample beyond the tolerance.
    """

    name: str
    dtype: str
    tolerance: Tolerance
    mismatches: int
    differing: int
    max_abs: float
    max_ulp: int | None
    first_bad: int | None

    def __str__(self) -> str:
        unit = " LSB" if self.max_ulp is None else f", {self.max_ulp} ulp"
        within = self.differing - self.mismatches
        return (
            f"output {self.name}: {self.mismatches} differ, up to {self.max_abs:g}{unit}"
            + (f"; {within} differ within the tolerance" if within else "")
            + f" ({self.tolerance})"
        )


def output_results(
    board: NDArray[Any],
    golden: NDArray[Any],
    layout: Layout,
    allowed: tuple[Tolerance, ...],
) -> tuple[OutputResult, ...]:
    """Compare samples (k, ...) of a board with the golden's, output by output."""
    parts = zip(layout.names, layout.specs, allowed, columns(board), columns(golden), strict=True)
    return tuple(
        _result(name, spec.dtype, tolerance, one, other)
        for name, spec, tolerance, one, other in parts
    )


def _result(
    name: str, dtype: str, tolerance: Tolerance, board: NDArray[Any], golden: NDArray[Any]
) -> OutputResult:
    bad = np.flatnonzero(beyond(board, golden, tolerance).any(axis=1))
    unequal = beyond(board, golden)
    apart = gap(board, golden)
    finite = np.isfinite(board) & np.isfinite(golden) if dtype == "float32" else None
    return OutputResult(
        name=name,
        dtype=dtype,
        tolerance=tolerance,
        mismatches=len(bad),
        differing=int(np.count_nonzero(unequal.any(axis=1))),
        max_abs=float(apart.max()) if apart.size else 0.0,
        max_ulp=None if finite is None else int(ulps(board, golden)[finite].max(initial=0)),
        first_bad=int(bad[0]) if len(bad) else None,
    )


def wrong_names(results: tuple[OutputResult, ...]) -> Iterator[str]:
    """Names of the outputs that differ by more than is allowed."""
    return (result.name for result in results if result.mismatches)
