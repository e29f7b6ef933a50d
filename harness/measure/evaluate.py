"""A whole data set judged: metric, confusion, board against host, int8 against float."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.apart import columns, differing, gap, tolerance_text, tolerances
from harness.measure.compare import top1
from harness.measure.intervals import ConfidenceInterval, mean_interval, root_mean_interval, wilson
from harness.measure.streaming import Detections
from harness.model.defined import ALL, Defined
from harness.model.samples import Layout, to_reals
from harness.model.targets import Targets, class_count
from harness.model.tensor import TensorSpec, activate
from harness.tolerance import Stated, Tolerance

NOTHING_STATED = Stated()
_BLOCK = 1 << 16
"""Samples that are made real numbers at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good outputs are: `accuracy` of a classifier, `mae` and `rmse` where values are expected.

    None where the data set has no such answers. Errors are in the output's unit, those of a sample
    the mean over its elements.
    """

    accuracy: ConfidenceInterval | None = None
    mae: ConfidenceInterval | None = None
    rmse: ConfidenceInterval | None = None

    @property
    def metrics(self) -> tuple[tuple[str, ConfidenceInterval], ...]:
        """What is known, by name."""
        pairs = (("accuracy", self.accuracy), ("mae", self.mae), ("rmse", self.rmse))
        return tuple((name, interval) for name, interval in pairs if interval is not None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Confusion:
    """Samples by true class (row) and by the class that the board said (column).

    `names` are as many as rows.
    """

    counts: NDArray[np.int64]
    names: tuple[str, ...]

    def worst(self, most: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, class said, how often."""
        apart = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-apart, axis=None, kind="stable")[:most]
        pairs = [divmod(int(place), len(self.names)) for place in order]
        return [
            (self.names[true], self.names[said], int(apart[true, said]))
            for true, said in pairs
            if apart[true, said]
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgainstFloat:
    """The float model's score, and indices of samples on which quantization matters.

    Of a classifier `changed` get another class than from the float model; `lost` were right there
    and are wrong now, `gained` the other way round. Of expected values `lost` are samples whose
    error has grown by more than one step of the output, `gained` those where it shrank by as much.
    """

    score: Score
    changed: NDArray[np.intp]
    lost: NDArray[np.intp]
    gained: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedOutput:
    """What came of one output of a model over a data set.

    `disagreeing` are indices of samples whose output on the board is not that of the reference, by
    more than the tolerance allows; `other_class` counts those that get another class, `max_abs_lsb`
    is the largest difference of the disagreeing. Without a reference `host` is None.
    """

    name: str
    score: Score
    confusion: Confusion | None = None
    host: Score | None = None
    disagreeing: NDArray[np.intp]
    other_class: int = 0
    max_abs_lsb: float = 0.0
    against_float: AgainstFloat | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What came of a data set on one board.

    `outputs` are in the model's order; what is asked of the evaluation itself is of the first one
    of which the data know answers, except that `disagreeing` is of all. `tolerance` is what they
    were held to. `reference` is None where there was none on this machine. `detections` are those
    of the board and `host_detections` those of the reference, where a detector was asked for.
    """

    samples: int
    outputs: tuple[JudgedOutput, ...]
    reference: str | None = None
    tolerance: str = ""
    detections: Detections | None = None
    host_detections: Detections | None = None

    @property
    def judged(self) -> JudgedOutput:
        """The first output of which the data know answers, or the first."""
        known = (output for output in self.outputs if output.score.metrics)
        return next(known, self.outputs[0])

    @property
    def score(self) -> Score:
        """How good the board is."""
        return self.judged.score

    @property
    def host(self) -> Score | None:
        """How good the reference is."""
        return self.judged.host

    @property
    def confusion(self) -> Confusion | None:
        """The confusion matrix of a classifier on the board."""
        return self.judged.confusion

    @property
    def against_float(self) -> AgainstFloat | None:
        """What quantization costs, where there is a float model."""
        return self.judged.against_float

    @property
    def disagreeing(self) -> NDArray[np.intp]:
        """Indices of samples of which any output differs from the reference."""
        return np.unique(np.concatenate([output.disagreeing for output in self.outputs]))

    @property
    def other_class(self) -> int:
        """Samples to which the judged output gives another class than the reference."""
        return self.judged.other_class

    @property
    def max_abs_lsb(self) -> float:
        """The largest difference in any output."""
        return max(output.max_abs_lsb for output in self.outputs)

    @property
    def agrees(self) -> bool:
        """Whether no sample differs from the reference."""
        return all(len(output.disagreeing) == 0 for output in self.outputs)

    def output(self, name: str) -> JudgedOutput:
        """One output, by its name or position.

        Raises:
            ValueError: there is none of this name.
        """
        for at, output in enumerate(self.outputs):
            if name in (output.name, str(at)):
                return output
        names = ", ".join(output.name for output in self.outputs)
        raise ValueError(f"there is no output {name!r}; the model has: {names}")

    @property
    def accuracy(self) -> ConfidenceInterval:
        """Share of right classes on the board.

        Raises:
            ValueError: the data set has no classes.
        """
        return _known(self.score.accuracy, "classes")

    @property
    def mae(self) -> ConfidenceInterval:
        """Mean absolute error on the board.

        Raises:
            ValueError: the data set has no expected values.
        """
        return _known(self.score.mae, "expected values")

    @property
    def rmse(self) -> ConfidenceInterval:
        """Root of the mean squared error on the board.

        Raises:
            ValueError: the data set has no expected values.
        """
        return _known(self.score.rmse, "expected values")


def _known(interval: ConfidenceInterval | None, what: str) -> ConfidenceInterval:
    if interval is None:
        raise ValueError(f"the data set says no {what}")
    return interval


def evaluate(
    *,
    board: NDArray[Any],
    host: NDArray[Any] | None,
    float_outputs: NDArray[Any] | None,
    answers: Sequence[Targets],
    layout: Layout,
    activation: str | None,
    reference: str | None,
    stated: Stated = NOTHING_STATED,
    defined: Defined = ALL,
) -> Evaluation:
    """Judge the outputs of a data set.

    Args:
        board, host: samples (n, ...) of all outputs, as `layout` has them.
        float_outputs: (n, elements) of the float model's first output, real numbers after its last
            activation.
        answers: of the same n samples, for each output.
        activation: applied to the dequantized first output before it is judged.
        reference: name of the interpreter that gave `host`.
        stated: the tolerance that was asked for.
        defined: what of the outputs is compared.

    Raises:
        ValueError: outputs of different numbers of samples.
        WrongUse: the tolerance names an output that the model does not have.
    """
    allowed = tolerances(stated, layout)
    board, host = defined.of(board), None if host is None else defined.of(host)
    theirs: Sequence[NDArray[Any] | None] = [None] * len(layout.specs)
    outputs = [
        _judged_output(
            name,
            spec,
            ours,
            golden,
            known,
            tolerance=tolerance,
            activation=None if at else activation,
            float_outputs=None if at else float_outputs,
        )
        for at, (name, spec, ours, golden, known, tolerance) in enumerate(
            zip(
                layout.names,
                layout.specs,
                columns(board),
                theirs if host is None else columns(host),
                answers,
                allowed,
                strict=True,
            )
        )
    ]
    return Evaluation(
        samples=len(board),
        outputs=tuple(outputs),
        reference=None if host is None else reference,
        tolerance=tolerance_text(allowed, stated, layout, defined),
    )


def _judged_output(
    name: str,
    spec: TensorSpec,
    board: NDArray[Any],
    host: NDArray[Any] | None,
    known: Targets,
    *,
    tolerance: Tolerance,
    activation: str | None,
    float_outputs: NDArray[Any] | None,
) -> JudgedOutput:
    ours = _Judged.of(board, spec, activation, known)
    theirs = None if host is None else _Judged.of(host, spec, activation, known)
    bad = np.empty(0, np.intp) if host is None else differing(board, host, (tolerance,))
    return JudgedOutput(
        name=name,
        score=ours.score,
        confusion=_confusion(ours.classes, known, spec),
        host=theirs.score if theirs else None,
        disagreeing=bad,
        other_class=0 if theirs is None else int((ours.classes != theirs.classes).sum()),
        max_abs_lsb=0.0 if host is None else largest_gap(board[bad], host[bad]),
        against_float=None
        if float_outputs is None
        else _against(ours, float_outputs, known, step=spec.scale),
    )


def largest_gap(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The largest absolute difference of two elements; infinite where only one is NaN."""
    if len(first) == 0:
        return 0.0
    gaps = [gap(one, other) for one, other in zip(columns(first), columns(second), strict=True)]
    return max(float(np.nan_to_num(each, nan=np.inf).max(initial=0.0)) for each in gaps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """Outputs of one source: classes (n,), whether they are right, errors of each sample."""

    classes: NDArray[np.intp]
    right: NDArray[np.bool_] | None
    errors: NDArray[np.float64] | None
    squares: NDArray[np.float64] | None

    @classmethod
    def of(
        cls, outputs: NDArray[Any], spec: TensorSpec, activation: str | None, targets: Targets
    ) -> _Judged:
        """Of raw outputs (n, elements)."""
        blocks = (
            activate(to_reals(outputs[at : at + _BLOCK], spec), activation)
            for at in range(0, len(outputs), _BLOCK)
        )
        return cls.of_reals(blocks, targets)

    @classmethod
    def of_reals(cls, blocks: Iterator[NDArray[Any]], targets: Targets) -> _Judged:
        """Of blocks (k, elements) of outputs in the model's unit."""
        classes, errors, squares = [], [], []
        at = 0
        for block in blocks:
            classes.append(top1(block))
            if targets.expected is not None:
                gap = block.astype(np.float64) - targets.expected[at : at + len(block)]
                errors.append(np.abs(gap).mean(axis=1))
                squares.append(np.square(gap).mean(axis=1))
            at += len(block)
        said = np.concatenate(classes)
        return cls(
            classes=said,
            right=None if targets.labels is None else said == targets.labels,
            errors=np.concatenate(errors) if errors else None,
            squares=np.concatenate(squares) if squares else None,
        )

    @property
    def score(self) -> Score:
        """With confidence intervals."""
        if self.right is not None:
            return Score(accuracy=wilson(int(self.right.sum()), len(self.right)))
        if self.errors is None or self.squares is None:
            return Score()
        return Score(mae=mean_interval(self.errors), rmse=root_mean_interval(self.squares))


def _confusion(said: NDArray[np.intp], targets: Targets, spec: TensorSpec) -> Confusion | None:
    if targets.labels is None:
        return None
    count = class_count(spec)
    counts = np.zeros((count, count), dtype=np.int64)
    np.add.at(counts, (targets.labels, said), 1)
    names = (*targets.classes[:count], *map(str, range(len(targets.classes[:count]), count)))
    return Confusion(counts=counts, names=names)


def _against(
    ours: _Judged, float_outputs: NDArray[Any], targets: Targets, *, step: float
) -> AgainstFloat:
    theirs = _Judged.of_reals(iter((float_outputs,)), targets)
    lost = gained = np.zeros(len(ours.classes), dtype=np.bool_)
    if ours.right is not None and theirs.right is not None:
        lost, gained = theirs.right & ~ours.right, ours.right & ~theirs.right
    elif ours.errors is not None and theirs.errors is not None:
        grown = ours.errors - theirs.errors
        lost, gained = grown > step, grown < -step
    classes = float_outputs.shape[1] > 1 or ours.right is not None
    changed = ours.classes != theirs.classes if classes else np.zeros_like(lost)
    return AgainstFloat(
        score=theirs.score,
        changed=np.flatnonzero(changed),
        lost=np.flatnonzero(lost),
        gained=np.flatnonzero(gained),
    )
