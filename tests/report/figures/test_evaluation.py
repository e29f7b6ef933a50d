"""Data sets in a report: the table's cells, and matrices out of cells of a CSV."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from harness.measure.tables import EvaluationRow
from harness.report.figures.evaluation import (
    HEADINGS,
    evaluation_cells,
    evaluation_figures,
    matrix_of,
)


def row(**given: Any) -> EvaluationRow:
    blank = {item.name: None for item in fields(EvaluationRow)}
    usual = {
        **{"data": "set.npz", "board": "nano", "runtime": "tflm", "model": "m", "dtype": "int8"},
        **{"samples": 1500, "metric": "accuracy", "value": 0.9, "low": 0.88, "high": 0.92},
        **{"disagreements": 0, "classes": "a|<b>", "confusion": "700 50/100 650"},
    }
    return EvaluationRow(**{**blank, **usual, **given})  # type: ignore[arg-type]


def test_a_line_has_metric_interval_and_disagreements() -> None:
    cells = evaluation_cells(row(host_value=0.91))
    assert len(cells) == len(HEADINGS)
    assert cells[1:] == ("1,500", "accuracy", "90.00%", "88.00% to 92.00%", "91.00%", "–", "0")
    assert evaluation_cells(row(metric="mae", value=0.01234, low=None))[3:5] == ("0.01234", "–")


def test_a_classifier_gets_its_matrix_and_names_are_escaped() -> None:
    (group,) = evaluation_figures([row()], name="d")
    (picture,) = group.pictures
    assert "1350 of 1500 samples" in picture.caption
    assert "&lt;b&gt;" in picture.svg and "<b>" not in picture.svg


def test_disagreements_and_costs_are_said() -> None:
    lost = row(disagreements=3, other_class=1, reference="tflm 1", saved="x.npz", float_lost=4)
    (group,) = evaluation_figures([lost], name="d")
    assert "3 samples differ from tflm 1, 1 of them" in group.says[0] and "x.npz" in group.says[0]
    assert "4 samples are lost" in group.says[1]


@pytest.mark.parametrize("text", ("", "1 2", "1 2/3", "1 x/3 4", "-1 0/0 1", f"{10**30} 0/0 1"))
def test_a_cell_that_is_no_matrix_gives_no_picture(text: str) -> None:
    assert matrix_of(text, 2) is None
    assert evaluation_figures([row(confusion=text)], name="d") == ()


def test_a_matrix_of_many_classes_is_not_drawn() -> None:
    many = "/".join([" ".join(["1"] * 30)] * 30)
    assert (
        evaluation_figures([row(classes="|".join(map(str, range(30))), confusion=many)], name="d")
        == ()
    )
