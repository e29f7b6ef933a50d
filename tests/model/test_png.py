from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.model.png import FRAME, LEAST_SIDE, grid, picture, png, shades


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 7, 3)])
def test_pixels_written_come_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path / "picture.png"
    path.write_bytes(png(pixels))
    with Image.open(path) as image:
        assert image.size == (shape[1], shape[0])
        assert image.mode == ("L" if len(shape) == 2 else "RGB")
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_shades_run_from_the_lowest_to_the_highest() -> None:
    assert shades(np.array([-2.0, 0.0, 2.0])).tolist() == [0, 128, 255]
    assert shades(np.array([7, 7], dtype=np.int8)).tolist() == [0, 0]


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    pixels = picture(np.array([[0, 1], [2, 3]], dtype=np.int8)[..., np.newaxis])
    assert pixels.shape == (LEAST_SIDE, LEAST_SIDE)
    assert pixels[0, 0] == 0 and pixels[-1, -1] == 255
    assert len(np.unique(pixels)) == 4


@pytest.mark.parametrize("channels, across, down", [(1, 1, 1), (2, 2, 1), (5, 3, 2), (16, 4, 4)])
def test_channels_stand_in_a_grid_with_frames(channels: int, across: int, down: int) -> None:
    pixels = grid(np.zeros((LEAST_SIDE, LEAST_SIDE, channels)))
    assert pixels.shape == (down * (LEAST_SIDE + 2), across * (LEAST_SIDE + 2))


def test_places_without_a_map_are_no_dark_maps() -> None:
    pixels = grid(np.zeros((2, 2, 3)), least_side=2)
    assert (pixels[4:, 4:] == FRAME).all()
    assert pixels[5, 1] == pixels[1, 5] == 0


def test_side_to_enlarge_to_can_be_chosen() -> None:
    assert picture(np.zeros((5, 7)), least_side=9).shape == (10, 14)
    assert grid(np.zeros((5, 7, 1)), least_side=5).shape == (7, 9)
