"""From rows to figures: which picture a measurement gets, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fakes import described, nights

from harness.board.registry import load_registry
from harness.measure.runs import Run
from harness.measure.tables import OutputRow
from harness.model.resolve import resolve_model
from harness.report.data import label_of
from harness.report.figure import FigureGroup
from harness.report.figures.latency import latency_figures
from harness.report.figures.memory import memory_figures
from harness.report.figures.operators import operator_figures
from harness.report.figures.outputs import MOST_SHOWN, output_figures
from harness.report.figures.training import training_figures
from harness.report.figures.trend import trend_figures

ROOTS = (nights.ARTIFACTS,)


def measured(night: int = 1, *, emulated: bool = False) -> Run:
    rows = nights.emulated_board(night) if emulated else nights.real_board(night)
    return Run(
        row=rows[-1],
        sessions=tuple(rows[:-1]),
        samples=nights.samples_of(nights.sample_rows(rows)),
        outputs=tuple(nights.output_rows(rows[-1])),
        layers=tuple(nights.layer_rows(rows[-1])),
    )


@cache
def figures() -> tuple[FigureGroup | None, ...]:
    """Latencies, outputs and operators of a real board's first night, drawn once."""
    item = measured()
    latency, operators = latency_figures(item, name="m1"), operator_figures(item, name="m1")
    return latency, output_figures(item, ROOTS, name="m1"), operators


def titles(exhibit: FigureGroup | None) -> list[str]:
    assert exhibit is not None
    return [picture.title for picture in exhibit.pictures]


def drawn(exhibit: FigureGroup) -> set[str]:
    trees = [ElementTree.fromstring(picture.svg) for picture in exhibit.pictures]
    return {one.text or "" for tree in trees for one in tree.iter("text")}


def test_real_latency_is_drawn_in_microseconds_for_each_session() -> None:
    exhibit, _, _ = figures()
    assert titles(exhibit) == ["Histogram", "Empirical distribution"]
    assert exhibit is not None
    assert {"session 1", "session 3", "latency of one invoke (µs)"} <= drawn(exhibit)


def test_one_single_count_is_said_and_not_drawn() -> None:
    exhibit = latency_figures(measured(emulated=True), name="m1")
    assert exhibit is not None and exhibit.pictures == ()
    assert exhibit.says == (
        "Every one of 360 timed invokes in 3 sessions took exactly 2,967 instructions: there is "
        "no distribution to draw.",
    )


def test_one_single_invoke_is_said_too() -> None:
    one = nights.samples_of(nights.sample_rows(nights.real_board(1))[:1])
    exhibit = latency_figures(replace(measured(), samples=one), name="m1")
    assert exhibit is not None and exhibit.says[0].startswith("One invoke was timed and took ")


def test_several_outputs_are_shown_one_by_one() -> None:
    item = measured()
    boxes = [replace(row, output="boxes", x=None) for row in item.outputs]
    scores = [replace(row, output="scores", x=None) for row in item.outputs]
    exhibit = output_figures(replace(item, outputs=(*boxes, *scores)), ROOTS, name="m1")
    assert titles(exhibit) == ["Board against golden: boxes", "Board against golden: scores"]
    many = [replace(row, output=str(at), x=None) for at in range(99) for row in item.outputs[:2]]
    shown = output_figures(replace(item, outputs=tuple(many)), ROOTS, name="m1")
    assert len(titles(shown)) == MOST_SHOWN


def test_function_of_one_number_is_shown_as_curves() -> None:
    _, exhibit, _ = figures()
    assert titles(exhibit) == ["Output over input", "Error against the true function"]


def classifier(name: str, *, elements: int, labels: list[int]) -> Run:
    """A board that gives sample i the class i modulo `elements`, whatever the label."""
    artifact = resolve_model(name, nights.ARTIFACTS)
    row = replace(
        nights.real_board(1)[-1],
        model=artifact.model,
        dtype=artifact.dtype,
        model_sha256=artifact.sha256,
    )
    outputs = [
        OutputRow(
            run=row.run or "",
            board=row.board,
            runtime=row.runtime,
            model=row.model,
            dtype=row.dtype,
            sample=sample,
            element=element,
            x=None,
            board_raw=float(element == sample % elements),
            golden_raw=float(element == sample % elements),
            board_real=float(element == sample % elements),
            golden_real=float(element == sample % elements),
            float_real=None,
            truth=None,
            label=label,
        )
        for sample, label in enumerate(labels)
        for element in range(elements)
    ]
    return Run(row=row, sessions=(row,), outputs=tuple(outputs))


def test_classifier_gets_a_confusion_matrix_with_the_names_of_its_classes() -> None:
    item = classifier("fashion_cnn-8", elements=10, labels=[0, 1, 2, 9])
    exhibit = output_figures(item, ROOTS, name="m1")
    assert titles(exhibit) == ["Confusion matrix", "Board against golden"]
    assert exhibit is not None and {"Trouser", "Ankle boot"} <= drawn(exhibit)
    assert "3 of 4 samples are classified rightly" in exhibit.pictures[0].caption


def test_classes_without_names_are_numbers() -> None:
    item = classifier("fashion_cnn-8", elements=10, labels=[0, 1, 2, 9])
    exhibit = output_figures(item, (), name="m1")
    assert exhibit is not None and {"0", "9"} <= drawn(exhibit)


def test_one_score_decides_between_two_classes() -> None:
    item = classifier("horse_or_human", elements=1, labels=[1, 1, 0])
    exhibit = output_figures(item, ROOTS, name="m1")
    assert exhibit is not None
    assert "2 of 3 samples are classified rightly" in exhibit.pictures[0].caption


def test_other_outputs_are_board_against_golden() -> None:
    item = classifier("fashion_cnn-8", elements=10, labels=[0, 1])
    unlabelled = tuple(replace(row, label=None) for row in item.outputs)
    exhibit = output_figures(replace(item, outputs=unlabelled), ROOTS, name="m1")
    assert titles(exhibit) == ["Board against golden"]


def test_operators_are_counted_in_instructions_on_an_emulated_board_only() -> None:
    _, _, real = figures()
    assert titles(real) == ["Cost of each operator", "MACs per cycle"]
    emulated = operator_figures(measured(emulated=True), name="m1")
    assert titles(emulated) == ["Cost of each operator", "MACs per instruction"]
    assert emulated is not None and "instructions of one invoke" in drawn(emulated)


def test_what_no_file_holds_is_no_exhibit() -> None:
    bare = replace(measured(), samples=(), outputs=(), layers=())
    assert latency_figures(bare, name="m1") is None
    assert output_figures(bare, ROOTS, name="m1") is None
    assert operator_figures(bare, name="m1") is None


def row_of(name: str) -> object:
    artifact = resolve_model(name, nights.ARTIFACTS)
    return described.row(model=artifact.model, dtype=artifact.dtype, model_sha256=artifact.sha256)


def test_training_is_shown_once_for_all_forms_of_a_model() -> None:
    rows = [row_of(name) for name in ("fashion_cnn-8_int8", "fashion_cnn-8_float32", "sine")]
    figures = training_figures(rows, ROOTS, name="t")  # type: ignore[arg-type]
    assert [exhibit.title for exhibit in figures] == ["fashion_cnn-8", "sine"]
    assert titles(figures[0]) == ["loss", "accuracy"]


def test_steps_are_drawn_where_there_are_no_epochs() -> None:
    (exhibit,) = training_figures([row_of("linear")], ROOTS, name="t")  # type: ignore[list-item]
    assert titles(exhibit) == ["loss"] and "step" in drawn(exhibit)


def test_untrained_and_unknown_models_are_said() -> None:
    filters, stranger = row_of("filters"), described.row(model="mine", model_sha256="ab" * 32)
    untrained, unknown = training_figures([filters, stranger], ROOTS, name="t")  # type: ignore[list-item]
    assert untrained.says == ("Nothing was trained: its weights are given.",)
    assert unknown.says == (
        "Not among the project's models, so without curves and without pictures of what layers "
        "see: mine int8 (abababababab).",
    )


def test_memory_is_against_the_registrys_board_where_it_is_known() -> None:
    known, stranger = measured(), measured(2)
    stranger = replace(stranger, row=replace(stranger.row, board="bench-7"))
    none = replace(known, row=replace(known.row, board="virtual", flash_bytes=None, ram_bytes=None))
    exhibit = memory_figures([known, stranger, none], load_registry())
    assert titles(exhibit) == ["Flash by owner", "RAM by owner"]
    assert "sine int8 on nano33ble, tflm: 118 KB, 12.0% of 983 KB" in drawn(exhibit)
    assert "sine int8 on bench-7, tflm: 118 KB" in drawn(exhibit)
    assert exhibit.says == ("Without firmware, so without sizes: sine int8 on virtual, tflm.",)


def test_trend_takes_two_runs_and_names_what_was_measured_once() -> None:
    week = [measured(night) for night in range(3)]
    alone = [measured(emulated=True)]
    exhibit = trend_figures([week, alone], title="Trend", name="t")
    assert titles(exhibit) == [label_of(week[0].subject)]
    assert exhibit.says == ("Measured once, so no trend yet: sine int8 on qemu-m4, aot.",)


def test_trend_of_counts_has_no_zone_and_its_baseline_is_exact() -> None:
    week = [measured(night, emulated=True) for night in range(3)]
    exhibit = trend_figures([week], title="Trend", name="t")
    assert "baseline" in drawn(exhibit) and "median (instructions)" in drawn(exhibit)
    assert not any("±" in text for text in drawn(exhibit))


@pytest.mark.parametrize("time", ["yesterday", ""])
def test_run_at_no_time_is_not_in_the_trend(time: str) -> None:
    week = [measured(night) for night in range(2)]
    lost = replace(week[0], row=replace(week[0].row, time_utc=time))
    assert trend_figures([[lost, week[1]]], title="Trend", name="t").pictures == ()


def test_trend_is_drawn_of_times_to_the_second() -> None:
    week = [measured(night) for night in range(2)]
    close = [
        replace(item, row=replace(item.row, time_utc=f"2026-11-14T02:00:00.00000{order}Z"))
        for order, item in enumerate(week)
    ]
    assert len(trend_figures([close], title="Trend", name="t").pictures) == 1


def test_every_picture_of_a_measurement_has_ids_of_its_own() -> None:
    trees = [
        ElementTree.fromstring(one.svg)
        for exhibit in figures()
        if exhibit
        for one in exhibit.pictures
    ]
    ids = [one.get("id") for tree in trees for one in tree.iter() if one.get("id")]
    assert len(ids) == len(set(ids)) > 6
    assert np.all([one.startswith("m1-") for one in ids if one])


def test_folder_of_models_may_be_absent(tmp_path: Path) -> None:
    (exhibit,) = training_figures([row_of("sine")], (tmp_path / "none",), name="t")  # type: ignore[list-item]
    assert exhibit.title == "Other model files"
