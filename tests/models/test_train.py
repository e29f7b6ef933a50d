"""Training itself, which needs TensorFlow and takes seconds."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.idx_files import write_set

from models import cats_vs_dogs, drawings, folders, horse_or_human
from models.__main__ import main
from models.catalogue import find
from models.pictures import COLUMNS, ROWS, sheet
from models.recipe import DataError, Dataset, Examples, Recipe, Request, Schedule

pytestmark = [
    pytest.mark.train,
    # TensorFlow's own deprecations are not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]

SINE = Request(variant="1-16-1")


@pytest.fixture(autouse=True)
def tensorflow() -> None:
    # Not importorskip: it would import TensorFlow before models.quiet has set it up.
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("training needs the [train] extra")


@pytest.fixture
def tf() -> Any:
    from models.quiet import import_tensorflow

    return import_tensorflow()


def ignore_progress(epoch: int, epochs: int, loss: float, val_loss: float) -> None:
    pass


def made(
    recipe: Recipe, output: Path, schedule: str = "fast", **request: Any
) -> tuple[Path, dict[str, Any]]:
    """Folder and manifest of an artifact produced in a test."""
    from models.produce import produce

    produced = produce(
        recipe,
        request=Request(**request),
        schedule=schedule,
        output=output,
        progress=ignore_progress,
    )
    return produced.directory, produced.manifest


def sgd(rate: float, epochs: int, **other: Any) -> Schedule:
    return Schedule(
        optimizer=lambda keras, steps: keras.optimizers.SGD(rate), epochs=epochs, **other
    )


def test_same_seed_gives_the_same_bytes_and_they_are_within_bounds(tmp_path: Path) -> None:
    sine = find("sine")
    first, second = (
        made(sine, tmp_path / name, variant="1-16-16-1", seed=sine.default_seed)
        for name in ("first", "second")
    )
    assert first[1] == second[1]
    for file in first[0].iterdir():
        assert file.read_bytes() == (second[0] / file.name).read_bytes(), file.name
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["sine"]


def train_sine(tf: Any, schedule: Schedule, data: Dataset) -> Any:
    from models.train import train

    recipe = dataclasses.replace(find("sine"), schedules={"fast": schedule})
    return train(tf, recipe, request=SINE, schedule="fast", data=data, progress=ignore_progress)


def same(x: float) -> Dataset:
    """Eight times the same input, of which nothing can be learned but 0."""
    inputs = np.full((8, 1), x, np.float32)
    examples = Examples(x=inputs, y=np.zeros_like(inputs))
    return Dataset(train=examples, validation=examples, test=examples)


def test_diverged_training_stops_with_the_step_and_the_value(tf: Any) -> None:
    from models.train import TrainingDiverged

    with pytest.raises(TrainingDiverged, match=r"loss is (inf|nan) after step 2\.") as caught:
        train_sine(tf, sgd(1.0, 3, batch_size=4), same(1e30))
    assert caught.value.step == 2 and not math.isfinite(caught.value.value)


def test_loss_that_is_finite_only_in_training_stops_it_as_well(tf: Any) -> None:
    from models.train import TrainingDiverged

    data = dataclasses.replace(same(1.0), validation=same(1e30).validation)
    with pytest.raises(TrainingDiverged, match="val_loss is (inf|nan) after step 2"):
        train_sine(tf, sgd(0.001, 3, batch_size=4), data)


@pytest.mark.parametrize("bad", ["loss", "weights"])
def test_loop_of_ones_own_is_stopped_with_the_step_and_the_value(tf: Any, bad: str) -> None:
    from models.train import TrainingDiverged

    kept = {"loss": [1.0, 0.5, 0.25], "weights": [[1.0, 2.0]] * 3}
    kept[bad] = kept[bad][:2] + [math.inf if bad == "loss" else [1.0, math.nan]]
    schedule = sgd(0.1, 3, batch_size=8, loop=lambda tf, model, optimizer, batches: kept)
    with pytest.raises(TrainingDiverged, match=f"{bad} is (inf|nan) after step 3"):
        train_sine(tf, schedule, same(1.0))


def test_tape_and_fit_take_the_same_steps(tf: Any) -> None:
    from models.train import train

    recipe = find("linear")
    request = Request(variant="1")
    tape, fit = (
        train(
            tf,
            recipe,
            request=request,
            schedule=schedule,
            data=recipe.dataset(request),
            progress=ignore_progress,
        )
        for schedule in ("tape", "fast")
    )
    for ours, keras in zip(tape.whole.get_weights(), fit.whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras, atol=1e-4)
    assert len(tape.steps["weights"]) == 500 and not tape.epochs
    assert len(fit.epochs["loss"]) == 50 and not fit.steps


def test_training_stops_at_the_accuracy_asked_for(tf: Any) -> None:
    from models.train import train

    recipe = find("fashion_dnn")
    x = np.repeat(np.eye(10, 784, dtype=np.float32), 30, axis=0).reshape(-1, 28, 28)
    examples = Examples(x=x, y=np.repeat(np.arange(10), 30))
    data = Dataset(train=examples, validation=examples, test=examples)
    easy = dataclasses.replace(
        recipe.schedules["fast"],
        optimizer=lambda keras, steps: keras.optimizers.Adam(0.01),
        epochs=60,
        batch_size=30,
    )
    trained = train(
        tf,
        dataclasses.replace(recipe, schedules={"fast": easy}),
        request=Request(variant="128"),
        schedule="fast",
        data=data,
        progress=ignore_progress,
    )
    reached = trained.epochs["accuracy"]
    assert len(reached) < 60 and reached[-1] >= 0.95
    assert all(value < 0.95 for value in reached[:-1])


def test_missed_target_is_named_and_leaves_no_artifact(tmp_path: Path) -> None:
    from models.goldens import BoundsExceeded

    write_set(tmp_path / "data", train=400, test=300)
    recipe = find("mnist_dnn")
    slow = dataclasses.replace(recipe, schedules={"fast": sgd(1e-6, 1, batch_size=64)})
    with pytest.raises(BoundsExceeded, match=r"int8 accuracy is 0\.\d+, to reach 0\.97"):
        made(slow, tmp_path / "out", variant="28x28-128", folder=tmp_path / "data")
    assert not (tmp_path / "out").exists()


def test_digits_from_a_local_folder_are_learned(tmp_path: Path) -> None:
    write_set(tmp_path / "data", train=1500, test=300, packed=True)
    _, manifest = made(
        find("mnist_dnn"), tmp_path / "out", variant="28x28-128", folder=tmp_path / "data"
    )
    assert manifest["dtypes"]["int8"]["metrics"]["accuracy"] >= 0.97
    assert manifest["data"] == "MNIST" and manifest["labels"] == list("0123456789")


def test_label_outside_the_classes_stops_before_training(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8), np.float32)
    good, bad = (Examples(x=images, y=np.array(labels)) for labels in ([0] * 4, [0, 1, 10, 2]))
    recipe = dataclasses.replace(
        find("mnist_dnn"), dataset=lambda _: Dataset(train=bad, validation=good, test=good)
    )
    with pytest.raises(DataError, match="mnist_dnn, train set: label 10 of example 2"):
        made(recipe, tmp_path, variant="8x8-128")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten drawings of each class."""
    folder = tmp_path / "pictures"
    drawings.draw_set(folder, drawings.HORSES_AND_HUMANS, count=10)
    return folder


def spoil(folder: Path) -> dict[str, str]:
    """Damage pictures of a set; what should be said of each file."""
    from PIL import Image

    horses, humans = folder / "horses", folder / "humans"
    (horses / "0000.png").write_bytes(b"")
    whole = (horses / "0001.png").read_bytes()
    (horses / "0001.png").write_bytes(whole[: len(whole) // 2])
    (horses / "0002.png").write_bytes(b"no picture at all")
    Image.new("RGB", (7, 128)).save(humans / "0000.png")
    (humans / "notes.txt").write_text("a note")
    (humans / ".hidden").write_text("not counted")
    return {
        "horses/0000.png": "empty",
        "horses/0001.png": "cannot be decoded",
        "horses/0002.png": "cannot be decoded",
        "humans/0000.png": "7x128 pixels",
        "humans/notes.txt": "not one of .jpg",
    }


def test_bad_files_are_named_and_left_out_and_counted(pictures: Path) -> None:
    expected = spoil(pictures)
    said: list[str] = []
    listing = folders.list_images(pictures, said.append)
    assert len(listing.paths) == len(listing.classes) == 16
    assert listing.labels == ("horses", "humans") and sum(listing.classes) == 9
    for name, why in expected.items():
        assert any(line.startswith(f"left out {pictures / name}: {why}") for line in said), name
    assert said[-1] == "left out 5 of 21 files, 16 images remain" and len(said) == 6


def test_odd_formats_are_resized_to_rgb_of_the_side_asked_for(pictures: Path) -> None:
    from PIL import Image

    Image.new("L", (301, 57), 255).save(pictures / "horses" / "grey.jpg")
    Image.new("RGBA", (33, 64), (255, 0, 0, 128)).save(pictures / "humans" / "clear.png")
    Image.new("P", (90, 20)).save(pictures / "humans" / "palette.gif")
    data = folders.read_set(
        pictures, labels=("horses", "humans"), side=24, seed=1, say=pytest.fail, low=-1.0
    )
    parts = [[x for x, _ in data.train], [x for x, _ in data.validation], list(data.test.x)]
    assert [len(part) for part in parts] == [16, 3, 4]
    for image in parts[0] + parts[1] + parts[2]:
        assert image.shape == (24, 24, 3)
        assert np.min(image) >= -1 and np.max(image) <= 1
    assert max(np.max(x) for part in parts for x in part) > 0.9


@pytest.mark.parametrize(
    "prepare, said",
    [
        (lambda folder: [p.unlink() for p in folder.rglob("*.png")], "no usable image in class h"),
        (
            lambda folder: [p.write_bytes(b"") for p in (folder / "humans").iterdir()],
            "no usable image in class humans",
        ),
        (lambda folder: (folder / "humans").rename(folder / ".humans"), "found only horses"),
        (lambda folder: [one.rename(f"{one}.x") for one in folder.iterdir()], "classes .*horses.x"),
        (
            lambda folder: [p.unlink() for p in folder.rglob("*.png") if p.stem != "0000"],
            "2 images: too few for three parts",
        ),
    ],
)
def test_folder_of_no_use_is_refused(
    pictures: Path, prepare: Callable[[Path], Any], said: str
) -> None:
    prepare(pictures)
    with pytest.raises(DataError, match=said):
        folders.read_set(pictures, labels=("horses", "humans"), side=24, seed=1, say=len)
    with pytest.raises(DataError, match="is no folder"):
        folders.list_images(pictures / "none", len)


def test_augmented_pictures_move_and_stay_in_range(tf: Any) -> None:
    tf.random.set_seed(1)
    image = np.zeros((1, 96, 96, 3), np.float32)
    image[0, 40:60, 10:30] = 1
    found = [horse_or_human.flip_and_shift(tf, tf.constant(image)).numpy() for _ in range(20)]
    centres = {tuple(np.argwhere(one[0, ..., 0] == 1).mean(axis=0)) for one in found}
    assert len(centres) > 10
    for row, column in centres:
        assert abs(row - 49.5) <= 8 and min(abs(column - 19.5), abs(column - 75.5)) <= 8
    assert all(one.shape == image.shape and set(np.unique(one)) == {0, 1} for one in found)


def test_augmentation_is_applied_in_training_only(tf: Any) -> None:
    from models.train import _training_batches

    data = same(2.0)
    plan = sgd(0.1, 1, batch_size=8, augment=lambda tf, x: x + 1)
    x, y = next(iter(_training_batches(tf, data.train, plan, seed=1)[0]))
    assert set(x.numpy().ravel()) == {3.0} and set(y.numpy().ravel()) == {0.0}


def test_sheet_shows_each_picture_and_what_augmentation_makes_of_it(pictures: Path) -> None:
    request = Request(variant="96", folder=pictures)
    recipe = find("horse_or_human")
    plain = sheet(recipe, request=request, schedule="fast")
    shown = sheet(recipe, request=request, schedule="augmented")
    assert plain.shape == (ROWS * 96, 96, 3)
    assert shown.shape == (ROWS * 96, COLUMNS * 96, 3) and shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[:, :96], plain)
    assert (shown[:, 96:192] != plain).any() and (shown[:, 96:192] != shown[:, 192:288]).any()
    again = sheet(recipe, request=request, schedule="augmented")
    np.testing.assert_array_equal(again, shown)


def test_pictures_of_a_recipe_without_any_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pictures", "sine", "--output", str(tmp_path / "sine.png")]) == 1
    assert "the inputs of sine are no pictures: shape (1,)" in capsys.readouterr().err


def test_pictures_are_written_as_a_png(tmp_path: Path) -> None:
    file = tmp_path / "of filters" / "tiles.png"
    assert main(["pictures", "filters", "--output", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def tiny_horses(folder: Path, **schedule: Any) -> Recipe:
    """The recipe with a network and a schedule that take a second."""
    return dataclasses.replace(
        find("horse_or_human"),
        variants={
            side: lambda keras: horse_or_human.network(96, "same", (2, 2, 2, 2, 2), 4, keras)
            for side in ("96", "300")
        },
        schedules={"fast": Schedule(optimizer=horse_or_human.rmsprop, epochs=1, batch_size=8)},
        targets={},
    )


def test_pictures_become_an_int8_form_and_goldens_of_both_classes(
    pictures: Path, tmp_path: Path
) -> None:
    from harness.model.artifact import load_artifact

    folder, manifest = made(tiny_horses(pictures), tmp_path, variant="96", folder=pictures)
    assert manifest["dtypes"]["int8"]["operators"][-1] == "LOGISTIC"
    assert manifest["data"] == "pictures"
    loaded = load_artifact(folder)
    assert loaded.activation is None and loaded.labels == ("horses", "humans")
    # Three pictures are left for the test set, and the goldens are derived from these.
    assert len(loaded.goldens.inputs) == 256
    assert set(loaded.goldens.labels.tolist()) <= {0, 1}
    assert json.loads((folder / "history.json").read_text())["epochs"]["loss"]


def test_mobilenet_takes_weights_of_its_base_and_says_when_there_are_none(
    tf: Any, tmp_path: Path
) -> None:
    base = tf.keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None
    )
    path = tmp_path / "base.weights.h5"
    base.save_weights(path)
    said: list[str] = []
    for weights in (path, None):
        model = cats_vs_dogs.network(1, tf.keras)
        request = Request(variant="binary", weights=weights, say=said.append)
        cats_vs_dogs.pretrained(model, request)
        # All that learns is the head where the base was loaded, and everything where not.
        assert (len(model.trainable_variables) == 2) == (weights is not None)
        if weights is not None:
            for ours, given in zip(model.get_weights(), base.get_weights(), strict=False):
                np.testing.assert_array_equal(ours, given)
            cats_vs_dogs.unfreeze_top(model)
            assert 2 < len(model.trainable_variables) < 30
    assert len(said) == 1 and "random weights, so this is no transfer learning" in said[0]


@pytest.mark.parametrize("kind", ["absent", "no weights", "of another network"])
def test_weights_of_no_use_are_refused_by_name(tf: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "base.weights.h5"
    if kind == "no weights":
        path.write_bytes(b"not HDF5")
    elif kind == "of another network":
        tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)]).save_weights(path)
    model = cats_vs_dogs.network(1, tf.keras)
    with pytest.raises(DataError, match="cannot use weights .*base.weights.h5"):
        cats_vs_dogs.pretrained(model, Request(variant="binary", weights=path))


def test_networks_have_the_layers_of_the_course(tf: Any) -> None:
    kinds = {
        name: [type(layer).__name__ for layer in find(name).variants[variant](tf.keras).layers]
        for name, variant in (
            ("fashion_dnn", "512"),
            ("fashion_cnn", "64"),
            ("horse_or_human", "300"),
        )
    }
    assert kinds["fashion_dnn"] == ["Flatten", "Dense", "Dense"]
    block = ["Conv2D", "MaxPooling2D"]
    assert [kind for kind in kinds["fashion_cnn"] if kind != "Dropout"] == [
        *block * 2,
        "Flatten",
        "Dense",
        "Dense",
    ]
    assert kinds["horse_or_human"] == [*block * 5, "Flatten", "Dense", "Dense"]
    # Conv 448 + 4640 + 18496 + 36928 + 36928, Dense 1606144 + 513: the course's summary.
    assert find("horse_or_human").variants["300"](tf.keras).count_params() == 1_704_097
