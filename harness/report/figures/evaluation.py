"""Data sets that went through boards: a table of metrics, and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.measure.tables import EvaluationRow
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.outputs import MOST_CLASSES, matrix_picture
from harness.text import figure_text

ABSENT = "–"
HEADINGS = (
    *("data, board, runtime, model", "samples", "metric", "on the board", "95 % interval"),
    *("on the host", "float model", "differ from the host"),
)


def evaluation_cells(row: EvaluationRow) -> tuple[str, ...]:
    """The line of a data set in the table of HEADINGS."""
    interval = ABSENT
    if row.low is not None and row.high is not None:
        interval = f"{_metric(row, row.low)} to {_metric(row, row.high)}"
    differ = ABSENT if row.disagreements is None else f"{row.disagreements:,}"
    return (
        _name(row),
        f"{row.samples:,}",
        row.metric or ABSENT,
        _metric(row, row.value),
        interval,
        _metric(row, row.host_value),
        _metric(row, row.float_value),
        differ,
    )


def evaluation_figures(rows: Sequence[EvaluationRow], *, name: str) -> tuple[FigureGroup, ...]:
    """A confusion matrix for each data set of a classifier with few classes."""
    groups = []
    for order, row in enumerate(rows, start=1):
        title = f"{row.data}: {row.model} {row.dtype} on {row.board}, {row.runtime}{_output(row)}"
        pictures = _confusion(row, f"{name}{order}")
        says = tuple(_sentences(row))
        if pictures or says:
            groups.append(FigureGroup(title=title, pictures=pictures, says=says))
    return tuple(groups)


def _name(row: EvaluationRow) -> str:
    return f"{row.data}, {row.board}, {row.runtime}, {row.model} {row.dtype}{_output(row)}"


def _output(row: EvaluationRow) -> str:
    return f", output {row.output}" if row.output else ""


def _metric(row: EvaluationRow, value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.2%}" if row.metric == "accuracy" else figure_text(value)


def _sentences(row: EvaluationRow) -> list[str]:
    says = [*_of_streams(row)]
    if row.disagreements:
        saved = f"; saved in {row.saved}" if row.saved else ""
        says.append(
            f"{row.disagreements} samples differ from {row.reference}, {row.other_class} of them "
            f"by their class{saved}."
        )
    if row.float_lost or row.float_gained:
        says.append(
            f"Against the float model {row.float_lost} samples are lost and {row.float_gained} "
            "gained."
        )
    return says


def _of_streams(row: EvaluationRow) -> Iterator[str]:
    """State and detections."""
    if row.state == "sequence":
        yield f"The model's state was reset at the start of each of {row.sequences} sequences."
    elif row.state is not None:
        yield "The model's state was reset before each sample."
    if row.detector is None or row.hits is None or row.misses is None:
        return
    text = f"Detector {row.detector}: {row.hits} of {row.hits + row.misses} events hit"
    if row.recall is not None and row.recall_low is not None and row.recall_high is not None:
        text += f" ({row.recall:.2%}, 95 % interval {row.recall_low:.2%} to {row.recall_high:.2%})"
    text += f", {row.false_accepts} false accepts"
    if row.false_accepts_per_hour is not None:
        text += f", {figure_text(row.false_accepts_per_hour)} per hour"
        if row.false_accepts_per_hour_low is not None and row.false_accepts_per_hour_high:
            text += (
                f" (95 % interval {figure_text(row.false_accepts_per_hour_low)} to "
                f"{figure_text(row.false_accepts_per_hour_high)})"
            )
    yield f"{text}."


def _confusion(row: EvaluationRow, name: str) -> tuple[Picture, ...]:
    """The matrix of a row; none where its text is no matrix, or a large one."""
    names = (row.classes or "").split("|")
    matrix = matrix_of(row.confusion or "", len(names))
    if matrix is None or len(names) > MOST_CLASSES:
        return ()
    return (matrix_picture(matrix, names, name=f"{name}-confusion"),)


def matrix_of(text: str, count: int) -> NDArray[np.int64] | None:
    """The matrix (count, count) of a cell of the column `confusion`; None if it is none."""
    try:
        rows = [[int(cell) for cell in line.split()] for line in text.split("/")]
        matrix = np.array(rows, dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    if matrix.shape != (count, count) or matrix.min() < 0:
        return None
    return matrix
