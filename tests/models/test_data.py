"""Data sets of the recipes: where they are found, and what is said of bad ones."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.idx_files import NAMES, idx_bytes, write_set

from models import drawings, filters, idx, images
from models.recipe import DataError, Request

ROOT = Path(__file__).parents[2]
FASHION = Request(variant="128")


@pytest.mark.parametrize("packed", [False, True])
def test_idx_set_is_read_plain_and_gzipped(tmp_path: Path, packed: bool) -> None:
    write_set(tmp_path, train=30, test=20, packed=packed)
    train, test = idx.load(tmp_path, 10)
    assert train.x.shape == (30, 28, 28) and test.x.shape == (20, 28, 28)
    assert train.x.dtype == np.float32 and 0 <= train.x.min() and train.x.max() <= 1
    bars = test.x.mean(axis=2).argmax(axis=1)
    assert np.all((bars - 2 * test.y >= 0) & (bars - 2 * test.y <= 2))


@pytest.mark.parametrize(
    "content, named",
    [
        (b"", "is not an IDX file of unsigned bytes"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x00", "is not an IDX file of unsigned bytes"),
        (b"\x00\x00\x08\x03\x00\x00", "is cut inside its header"),
        (idx_bytes(np.zeros((3, 4)))[:-1], r"holds 11 bytes, its header says \(3, 4\)"),
        (idx_bytes(np.zeros(3)) + b"x", r"holds 4 bytes, its header says \(3,\)"),
    ],
)
def test_malformed_idx_file_is_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"labels {named}"):
        idx.read(path)


def test_cut_or_absent_gzip_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    with pytest.raises(DataError, match="cannot read .*labels.gz: .*No such file"):
        idx.read(path)
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(900)))[:-9])
    with pytest.raises(DataError, match="cannot read .*labels.gz"):
        idx.read(path)


def test_label_outside_the_classes_is_refused_with_file_and_place(tmp_path: Path) -> None:
    write_set(tmp_path, train=9, test=3)
    labels = np.array([1, 2, 10, 3, 4, 5, 6, 7, 99])
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(labels))
    with pytest.raises(DataError, match=f"{NAMES[1]}: label 10 of example 2 is not one .* 2 such"):
        idx.load(tmp_path, 10)


def test_more_images_than_labels_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, train=9, test=3)
    (tmp_path / NAMES[1]).write_bytes(idx_bytes(np.zeros(8)))
    with pytest.raises(DataError, match="9 inputs and 8 expected outputs"):
        idx.load(tmp_path, 10)


def test_folder_that_lacks_files_names_them(tmp_path: Path) -> None:
    write_set(tmp_path, train=9, test=3)
    (tmp_path / NAMES[0]).unlink()
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(DataError, match=f"has no Fashion-MNIST: it lacks {NAMES[0]}, {NAMES[3]}"):
        images.fashion(Request(variant="128", folder=tmp_path))


def test_absent_fashion_mnist_is_explained_by_all_three_ways(tmp_path: Path) -> None:
    folders = (tmp_path / "debian", tmp_path / "keras")
    with pytest.raises(DataError) as caught:
        images.fashion(FASHION, usual=folders)
    text = str(caught.value)
    assert all(str(folder) in text for folder in folders)
    assert "sudo apt-get install dataset-fashion-mnist" in text
    assert "keras.datasets.fashion_mnist.load_data()" in text and "--data DIR" in text


def test_fashion_mnist_is_split_and_takes_the_first_folder_that_has_it(tmp_path: Path) -> None:
    write_set(tmp_path / "b", train=40, test=20)
    data = images.fashion(FASHION, channels=True, usual=(tmp_path / "a", tmp_path / "b"))
    assert data.train.x.shape == (30, 28, 28, 1) and data.validation.x.shape == (10, 28, 28, 1)
    assert data.test.x.shape == (20, 28, 28, 1) and data.source == "Fashion-MNIST"


def test_mnist_is_read_from_the_folder_given(tmp_path: Path) -> None:
    write_set(tmp_path, train=40, test=20)
    data = images.mnist(Request(variant="28x28-128", folder=tmp_path))
    assert len(data.train.x) == 30 and data.source == "MNIST"


def test_digits_are_split_and_another_seed_shuffles_otherwise() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is in the [train] extra")
    data, other = (images.digits(Request(variant="8x8-128", seed=seed)) for seed in (1, 2))
    assert [len(part.x) for part in (data.train, data.validation, data.test)] == [1200, 197, 400]
    assert data.train.x.shape[1:] == (8, 8) and data.train.x.max() == 1
    assert not np.array_equal(data.train.y, other.train.y)
    with pytest.raises(DataError, match="--data is for the 28x28 variants"):
        images.digits(Request(variant="8x8-128", folder=Path("x")))


def test_filters_by_hand_on_a_single_bright_pixel() -> None:
    image = np.zeros((1, 4, 4, 1), np.float32)
    image[0, 1, 1, 0] = 1
    assert filters.filtered(image, "edge", pooled=False)[0, ..., 0].tolist() == [[8, 0], [0, 0]]
    assert filters.filtered(image, "sharpen", pooled=False)[0, 0, 0, 0] == 5
    blurred = filters.filtered(image, "blur", pooled=False)
    assert blurred.ravel().tolist() == pytest.approx([1 / 9] * 4)
    assert filters.filtered(image, "edge", pooled=True).ravel().tolist() == [8]


def test_drawings_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        drawings.draw_set(tmp_path / name, drawings.CATS_AND_DOGS, count=3, seed=seed)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert [str(path) for path in files] == [
        f"{kind}/{number:04}.png" for kind in ("cats", "dogs") for number in range(3)
    ]
    contents = [[(tmp_path / name / path).read_bytes() for path in files] for name in "abc"]
    assert contents[0] == contents[1] != contents[2]
    assert len(set(contents[0])) == 6


def test_synthetic_set_is_drawn_once_and_said_to_be_synthetic(tmp_path: Path) -> None:
    said: list[str] = []
    request = Request(variant="96", seed=5, say=said.append)
    folder = drawings.folder_for(request, "horse", {"horses": drawings.horse}, tmp_path)
    assert len(list(folder.glob("horses/*.png"))) == drawings.COUNT
    before = folder.stat().st_mtime_ns
    assert drawings.folder_for(request, "horse", {"horses": drawings.horse}, tmp_path) == folder
    assert folder.stat().st_mtime_ns == before
    assert "synthetic drawings" in said[0] and "not photographs" in said[0] and len(said) == 2


def test_figures_stay_inside_the_picture_frame() -> None:
    dice = random.Random(9)
    for _ in range(50):
        x, y = drawings.Frame(dice).at(0, 0)
        assert 0 < x < drawings.SIDE and 0 < y < drawings.SIDE


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["linear", "--weights", "w.h5"], "linear takes no pretrained weights"),
        (["sine", "--data", "/tmp"], "sine has its data built in: leave out --data"),
        (["fashion_dnn", "--data", "/nonexistent"], "/nonexistent has no Fashion-MNIST"),
        (["horse_or_human", "--data", "/nonexistent"], "/nonexistent is no folder"),
    ],
)
def test_data_and_weights_that_are_of_no_use_end_training_in_one_line(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "models", "train", *arguments, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {arguments[0]}: ") and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and list(tmp_path.iterdir()) == []
