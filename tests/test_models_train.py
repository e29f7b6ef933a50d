"""Training itself, which needs TensorFlow and takes seconds."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from models.catalogue import find
from models.recipe import Dataset, Examples, Recipe, Schedule

pytestmark = [
    pytest.mark.train,
    # TensorFlow's own deprecations are not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


def tensorflow_or_skip() -> None:
    # Not importorskip: it would import TensorFlow before models.quiet has set it up.
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("training needs the [train] extra")


def ignore_progress(epoch: int, epochs: int, loss: float, val_loss: float) -> None:
    pass


def test_same_seed_gives_the_same_bytes_and_they_are_within_bounds(tmp_path: Path) -> None:
    tensorflow_or_skip()
    from models.goldens import check
    from models.produce import produce

    sine = find("sine")
    first, second = (
        produce(
            sine,
            variant="1-16-16-1",
            schedule="fast",
            seed=sine.default_seed,
            output=tmp_path / name,
            progress=ignore_progress,
        )
        for name in ("first", "second")
    )
    check(sine.bounds["1-16-16-1"], first.errors)
    assert first.manifest == second.manifest
    for file in first.directory.iterdir():
        assert file.read_bytes() == (second.directory / file.name).read_bytes(), file.name
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["sine"]


def test_diverged_training_stops_with_the_step_and_the_value() -> None:
    tensorflow_or_skip()
    from models.quiet import import_tensorflow
    from models.train import TrainingDiverged, train

    x = np.full((8, 1), 1e30, np.float32)
    examples = Examples(x=x, y=np.zeros_like(x))
    data = Dataset(train=examples, validation=examples, test=examples)
    steep = Schedule(
        optimizer=lambda keras, steps: keras.optimizers.SGD(1.0), epochs=3, batch_size=4
    )
    recipe: Recipe = dataclasses.replace(find("sine"), schedules={"fast": steep})
    with pytest.raises(TrainingDiverged, match=r"loss is (inf|nan) after step 2\."):
        train(
            import_tensorflow(),
            recipe,
            variant="1-16-1",
            schedule="fast",
            seed=1,
            data=data,
            progress=ignore_progress,
        )
