"""`harness.model.features`: what a model's layers say on the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ModelError
from harness.model.features import _outputs, _run, drawn_input, layer_maps, save_pictures
from harness.model.resolve import resolve_model
from harness.project import find_project

ARTIFACTS = find_project().artifacts


def test_layers_of_the_pooled_filter_are_what_numpy_computes() -> None:
    model = resolve_model("filters-edge-pool_float32", ARTIFACTS)
    image = np.random.default_rng(4).uniform(0, 1, (32, 32, 1)).astype(np.float32)
    convolution, pooling = _outputs(_run(model, image))
    assert (convolution.operator, pooling.operator) == ("CONV_2D", "MAX_POOL_2D")
    # Eight times the middle less its neighbours, nine times the middle less all nine.
    windows = np.lib.stride_tricks.sliding_window_view(image[..., 0], (3, 3))
    edges = np.maximum(9 * image[1:-1, 1:-1, 0] - windows.sum(axis=(2, 3)), 0)
    np.testing.assert_allclose(convolution.values[..., 0], edges, atol=1e-4)
    pooled = edges.reshape(15, 2, 15, 2).max(axis=(1, 3))
    np.testing.assert_allclose(pooling.values[..., 0], pooled, atol=1e-4)


def test_last_layer_is_the_models_output() -> None:
    model = resolve_model("fashion_cnn-8", ARTIFACTS)
    layers = _outputs(_run(model, model.goldens.inputs[0]))
    assert [layer.is_picture for layer in layers][:4] == [True] * 4
    assert layers[0].values.shape == (26, 26, 8) and layers[2].values.shape == (11, 11, 16)
    assert layers[-1].values.sum() == pytest.approx(1, abs=0.03)


def test_pictures_of_a_golden_input_are_written_in_the_order_of_the_layers(tmp_path: Path) -> None:
    model = resolve_model("filters-edge-pool", ARTIFACTS)
    files = save_pictures(model, 3, tmp_path / "made")
    assert [file.name for file in files] == ["input.png", "00-conv_2d.png", "01-max_pool_2d.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_what_is_seen_of_a_golden_input_is_named_and_in_real_numbers() -> None:
    model = resolve_model("fashion_cnn-8", ARTIFACTS)
    seen = layer_maps(model, 0)
    assert seen.source.startswith("litert ") and seen.source.endswith(" no delegates")
    assert seen.label == model.labels[model.goldens.labels[0]] == "Ankle boot"
    assert seen.sample.shape == (28, 28, 1)
    assert (seen.sample.min(), seen.sample.max()) == pytest.approx((0, 1), abs=0.01)
    assert [(layer.number, layer.operator) for layer in seen.layers] == [
        (0, "CONV_2D"), (1, "MAX_POOL_2D"), (2, "CONV_2D"), (3, "MAX_POOL_2D"),
    ]  # fmt: skip


def test_input_that_is_no_picture_is_not_seen() -> None:
    seen = layer_maps(resolve_model("sine", ARTIFACTS), 0)
    assert seen.sample is None and seen.label is None and seen.layers == ()


def test_input_in_colours_is_drawn_in_colours_and_one_of_two_channels_side_by_side() -> None:
    assert drawn_input(np.zeros((4, 5, 3)), 4).shape == (4, 5, 3)
    assert drawn_input(np.zeros((4, 5, 1)), 4).shape == (4, 5)
    assert drawn_input(np.zeros((4, 5, 2)), 4).shape == (6, 14)


@pytest.mark.parametrize("number", [-1, 256])
def test_sample_that_is_not_there_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(ModelError, match=f"no sample {number}: goldens are 0 to 255"):
        save_pictures(resolve_model("filters", ARTIFACTS), number, tmp_path)


def test_model_without_pictures_or_goldens_is_refused(tmp_path: Path) -> None:
    sine = resolve_model("sine", ARTIFACTS)
    with pytest.raises(ModelError, match="no layer of this model has feature maps"):
        save_pictures(sine, 0, tmp_path)
    with pytest.raises(ModelError, match="no golden inputs"):
        save_pictures(replace(sine, goldens=None), 0, tmp_path)
