"""Pictures, and the numbers that they are drawn from."""

from __future__ import annotations

import re
import warnings
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.measure.samples import Spread
from harness.report.figure import Picture
from harness.report.figures.canvas import style
from harness.report.figures.latency import (
    MOST_BINS,
    bin_edges,
    empirical,
    latency_pictures,
    shown_range,
)
from harness.report.figures.memory import MemoryBar, memory_picture
from harness.report.figures.operators import MOST_LAYERS, LayerBar, layer_pictures
from harness.report.figures.outputs import (
    Curves,
    agreement_picture,
    confusion_picture,
    curve_pictures,
)
from harness.report.figures.training import training_pictures
from harness.report.figures.trend import TrendPoint, date_locator, trend_axes, trend_picture
from harness.text import figure_text, size_text

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)


def texts(picture: Picture) -> list[str]:
    """Every text drawn in a picture."""
    return [one.text or "" for one in ElementTree.fromstring(picture.svg).iter("text")]


def label(picture: Picture) -> str:
    return ElementTree.fromstring(picture.svg).get("aria-label") or ""


def test_stragglers_are_counted_instead_of_squeezing_the_rest() -> None:
    samples = np.concatenate([np.linspace(10, 11, 98), [500.0, 900.0]])
    limits = shown_range(Spread.of(samples))
    assert (limits.low, limits.beyond) == (10.0, 2) and limits.high < 15
    whole = shown_range(Spread.of(np.linspace(10, 11, 100)))
    assert (whole.low, whole.high, whole.beyond) == (10.0, 11.0, 0)


def test_equal_samples_but_one_are_all_shown() -> None:
    limits = shown_range(Spread.of(np.array([5.0] * 99 + [50.0])))
    assert (limits.low, limits.high, limits.beyond) == (5.0, 50.0, 0)


@pytest.mark.parametrize("steps", [1, 2, 7, 59, 60, 61, 500, 5_000])
def test_bins_hold_whole_steps_of_the_timer(steps: int) -> None:
    samples = 3.0 + 0.25 * np.arange(steps)
    edges = bin_edges(samples)
    counts, _ = np.histogram(samples, edges)
    assert counts.sum() == steps and len(counts) <= MOST_BINS
    # All but the last bin hold equally many of equally spaced values.
    assert len(set(counts[:-1])) <= 1


def test_fine_timer_gets_even_bins() -> None:
    samples = np.random.default_rng(1).normal(100, 1, 2000)
    edges = bin_edges(np.sort(samples))
    assert len(edges) == MOST_BINS + 1
    assert np.histogram(samples, edges)[0].sum() == 2000


def test_empirical_distribution_is_that_of_the_textbook() -> None:
    values, share = empirical(Spread.of(np.array([3.0, 1.0, 2.0, 2.0])))
    assert values.tolist() == [1.0, 1.0, 2.0, 3.0]
    assert share.tolist() == [0.0, 0.25, 0.75, 1.0]


def test_long_distribution_is_thinned_but_stays_true() -> None:
    samples = np.random.default_rng(2).normal(0, 1, 10_000)
    values, share = empirical(Spread.of(samples), points=200)
    assert len(values) <= 201 and values[-1] == samples.max() and share[-1] == 1.0
    exact = np.searchsorted(np.sort(samples), values[1:], side="right") / samples.size
    np.testing.assert_allclose(share[1:], exact)


def test_latency_pictures_tell_sessions_apart_and_name_the_unit() -> None:
    generator = np.random.default_rng(3)
    sessions = {number: Spread.of(50 + number + generator.random(100)) for number in (1, 2, 4)}
    pictures = latency_pictures(sessions, unit="µs", name="m1")
    assert [picture.title for picture in pictures] == ["Histogram", "Empirical distribution"]
    for picture in pictures:
        drawn = texts(picture)
        assert {"session 1", "session 2", "session 4", "latency of one invoke (µs)"} <= set(drawn)
        assert "µs" in label(picture)
    assert "in each of 3 sessions" in pictures[0].caption


def test_caption_says_how_many_invokes_are_off_the_axis() -> None:
    samples = np.concatenate([np.linspace(10, 11, 98), [500.0, 900.0]])
    histogram, distribution = latency_pictures({1: Spread.of(samples)}, unit="µs", name="m1")
    said = "2 of 100 invokes took longer than the axis shows, up to 900 µs."
    assert said in histogram.caption and said in distribution.caption
    assert "session 1" not in texts(histogram)


def sine(*, wrong: int = 0) -> Curves:
    x = np.linspace(0, 6.28, 64)
    golden = np.round(np.sin(x), 2)
    board = golden.copy()
    board[:wrong] += 0.5
    return Curves(x=x, board=board, golden=golden, float_model=np.sin(x) + 0.01, truth=np.sin(x))


def test_curves_show_four_sources_and_the_error() -> None:
    curves, error = curve_pictures(sine(), name="m1")
    assert {"truth", "float model", "golden", "board"} <= set(texts(curves))
    assert (
        curves.caption == "Board and golden are equal for all 64 inputs, so their marks coincide."
    )
    assert error.title == "Error against the true function"
    worst = np.abs(np.round(np.sin(np.linspace(0, 6.28, 64)), 2) - np.sin(np.linspace(0, 6.28, 64)))
    assert f"{worst.mean():.3g} on average" in error.caption
    assert f"{worst.max():.3g} at most" in error.caption


def test_wrong_outputs_are_circled_and_counted() -> None:
    curves, error = curve_pictures(sine(wrong=3), name="m1")
    assert "differs from the golden in 3 of 64 inputs (circled)" in curves.caption
    assert "board ≠ golden" in texts(curves) and "board ≠ golden" in texts(error)
    assert "board ≠ golden" not in texts(curve_pictures(sine(), name="m1")[0])


@pytest.mark.parametrize("known, against", [(True, "the float model"), (False, "the golden")])
def test_without_a_true_function_the_next_best_is_what_errors_are_against(
    known: bool, against: str
) -> None:
    whole = sine()
    partial = Curves(
        x=whole.x,
        board=whole.board,
        golden=whole.golden,
        float_model=whole.float_model if known else None,
        truth=None,
    )
    curves, error = curve_pictures(partial, name="m1")
    assert error.title == f"Error against {against}" and "truth" not in texts(curves)


def test_agreement_counts_elements_that_differ() -> None:
    golden = np.array([1.0, 2.0, 3.0, 3.0])
    same = agreement_picture(golden, golden, name="a")
    assert "All 4 output elements lie on the line" in same.caption and "differs" not in texts(same)
    other = agreement_picture(golden + [0, 0, 2, 2], golden, name="a")
    assert "2 of 4 output elements differ, by up to 2." in other.caption
    assert "differs" in texts(other)


def test_confusion_matrix_counts_and_names_the_worst_pair() -> None:
    true, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 2, 2, 2])
    picture = confusion_picture(true, predicted, ("cat", "dog", "eel"), name="c")
    assert picture.caption == (
        "3 of 6 samples are classified rightly by the board; most often mistaken: dog for eel, "
        "2 times."
    )
    drawn = texts(picture)
    assert sorted(text for text in drawn if text.isdigit()) == ["1", "1", "1", "1", "2"]
    assert drawn.count("cat") == drawn.count("dog") == drawn.count("eel") == 2


def test_perfect_classifier_mistakes_nothing() -> None:
    classes = np.array([0, 1])
    picture = confusion_picture(classes, classes, ("no", "yes"), name="c")
    assert picture.caption == "2 of 2 samples are classified rightly by the board."


def test_training_curves_come_with_their_validation() -> None:
    series = {"accuracy": [0.5, 0.75], "val_accuracy": [0.25, 0.5], "loss": [2.0, 1.0]}
    loss, accuracy = training_pictures(series, per="epoch", name="t")
    assert (loss.title, loss.caption) == ("loss", "1 after 2 epochs.")
    assert accuracy.caption == "0.75 after 2 epochs, 0.5 on data kept apart."
    assert {"training data", "data kept apart", "epoch", "accuracy"} <= set(texts(accuracy))


def test_layers_show_shares_and_macs_in_the_graphs_order() -> None:
    bars = [
        LayerBar(label="0 CONV_2D", cost=100.0, macs_rate=0.5),
        LayerBar(label="1 RESHAPE", cost=300.0, macs_rate=None),
    ]
    cost, macs = layer_pictures(bars, unit="instructions", per="instruction", name="l")
    assert cost.caption == "1 RESHAPE takes the most: 75% of 400 instructions."
    drawn = texts(cost)
    assert {"25.0%", "75.0%", "instructions of one invoke"} <= set(drawn)
    assert drawn.index("0 CONV_2D") < drawn.index("1 RESHAPE")
    assert macs.title == "MACs per instruction" and "0.5" in texts(macs)


def test_profile_without_macs_has_one_picture() -> None:
    bars = [LayerBar(label="0 SOFTMAX", cost=1.0, macs_rate=None)]
    assert len(layer_pictures(bars, unit="µs", per="cycle", name="l")) == 1


def test_long_names_leave_room_for_the_bars() -> None:
    bars = [LayerBar(label="CUSTOM_" * 40, cost=1.0, macs_rate=None)]
    (picture,) = layer_pictures(bars, unit="µs", per="cycle", name="l")
    assert f"{('CUSTOM_' * 40)[:29]}…" in texts(picture) and "CUSTOM_" * 40 in picture.caption
    label_of_bar = MemoryBar(label="board " * 40, total=1, owners={}, capacity=None)
    assert any(
        text.endswith("…: 1 B")
        for text in texts(memory_picture([label_of_bar], memory="RAM", name="r"))
    )


def test_many_layers_are_cut_to_the_dearest_and_it_is_said() -> None:
    bars = [LayerBar(label=f"{i} ADD", cost=1.0 + i, macs_rate=None) for i in range(70)]
    (picture,) = layer_pictures(bars, unit="µs", per="cycle", name="l")
    assert "The 40 cheapest operators, 33.0% in all, are left out." in picture.caption
    assert sum(text.endswith(" ADD") for text in texts(picture)) == MOST_LAYERS
    assert "39 ADD" not in texts(picture) and "40 ADD" in texts(picture)


def test_memory_is_shown_by_owner_and_against_what_the_board_has() -> None:
    bars = [
        MemoryBar(label="one", total=3000, owners={"model": 1000, "rest": 2000}, capacity=30_000),
        MemoryBar(label="two", total=500, owners={}, capacity=None),
    ]
    picture = memory_picture(bars, memory="flash", name="f")
    assert picture.title == "Flash by owner"
    assert {"one: 3 KB, 10.0% of 30 KB", "two: 500 B", "model", "rest", "not told apart"} <= set(
        texts(picture)
    )
    assert "runtime" not in texts(picture)
    assert picture.caption == "The most, 3 KB, is taken by one."


def trend(*points: TrendPoint, tolerance: float = 0.02) -> Picture:
    return trend_picture(points, unit="µs", title="sine", tolerance=tolerance, name="t")


def test_trend_marks_verdicts_and_draws_the_zone_around_the_baseline() -> None:
    picture = trend(
        TrendPoint(when=NOW, median=50.0),
        TrendPoint(when=NOW + timedelta(1), median=51.0, verdict="same", baseline=50.0),
        TrendPoint(
            when=NOW + timedelta(2),
            median=55.0,
            verdict="slower",
            baseline=50.0,
            low=1.08,
            high=1.12,
        ),
    )
    assert {"not judged", "same", "slower", "baseline", "baseline ±2%"} <= set(texts(picture))
    assert picture.caption == "3 runs; the last one's median is 55 µs, +10.00% against the first."


SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86_400
SPANS = [0, 1, 2, 5, 30, 59, 60, 119, 155]
SPANS += [unit * count for unit in (SECOND, MINUTE) for count in range(90, 200, 10)]
SPANS += [unit * count for unit in (HOUR, DAY) for count in range(1, 120, 7)]
SPANS += [DAY * 30 * months for months in (4, 11, 18, 24, 29, 30, 31, 33, 35, 36, 37, 60, 900)]


def spanning(seconds: int) -> list[TrendPoint]:
    whens = [NOW + timedelta(seconds=seconds * share) for share in (0, 1)]
    return [TrendPoint(when=when, median=1.0) for when in whens]


def dates_of(drawn: Any) -> list[str]:
    """What stands at the ticks of the time's axis, and what they share."""
    low, high = drawn.get_xlim()
    shown = [tick for tick in drawn.xaxis.get_majorticklocs() if low <= tick <= high]
    formatter = drawn.xaxis.get_major_formatter()
    said = [*formatter.format_ticks(shown), formatter.get_offset()]
    return [text for text in said if re.search(r"\d\d|[A-Z][a-z]{2}$", text)]


@pytest.fixture(scope="module")
def drawn() -> Any:
    """Axes that take each span in turn: to make them takes ten times as long as to find ticks."""
    with style():
        return trend_axes(spanning(1), unit="µs", tolerance=0.02)


@pytest.mark.parametrize("seconds", SPANS)
def test_trend_has_dates_whatever_time_it_spans(drawn: Any, seconds: int) -> None:
    for line in drawn.lines:
        line.set_xdata([point.when for point in spanning(seconds)])
    drawn.relim()
    drawn.autoscale_view()
    assert 2 <= len(dates_of(drawn)) <= 12


@pytest.mark.parametrize("seconds", [0, 155, 90 * HOUR, 900 * 30 * DAY])
def test_the_picture_has_the_dates_of_its_axes(seconds: int) -> None:
    points = spanning(seconds)
    with style():
        dates = dates_of(trend_axes(points, unit="µs", tolerance=0.02))
    assert set(dates) <= set(texts(trend(*points)))


@pytest.mark.parametrize("seconds", [*range(130, 181, 7), *range(8_400, 9_700, 260)])
def test_ticks_are_found_without_a_warning_at_any_time_of_the_day(seconds: int) -> None:
    for begin in (NOW + timedelta(seconds=1_237 * step) for step in range(20)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ticks = date_locator().tick_values(begin, begin + timedelta(seconds=seconds))
        assert 2 <= len(ticks) <= 9


def test_trend_of_many_runs_has_a_piece_of_line_for_each_interval() -> None:
    points = [
        TrendPoint(
            when=NOW + timedelta(day),
            median=51.0,
            verdict="slower" if day % 3 else "same",
            baseline=50.0,
            low=1.01,
            high=1.03,
        )
        for day in range(60)
    ]
    drawn = ElementTree.fromstring(trend(*points).svg)
    paths = [one.get("d") or "" for one in drawn.iter("path")]
    # 20 and 40: one path for each colour, and each piece of it begins anew.
    assert sorted(path.count("M") for path in paths if path.count("M") > 1) == [20, 40]


def test_exact_counts_have_a_line_and_no_zone() -> None:
    points = [
        TrendPoint(when=NOW + timedelta(day), median=2967.0, verdict="same", baseline=2967.0)
        for day in range(2)
    ]
    drawn = texts(trend(*points, tolerance=0.0))
    assert "baseline" in drawn and not any("±" in text for text in drawn)


def test_zone_that_would_flatten_the_line_is_said_instead() -> None:
    points = [
        TrendPoint(when=NOW + timedelta(day), median=3.0, verdict="same", baseline=3.0)
        for day in range(2)
    ]
    picture = trend(*points, tolerance=1.0)
    assert "Only changes by more than 100% count" in picture.caption
    assert not any("±" in text for text in texts(picture))


def test_trend_without_baselines_says_so() -> None:
    points = [TrendPoint(when=NOW + timedelta(day), median=1.0) for day in range(2)]
    picture = trend(*points)
    assert "None was compared with a baseline." in picture.caption
    assert "baseline" not in texts(picture)


@pytest.mark.parametrize(
    "count, text", [(0, "0 B"), (812, "812 B"), (26_208, "26.2 KB"), (4_194_304, "4.19 MB")]
)
def test_sizes_are_said_as_memory_is_sold(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    "value, text",
    [(2967.0, "2,967"), (1_264_942.0, "1,264,942"), (55.2941, "55.29"), (0.0198, "0.0198")],
)
def test_numbers_have_four_digits_that_count(value: float, text: str) -> None:
    assert figure_text(value) == text
