"""Comparing a board's outputs with the golden, and finding the cause of a difference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.apart import (
    columns,
    differing,
    gap,
    tolerance_text,
    tolerances,
)
from harness.measure.outputs import OutputResult, output_results, wrong_names
from harness.model.defined import ALL, Defined
from harness.model.goldens import Bounds, Reading
from harness.model.samples import Layout
from harness.model.tensor import TensorSpec, activate, dequantize
from harness.tolerance import EXACT, Stated, Tolerance


class Verdict(str, Enum):
    """Verdict of a comparison: equal and accurate, different bytes, or equal but inaccurate."""

    PASS = "pass"
    MISMATCH = "mismatch"
    INACCURATE = "inaccurate"


class Culprit(str, Enum):
    """The cause of a difference: the one source that disagrees with all others."""

    NONE = "none"
    CONVERTER = "converter"
    GOLDEN = "golden"
    KERNEL = "kernel"
    WIRE = "wire"
    BOARD = "board"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two readings are apart: samples with any difference, largest element's in LSB."""

    first: str
    second: str
    mismatches: int
    max_abs_lsb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Mean and largest absolute error of the board's outputs; None where there is no reference."""

    mae_vs_float: float | None = None
    max_abs_vs_float: float | None = None
    mae_vs_truth: float | None = None
    max_abs_vs_truth: float | None = None

    def broken(self, bounds: Bounds) -> tuple[str, ...]:
        """Names of the bounds that do not hold. A bound nothing was measured for is broken."""
        names = ("mae_vs_float", "max_abs_vs_float", "mae_vs_truth", "max_abs_vs_truth")
        return tuple(name for name in names if self._breaks(bounds, name))

    def _breaks(self, bounds: Bounds, name: str) -> bool:
        limit, value = getattr(bounds, name), getattr(self, name)
        return limit is not None and not (value is not None and value <= limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """How well a classifier does, as shares of all samples.

    accuracy: right answers of the board. golden_accuracy: of the golden. agreement: both give the
    same class. float_agreement: board and float model do; None without a float model.
    """

    accuracy: float
    golden_accuracy: float
    agreement: float
    float_agreement: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Result of comparing a board with its references.

    `mismatches` counts samples in which any output is further from the golden than the `tolerance`
    allows, `within` those in which one differs and none that far. `outputs` has a result for each
    output. `differences` holds every pair of readings, the board's first. `first_bad` is the index
    of the first sample that is a mismatch. `classes` is None where there are no labels. Accuracy
    and classes are of the first output. `inputs` says where the inputs are from, if it was said.
    `attribution` says which operator differs, if that was looked for.
    """

    samples: int
    reference: str
    mismatches: int
    max_abs_lsb: float
    first_bad: int | None
    accuracy: Accuracy
    broken_bounds: tuple[str, ...]
    differences: tuple[Difference, ...]
    verdict: Verdict
    culprit: Culprit
    classes: Classes | None = None
    outputs: tuple[OutputResult, ...] = ()
    tolerance: str = ""
    within: int = 0
    inputs: str = ""
    attribution: str = ""

    @property
    def max_ulp(self) -> int | None:
        """The largest difference from the golden in steps of float32; None without such outputs."""
        known = [output.max_ulp for output in self.outputs if output.max_ulp is not None]
        return max(known, default=None)

    @property
    def wrong_outputs(self) -> tuple[str, ...]:
        """Names of the outputs, if there are several, that differ by more than is allowed."""
        return tuple(wrong_names(self.outputs)) if len(self.outputs) > 1 else ()

    def __str__(self) -> str:
        whole = all(output.max_ulp is None for output in self.outputs)
        lines = [
            f"{self.verdict.value}: {self.mismatches} of {self.samples} samples differ from "
            f"{self.reference}, by up to {self.max_abs_lsb:g}{' LSB' if whole else ''}"
        ]
        if self.tolerance not in ("", str(EXACT)):
            lines.append(f"tolerance: {self.tolerance}; {self.within} differ within it")
        if len(self.outputs) > 1 or not whole:
            lines += [f"  {output}" for output in self.outputs]
        if self.inputs:
            lines.append(f"inputs: {self.inputs}")
        if self.first_bad is not None:
            lines.append(f"first differing sample: {self.first_bad}")
        if self.broken_bounds:
            lines.append(f"bounds not held: {', '.join(self.broken_bounds)} ({self.accuracy})")
        if self.culprit is not Culprit.NONE:
            lines.append(f"odd one out: {self.culprit.value}")
        if self.attribution:
            lines.append(self.attribution)
        lines += [
            f"  {item.first} / {item.second}: {item.mismatches} differ, up to {item.max_abs_lsb:g}"
            for item in self.differences
        ]
        return "\n".join(lines)


def _rows(outputs: NDArray[Any]) -> NDArray[np.float64]:
    return outputs.reshape(len(outputs), -1).astype(np.float64)


def _shapes(reading: Reading) -> list[tuple[int, ...]]:
    return [column.shape for column in columns(reading.outputs)]


def difference(first: Reading, second: Reading, allowed: tuple[Tolerance, ...] = ()) -> Difference:
    """Compare two readings element by element, over all outputs.

    Args:
        allowed: of each output; nothing where none is given.

    Raises:
        ValueError: they hold different numbers of samples or elements.
    """
    if _shapes(first) != _shapes(second):
        raise ValueError(
            f"{first.source} has outputs of shape {first.outputs.shape}, "
            f"{second.source} of {second.outputs.shape}"
        )
    pairs = zip(columns(first.outputs), columns(second.outputs), strict=True)
    gaps = [gap(one, other) for one, other in pairs]
    return Difference(
        first=first.source,
        second=second.source,
        mismatches=len(differing(first.outputs, second.outputs, allowed)),
        # A maximum of Python's own would lose a NaN.
        max_abs_lsb=float(np.max([each.max(initial=0.0) for each in gaps])),
    )


def _errors(real: NDArray[Any], expected: NDArray[Any] | None) -> tuple[float | None, float | None]:
    if expected is None or len(expected) == 0:
        return None, None
    apart = gap(_rows(real), _rows(expected))
    return float(apart.mean()), float(apart.max())


def accuracy(
    real: NDArray[np.float32],
    *,
    float_outputs: NDArray[Any] | None,
    truth: NDArray[Any] | None,
    in_domain: NDArray[np.bool_] | None,
) -> Accuracy:
    """Errors against the float model (all samples) and the true function (samples in its domain).

    Args:
        real: outputs in the model's unit, shape (k, ...), as `float_outputs` and `truth`.
        in_domain: shape (k,); None for all.
    """
    mae_float, max_float = _errors(real, float_outputs)
    keep = slice(None) if in_domain is None else in_domain
    mae_truth, max_truth = _errors(real[keep], None if truth is None else truth[keep])
    return Accuracy(
        mae_vs_float=mae_float,
        max_abs_vs_float=max_float,
        mae_vs_truth=mae_truth,
        max_abs_vs_truth=max_truth,
    )


def top1(scores: NDArray[Any]) -> NDArray[np.intp]:
    """Class of each sample: of the highest score; of one score, 1 where it is above a half.

    Args:
        scores: (k, ...), probabilities or, if there are several for each sample, logits.
    """
    rows = _rows(scores)
    return rows.argmax(axis=1) if rows.shape[1] > 1 else (rows[:, 0] > 0.5).astype(np.intp)


def classify(
    board: NDArray[np.float32],
    golden: NDArray[np.float32],
    *,
    labels: NDArray[Any],
    float_outputs: NDArray[Any] | None,
) -> Classes:
    """How well a classifier does. All outputs are in the model's unit, (k, ...)."""
    ours, judge = top1(board), top1(golden)
    agrees = None if float_outputs is None else float(np.mean(ours == top1(float_outputs)))
    return Classes(
        accuracy=float(np.mean(ours == labels)),
        golden_accuracy=float(np.mean(judge == labels)),
        agreement=float(np.mean(ours == judge)),
        float_agreement=agrees,
    )


def attribute(
    *,
    board: Reading,
    golden: Reading,
    stored: Reading | None,
    repeated: tuple[Reading, ...],
    accurate: bool,
    allowed: tuple[Tolerance, ...] = (),
) -> Culprit:
    """Name the cause of a difference, by what each output is allowed.

    golden: the stored golden differs from the same interpreter run here and now, so that nobody
        can be trusted to judge.
    wire: asking again on another path (one sample at a time, WRITE, RUN, READ) gave the golden.
    board: asking again gave yet other bytes: its output is not a function of its input.
    kernel: the board says the same wrong bytes on every path: its kernels differ from TFLM's.
    converter: the board equals the golden, and the golden is too far from the float model.
    """
    if len(differing(board.outputs, golden.outputs, allowed)) == 0:
        return Culprit.NONE if accurate else Culprit.CONVERTER
    if stored is not None and len(differing(golden.outputs, stored.outputs, allowed)):
        return Culprit.GOLDEN
    for again in repeated:
        if len(differing(again.outputs, golden.outputs, allowed)) == 0:
            return Culprit.WIRE
        if len(differing(again.outputs, board.outputs)):
            return Culprit.BOARD
    return Culprit.KERNEL


def _part(reading: Reading, defined: Defined) -> Reading:
    return replace(reading, outputs=defined.of(reading.outputs))


def compare(
    *,
    spec: TensorSpec | Layout,
    board: Reading,
    golden: Reading,
    stated: Stated | None = None,
    others: tuple[Reading, ...] = (),
    stored: Reading | None = None,
    repeated: tuple[Reading, ...] = (),
    float_outputs: NDArray[Any] | None = None,
    truth: NDArray[Any] | None = None,
    in_domain: NDArray[np.bool_] | None = None,
    bounds: Bounds | None = None,
    labels: NDArray[Any] | None = None,
    activation: str | None = None,
    defined: Defined = ALL,
) -> Comparison:
    """Compare a board's outputs with the golden and everything else that is known.

    Args:
        spec: of the output tensor, or of all; gives LSBs their unit.
        golden: the judge: integers are equal bit for bit, floats within a few ulp, unless
            `stated` has another tolerance.
        stored: the goldens kept with the artifact, where the judge is their interpreter run now.
        others: further host interpreters, for the table of pairs only.
        repeated: the board asked again for all samples, by other paths.
        float_outputs, truth, in_domain: as for `accuracy`.
        labels: classes (k,) of a classifier's samples.
        activation: applied to the outputs before they are judged as reals or classes.
        defined: what of the outputs is compared.

    Raises:
        ValueError: readings of different shapes.
        WrongUse: what is stated does not fit the outputs.
    """
    gives = spec if isinstance(spec, Layout) else Layout(specs=(spec,))
    stated = stated or Stated()
    allowed = tolerances(stated, gives)
    board, golden = _part(board, defined), _part(golden, defined)
    stored = _part(stored, defined) if stored else None
    repeated = tuple(_part(reading, defined) for reading in repeated)
    others = tuple(_part(reading, defined) for reading in others)
    to_golden = difference(board, golden, allowed)
    first = gives.specs[0]
    real = activate(dequantize(gives.columns(board.outputs)[0], first), activation)
    errors = accuracy(
        real,
        float_outputs=float_outputs,
        truth=truth,
        in_domain=in_domain,
    )
    broken = errors.broken(bounds or Bounds())
    readings = (board, golden, *((stored,) if stored else ()), *repeated, *others)
    bad = differing(board.outputs, golden.outputs, allowed)
    verdict = Verdict.MISMATCH if len(bad) else Verdict.INACCURATE if broken else Verdict.PASS
    return Comparison(
        samples=len(board.outputs),
        reference=golden.source,
        mismatches=to_golden.mismatches,
        max_abs_lsb=to_golden.max_abs_lsb,
        first_bad=int(bad[0]) if len(bad) else None,
        accuracy=errors,
        broken_bounds=broken,
        differences=tuple(difference(a, b) for a, b in combinations(readings, 2)),
        outputs=output_results(board.outputs, golden.outputs, gives, allowed),
        tolerance=tolerance_text(allowed, stated, gives, defined),
        within=len(differing(board.outputs, golden.outputs)) - len(bad),
        verdict=verdict,
        culprit=attribute(
            board=board,
            golden=golden,
            stored=stored,
            repeated=repeated,
            accurate=not broken,
            allowed=allowed,
        ),
        classes=None
        if labels is None
        else classify(
            real,
            activate(dequantize(gives.columns(golden.outputs)[0], first), activation),
            labels=labels,
            float_outputs=float_outputs,
        ),
    )
