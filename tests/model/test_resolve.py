"""From what a user names to the model that is meant."""

import shutil

import pytest

from harness.model.resolve import resolve_model
from harness.project import find_project


@pytest.mark.parametrize("name", ["renamed", "sine_int8", 'it\'s; "odd" $x & y'])
def test_a_file_in_an_artifact_folder_that_was_renamed_is_the_same_model(tmp_path, name):
    artifacts = find_project().artifacts
    folder = tmp_path / name
    shutil.copytree(artifacts / "sine", folder)
    for file in folder.glob("*.tflite"):
        found = resolve_model(str(file))
        before = resolve_model(str(artifacts / "sine" / file.name))
        assert (found.dtype, found.name, found.sha256) == (before.dtype, before.name, before.sha256)
        assert (found.goldens is None) == (before.goldens is None) and found.path == file
