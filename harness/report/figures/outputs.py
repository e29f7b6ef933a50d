"""Outputs: curves of a function, a classifier's confusion matrix, board against golden."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.compare import top1
from harness.measure.runs import Run
from harness.measure.tables import LatencyRow, OutputRow
from harness.model.manifest import read_manifest
from harness.model.training import find_trained
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MOST_LETTERS,
    ORANGE,
    VERMILION,
    Axes,
    _legend,
    _short,
    axes,
    style,
    svg,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Outputs of a model with one input and one output, sorted by `x`; all (k,), model's unit."""

    x: NDArray[np.float64]
    board: NDArray[np.float64]
    golden: NDArray[np.float64]
    float_model: NDArray[np.float64] | None
    truth: NDArray[np.float64] | None


def curve_pictures(curves: Curves, *, name: str) -> tuple[Picture, ...]:
    """Outputs over the input, and how far each is from the true function (or float model)."""
    return _curves(curves, name=f"{name}-curves"), _curve_errors(curves, name=f"{name}-error")


def _differing(curves: Curves) -> NDArray[np.bool_]:
    differing: NDArray[np.bool_] = curves.board != curves.golden
    return differing


def _agreement(curves: Curves) -> str:
    count = int(np.count_nonzero(_differing(curves)))
    total = curves.x.size
    if count:
        return f"The board differs from the golden in {count} of {total} inputs (circled)."
    return f"Board and golden are equal for all {total} inputs, so their marks coincide."


def _circle(drawn: Axes, curves: Curves, values: NDArray[np.float64]) -> None:
    wrong = _differing(curves)
    if wrong.any():
        drawn.plot(
            curves.x[wrong],
            values[wrong],
            "o",
            markersize=9,
            markerfacecolor="none",
            color=VERMILION,
            label="board ≠ golden",
        )


def _curves(curves: Curves, *, name: str) -> Picture:
    with style():
        drawn = axes(3.1)
        if curves.truth is not None:
            drawn.plot(curves.x, curves.truth, color="#c9d0d6", linewidth=6, label="truth")
        if curves.float_model is not None:
            drawn.plot(curves.x, curves.float_model, color=GREEN, linewidth=2, label="float model")
        drawn.plot(curves.x, curves.board, ".", color=BLUE, markersize=5, label="board")
        drawn.plot(curves.x, curves.golden, color=ORANGE, linewidth=1, label="golden")
        _circle(drawn, curves, curves.board)
        drawn.set_xlabel("input (model's unit)")
        drawn.set_ylabel("output (model's unit)")
        _legend(drawn, 4)
        picture = svg(
            drawn,
            name=name,
            label=f"Outputs over {curves.x.size} inputs from {curves.x.min():.3g} to "
            f"{curves.x.max():.3g}: board, golden, and where known the float model and the true "
            f"function. {_agreement(curves)}",
        )
    return Picture(title="Output over input", caption=_agreement(curves), svg=picture)


def _curve_errors(curves: Curves, *, name: str) -> Picture:
    base, of_what = (
        (curves.truth, "the true function")
        if curves.truth is not None
        else (curves.float_model, "the float model")
        if curves.float_model is not None
        else (curves.golden, "the golden")
    )
    error = curves.board - base
    with style():
        drawn = axes(3.1)
        drawn.axhline(0, color=FAINT, linewidth=1)
        if curves.float_model is not None and curves.truth is not None:
            drawn.plot(
                curves.x, curves.float_model - base, color=GREEN, linewidth=2, label="float model"
            )
        if base is not curves.golden:
            drawn.plot(curves.x, curves.golden - base, color=ORANGE, linewidth=1, label="golden")
        drawn.plot(curves.x, error, ".", color=BLUE, markersize=3.5, label="board")
        _circle(drawn, curves, error)
        drawn.set_xlabel("input (model's unit)")
        drawn.set_ylabel(f"output less {of_what}")
        _legend(drawn, 3)
        worst = int(np.abs(error).argmax())
        figures = (
            f"The board is off {of_what} by {np.abs(error).mean():.3g} on average and by "
            f"{abs(error[worst]):.3g} at most, at input {curves.x[worst]:.3g}."
        )
        picture = svg(
            drawn,
            name=name,
            label=f"Error over the input. {figures}",
        )
    return Picture(title=f"Error against {of_what}", caption=figures, svg=picture)


def agreement_picture(
    board: NDArray[np.float64], golden: NDArray[np.float64], *, name: str
) -> Picture:
    """Every element of every output: what the board sent against what the golden says.

    Args:
        board, golden: (n,), as sent, not dequantized.
    """
    pairs, counts = np.unique(np.stack([golden, board], axis=1), axis=0, return_counts=True)
    wrong = pairs[:, 0] != pairs[:, 1]
    bad = int(counts[wrong].sum())
    figures = (
        f"{bad} of {board.size} output elements differ, by up to "
        f"{np.abs(board - golden).max():.4g}."
        if bad
        else f"All {board.size} output elements lie on the line: board and golden are equal."
    )
    with style():
        drawn = axes(3.1)
        ends = [float(pairs.min()), float(pairs.max())]
        drawn.plot(ends, ends, color=FAINT, linewidth=1)
        drawn.plot(*pairs[~wrong].T, ".", color=BLUE, markersize=4, label="equal")
        if bad:
            drawn.plot(*pairs[wrong].T, "x", color=VERMILION, markersize=6, label="differs")
        drawn.set_xlabel("golden (as stored in the tensor)")
        drawn.set_ylabel("board (as sent)")
        _legend(drawn, 2 if bad else 1)
        picture = svg(
            drawn,
            name=name,
            label=f"Board's outputs against the golden's. {figures}",
        )
    return Picture(title="Board against golden", caption=figures, svg=picture)


def confusion_picture(
    labels: NDArray[np.intp], predicted: NDArray[np.intp], names: Sequence[str], *, name: str
) -> Picture:
    """How many samples of each true class the board put into each class.

    Args:
        labels, predicted: (k,), indices into `names`.
    """
    matrix = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix_picture(matrix, names, name=name)


def matrix_picture(matrix: NDArray[np.integer[Any]], names: Sequence[str], *, name: str) -> Picture:
    """A confusion matrix: counts by true class (row) and class by the board (column)."""
    count = len(names)
    right = int(matrix.trace())
    figures = f"{right} of {int(matrix.sum())} samples are classified rightly by the board"
    apart = matrix - np.diag(np.diag(matrix))
    if apart.any():
        true, taken = divmod(int(apart.argmax()), count)
        figures += (
            f"; most often mistaken: {names[true]} for {names[taken]}, {apart[true, taken]} times"
        )
    with style():
        drawn = axes(4.2 if count > 4 else 2.8)
        drawn.grid(False)
        drawn.pcolormesh(matrix, cmap="Blues", vmin=0, vmax=max(1, matrix.max()) * 1.15)
        for (row, column), cell in np.ndenumerate(matrix):
            if cell:
                pale = cell > matrix.max() * 0.6
                drawn.text(
                    column + 0.5,
                    row + 0.5,
                    str(cell),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if pale else INK,
                )
        centres = np.arange(count) + 0.5
        shorter = [_short(name, MOST_LETTERS // 2) for name in names]
        drawn.set_xticks(centres, shorter, rotation=40, ha="right", rotation_mode="anchor")
        drawn.set_yticks(centres, shorter)
        drawn.invert_yaxis()
        drawn.tick_params(length=0)
        drawn.set_xlabel("class by the board")
        drawn.set_ylabel("true class")
        picture = svg(
            drawn,
            name=name,
            label=f"Confusion matrix of {count} classes. {figures}.",
        )
    return Picture(title="Confusion matrix", caption=f"{figures}.", svg=picture)


MOST_CLASSES = 20

MOST_SHOWN = 8
"""Of a model with several outputs."""


def output_figures(item: Run, roots: Iterable[Path], *, name: str) -> FigureGroup | None:
    """Curves for a function, a confusion matrix for a classifier, else board against golden.

    For a model with several outputs, board against golden for each of the first MOST_SHOWN. None
    if no outputs are known.
    """
    title = "Outputs"
    by_output: defaultdict[str | None, list[OutputRow]] = defaultdict(list)
    for row in item.outputs:
        by_output[row.output].append(row)
    if not by_output:
        return None
    if len(by_output) > 1:
        return FigureGroup(title=title, pictures=_agreements(by_output, name=name))
    (rows,) = by_output.values()
    elements = 1 + max(row.element for row in rows)
    if rows[0].x is not None and elements == 1:
        return FigureGroup(title=title, pictures=curve_pictures(_curves_of(rows), name=name))
    confusion = _confusion(item, elements, roots, name=name)
    return FigureGroup(title=title, pictures=(*confusion, _agreement_of(rows, name=name)))


def _agreement_of(rows: Sequence[OutputRow], *, name: str) -> Picture:
    return agreement_picture(
        np.array([row.board_raw for row in rows]),
        np.array([row.golden_raw for row in rows]),
        name=f"{name}-agreement",
    )


def _agreements(
    by_output: Mapping[str | None, Sequence[OutputRow]], *, name: str
) -> tuple[Picture, ...]:
    """Board against golden for each of several outputs, the first of them."""
    shown = list(by_output.items())[:MOST_SHOWN]
    return tuple(
        replace(
            _agreement_of(rows, name=f"{name}-{number}"),
            title=f"Board against golden: {_short(output or str(number), MOST_LETTERS)}",
        )
        for number, (output, rows) in enumerate(shown)
    )


def _curves_of(rows: Sequence[OutputRow]) -> Curves:
    ordered = sorted(rows, key=lambda row: row.x or 0.0)

    def column(field: str) -> NDArray[np.float64] | None:
        values = [getattr(row, field) for row in ordered]
        return None if None in values else np.array(values, dtype=np.float64)

    x, board, golden = column("x"), column("board_real"), column("golden_real")
    assert x is not None and board is not None and golden is not None
    return Curves(
        x=x, board=board, golden=golden, float_model=column("float_real"), truth=column("truth")
    )


def _confusion(
    item: Run, elements: int, roots: Iterable[Path], *, name: str
) -> tuple[Picture, ...]:
    scores: defaultdict[int, dict[int, float]] = defaultdict(dict)
    labels: dict[int, int] = {}
    for row in item.outputs:
        scores[row.sample][row.element] = row.board_real
        if row.label is not None:
            labels[row.sample] = row.label
    whole = [sample for sample in labels if len(scores[sample]) == elements]
    if not whole:
        return ()
    board = np.array([[scores[sample][place] for place in range(elements)] for sample in whole])
    true = np.array([labels[sample] for sample in whole], dtype=np.intp)
    predicted = top1(board)
    classes = 1 + int(max(true.max(), predicted.max(), elements - 1, 1))
    if classes > MOST_CLASSES or true.min() < 0:
        return ()
    names = _class_names(item.row, roots)
    if len(names) != classes:
        names = tuple(str(number) for number in range(classes))
    return (confusion_picture(true, predicted, names, name=f"{name}-confusion"),)


def _class_names(row: LatencyRow, roots: Iterable[Path]) -> tuple[str, ...]:
    found = find_trained(row.model_sha256, roots)
    if found is None:
        return ()
    return tuple(str(label) for label in read_manifest(found.folder).get("labels") or ())
