"""`harness.model.training`: which training made a model file, and what it recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import ModelError
from harness.model.artifact import list_models, load_artifact
from harness.model.training import find_trained, read_history
from harness.project import find_project

ARTIFACTS = find_project().artifacts


def test_file_is_found_by_its_hash_whatever_it_is_called() -> None:
    sine = load_artifact(ARTIFACTS / "sine", "float32")
    found = find_trained(sine.sha256, [ARTIFACTS])
    assert found is not None and (found.folder.name, found.dtype) == ("sine", "float32")
    assert find_trained("0" * 64, [ARTIFACTS]) is None


def test_folders_are_searched_in_order_and_broken_ones_passed_over(tmp_path: Path) -> None:
    shutil.copytree(ARTIFACTS / "sine", tmp_path / "mine" / "sine")
    (tmp_path / "mine" / "broken").mkdir()
    (tmp_path / "mine" / "broken" / "manifest.json").write_text("{")
    found = find_trained(load_artifact(ARTIFACTS / "sine").sha256, [tmp_path / "mine", ARTIFACTS])
    assert found is not None and found.folder == tmp_path / "mine" / "sine"
    assert find_trained("0" * 64, [tmp_path / "absent"]) is None


@pytest.mark.parametrize("name", list_models(ARTIFACTS))
def test_history_of_every_committed_model_is_read(name: str) -> None:
    history = read_history(ARTIFACTS / name)
    held = json.loads((ARTIFACTS / name / "history.json").read_text())
    assert history.epochs == {metric: tuple(values) for metric, values in held["epochs"].items()}
    assert ("loss" in history.steps) == ("loss" in held["steps"])


def test_series_of_weights_is_not_a_curve() -> None:
    assert set(read_history(ARTIFACTS / "linear").steps) == {"loss"}


def test_changed_or_absent_history_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ARTIFACTS / "sine", tmp_path / "sine"))
    (folder / "history.json").write_text('{"epochs": {"loss": [0.0]}, "steps": {}}')
    with pytest.raises(ModelError, match="not the file its manifest describes"):
        read_history(folder)
    (folder / "history.json").unlink()
    with pytest.raises(ModelError, match="cannot read"):
        read_history(folder)
