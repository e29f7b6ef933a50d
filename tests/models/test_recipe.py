"""Recipes: what they declare, and that reading them costs no TensorFlow."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from models.catalogue import UnknownName, find, recipes
from models.recipe import (
    Bounds,
    DataError,
    Dataset,
    Examples,
    Head,
    Probe,
    Request,
    Schedule,
    accuracy,
    check_labels,
    mae,
    mse,
)
from models.sine import NOISE, dataset


def test_sine_splits_a_thousand_samples_60_20_20() -> None:
    data = dataset(Request(variant="1-16-1"))
    assert [len(part.x) for part in (data.train, data.validation, data.test)] == [600, 200, 200]
    assert all(part.x.shape[1:] == part.y.shape[1:] == (1,) for part in (data.train, data.test))


def test_sine_inputs_span_one_period_and_noise_has_the_stated_deviation() -> None:
    data = dataset(Request(variant="1-16-1"))
    x = np.concatenate([part.x for part in (data.train, data.validation, data.test)])
    y = np.concatenate([part.y for part in (data.train, data.validation, data.test)])
    assert 0 <= x.min() < 0.1 and 6.2 < x.max() <= np.float32(2 * np.pi)
    # The standard error of a deviation from 1000 samples is sigma / sqrt(2000): allow four.
    assert abs(np.std(y - np.sin(x)) - NOISE) < 4 * NOISE / np.sqrt(2000)


def of_seed(seed: int) -> Dataset:
    return dataset(Request(variant="1-16-1", seed=seed))


def test_same_seed_gives_the_same_data_and_another_seed_does_not() -> None:
    assert np.array_equal(of_seed(7).train.y, of_seed(7).train.y)
    assert not np.array_equal(of_seed(7).train.y, of_seed(8).train.y)


def test_every_recipe_is_found_by_its_name_and_has_fast_schedule_if_any() -> None:
    assert "sine" in recipes()
    for name, recipe in recipes().items():
        assert find(name) is recipe
        assert "fast" in recipe.schedules or not recipe.schedules


def test_default_variant_is_left_out_of_the_model_id() -> None:
    sine = find("sine")
    assert sine.model_id("1-16-16-1") == "sine"
    assert sine.model_id("1-16-1") == "sine-1-16-1"


def test_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="unknown model 'cosine'; known: .*sine"):
        find("cosine")


def test_nan_in_the_data_is_refused_with_its_place() -> None:
    x = np.zeros((3, 1), np.float32)
    y = x.copy()
    y[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"y\[2, 0\] is nan"):
        Examples(x=x, y=y)


def test_inputs_and_outputs_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 inputs and 3 expected"):
        Examples(x=np.zeros((2, 1)), y=np.zeros((3, 1)))


def test_bound_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Bounds(mae_vs_float=0.0, max_abs_vs_float=0.1)


def test_label_outside_the_classes_is_refused_with_value_and_place() -> None:
    check_labels(np.array([0, 2, 1]), 3, "here")
    for labels in (np.array([0, 3, 4]), np.array([[0], [3], [-1]])):
        with pytest.raises(DataError, match="here: label 3 of example 1 is not one of the 3 .* 2 "):
            check_labels(labels, 3, "here")


def test_what_a_recipe_cannot_mean_is_refused() -> None:
    linear = find("linear")
    for change, named in (
        ({"default_variant": "3"}, "no variant 3"),
        ({"default_schedule": "slow"}, "no schedule slow"),
        ({"bounds": {}}, "bounds are stated for"),
        ({"metrics": ("f1",)}, "unknown metrics .'f1'."),
        ({"targets": {"3": {}}}, "targets and heads name its variants"),
        ({"targets": {"1": {"accuracy": 0.9}}}, "targets and heads name its variants"),
        ({"heads": {"3": Head(activation=None, loss="mse")}}, "targets and heads"),
        ({"domain": None}, "truth and domain come together"),
    ):
        with pytest.raises(ValueError, match=named):
            dataclasses.replace(linear, **change)
    with pytest.raises(ValueError, match="activation 'relu' is not one of"):
        Head(activation="relu", loss="mse")
    with pytest.raises(ValueError, match="within must be above 0"):
        Probe(what="x", x=(1.0,), y=(1.0,), within=0.0)
    with pytest.raises(ValueError, match="calls no Keras callbacks"):
        Schedule(
            optimizer=lambda keras, steps: None,
            epochs=1,
            batch_size=1,
            loop=lambda *_: {},
            callbacks=lambda keras: [],
        )


def test_metrics_agree_with_arithmetic_by_hand() -> None:
    predicted, expected = np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]])
    assert mse(predicted, expected) == 5.0
    assert mae(predicted, expected) == 2.0
    assert accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])) == 0.5
    assert accuracy(np.array([[0.7], [0.2]]), np.array([[1], [0]])) == 1.0


def test_recipes_are_listed_without_tensorflow_being_imported() -> None:
    code = (
        "import sys, models.sine, models.__main__ as cli\n"
        "assert cli.main(['list']) == 0\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "sine" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["cosine"], "sine"),
        (["sine", "--variant", "9"], "1-16-1, 1-16-16-1"),
        (["sine", "--recipe", "slow"], "fast, course"),
        (["filters", "--variant", "emboss"], "edge, edge-pool, sharpen"),
    ],
)
def test_unknown_name_on_the_command_line_exits_2_and_lists_the_known(
    arguments: list[str], known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.__main__ import main

    assert main(["train", *arguments]) == 2
    assert known in capsys.readouterr().err
