"""Feature maps: what layers see, as pictures that are small enough for a page."""

from __future__ import annotations

import base64
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import described, nights

from harness.model.features import Layer, LayerMaps
from harness.model.resolve import resolve_model
from harness.report.figures.features import (
    MOST_BYTES,
    MOST_MAPS,
    FeatureMapSection,
    MapPicture,
    Maps,
    feature_maps,
    fitted,
    shown,
)

ROOTS = (nights.ARTIFACTS,)


def made(*names: str, roots: tuple[Path, ...] = ROOTS) -> FeatureMapSection:
    """The feature maps of rows of these models."""
    hashes = [resolve_model(name, nights.ARTIFACTS).sha256 for name in names]
    return feature_maps([described.row(model_sha256=sha256) for sha256 in hashes], roots)


def png_size(picture: MapPicture) -> tuple[int, int]:
    head, content = picture.uri.split(",", 1)
    assert head == "data:image/png;base64"
    header = base64.b64decode(content, validate=True)[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", header[16:])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """What no compression makes smaller."""
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def seen(
    *layers: np.ndarray, sample: np.ndarray | None = None, label: str | None = None
) -> LayerMaps:
    return LayerMaps(
        source="litert",
        sample=sample,
        label=label,
        layers=tuple(
            Layer(number=number, operator="CONV_2D", values=values)
            for number, values in enumerate(layers)
        ),
    )


def test_input_and_every_convolution_and_pooling_are_shown_with_their_sizes() -> None:
    (maps,) = made("fashion_cnn-8").maps_of_models
    assert maps.models == ("fashion_cnn-8 int8",) and maps.says == ()
    assert [(picture.title, picture.caption.split(";")[0]) for picture in maps.pictures] == [
        ("Golden input 0: Ankle boot", "28 × 28 × 1"),
        ("0 CONV_2D", "8 maps of 26 × 26"),
        ("1 MAX_POOL_2D", "8 maps of 13 × 13"),
        ("2 CONV_2D", "16 maps of 11 × 11"),
        ("3 MAX_POOL_2D", "16 maps of 5 × 5"),
    ]
    assert [picture.alt for picture in maps.pictures[:2]] == [
        "The input, 28 × 28 × 1",
        "Feature maps of 0 CONV_2D: 8 maps of 26 × 26",
    ]
    assert [png_size(picture) for picture in maps.pictures] == [
        (28, 28), (84, 84), (84, 84), (140, 140), (108, 108),
    ]  # fmt: skip


def test_it_is_said_that_no_board_computed_them() -> None:
    (first, *_) = made("filters-edge-pool").says
    assert first.startswith("Computed by litert ")
    assert first.endswith("on the machine that made this page, not by a board.")


def test_forms_of_a_model_that_see_the_same_are_shown_once() -> None:
    (maps,) = made("fashion_cnn-8", "fashion_cnn-8", "fashion_cnn-8").maps_of_models
    assert maps.models == ("fashion_cnn-8 int8",)


def test_same_model_gives_the_same_pictures() -> None:
    assert made("horse_or_human") == made("horse_or_human")


def test_models_without_convolutions_and_unknown_files_have_no_part() -> None:
    assert made("sine", "mnist_dnn", "linear") == FeatureMapSection()
    assert feature_maps([described.row(model_sha256="ab" * 32)], ROOTS) == FeatureMapSection()


def test_file_without_golden_inputs_is_named_in_one_line() -> None:
    assert made("filters_float32", "fashion_cnn-8_float32") == FeatureMapSection(
        says=(
            "No pictures of filters float32, fashion_cnn-8 float32: "
            "the file has no golden inputs to show.",
        )
    )


def test_missing_litert_is_said_once_and_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert made("fashion_cnn-8", "sine", "filters") == FeatureMapSection(
        says=(
            "No pictures of fashion_cnn-8 int8, filters int8: ai-edge-litert not found; "
            "LiteRT on the host needs it.",
        )
    )


def test_file_that_changed_since_its_manifest_is_said(tmp_path: Path) -> None:
    shutil.copytree(nights.ARTIFACTS / "filters", tmp_path / "filters")
    (tmp_path / "filters" / "filters_int8.tflite").write_bytes(b"other")
    (said,) = made("filters", roots=(tmp_path,)).says
    assert said.startswith("No pictures of filters int8: ")
    assert "is not the file its manifest describes" in said


def test_shades_are_explained_by_the_numbers_they_stand_for() -> None:
    values = np.zeros((3, 4, 2), np.float32)
    values[1, 1] = -2, 5
    (picture, flat), _ = shown(seen(values, np.ones((2, 2, 1), np.float32)))
    assert picture.caption == "2 maps of 3 × 4; black is -2, white 5"
    assert flat.caption == "1 map of 2 × 2; all 1"


def test_pictures_keep_their_proportions_and_fit_a_column() -> None:
    (picture,), _ = shown(seen(noise(49, 10, 4)))
    width, height = png_size(picture)
    assert picture.height == 340 and picture.width == pytest.approx(340 * width / height, abs=0.5)


def test_no_more_than_the_first_maps_are_shown() -> None:
    (picture,), says = shown(seen(noise(3, 3, 2 * MOST_MAPS)))
    assert picture.caption.startswith(f"the first {MOST_MAPS} of {2 * MOST_MAPS} maps of 3 × 3; ")
    assert says == ()


def test_large_layers_show_fewer_maps_before_small_ones_lose_any() -> None:
    views, says = shown(seen(noise(96, 96, 48), noise(12, 12, 32), sample=noise(32, 32, 3)))
    assert [picture.caption.split(";")[0] for picture in views] == [
        "32 × 32 × 3", "the first 12 of 48 maps of 96 × 96", "32 maps of 12 × 12",
    ]  # fmt: skip
    assert says == () and sum(len(picture.uri) for picture in views) < 300_000 + 100 * len(views)


def test_what_has_no_room_is_named() -> None:
    views, says = shown(seen(noise(500, 500, 4), noise(8, 8, 1), sample=noise(300, 300, 3)))
    assert [picture.title for picture in views] == ["1 CONV_2D"]
    assert says == (
        "Left out to keep the page small: Golden input 0 (300 × 300 × 3), "
        "0 CONV_2D (500 × 500 × 4).",
    )


@pytest.mark.parametrize("most_bytes", [0, 300, 5_000, 50_000, MOST_BYTES])
def test_drawings_never_exceed_their_room(most_bytes: int) -> None:
    maps = [
        Maps(title=str(side), values=noise(side, side, 20, seed=side)) for side in (40, 3, 20, 9)
    ]
    drawings = fitted(maps, most_bytes)
    assert len(drawings) == len(maps)
    assert sum(len(drawing.content) for drawing in drawings if drawing) <= most_bytes
    assert any(drawings) == (most_bytes > 300)
