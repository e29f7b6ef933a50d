"""Committed artifacts agree with their manifests, their goldens and the code that made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.model.goldens import derive
from harness.model.graph import read_graph
from harness.model.tensor import TensorSpec, dequantize
from models import artifact, goldens
from models.catalogue import find
from models.interpret import litert, tflm

MANIFESTS = sorted(artifact.DEFAULT_OUTPUT.glob("*/manifest.json"))
each_artifact = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def current_sha256(manifest: dict[str, Any]) -> str:
    return artifact.recipe_sha256(
        find(manifest["recipe"]),
        variant=manifest["variant"],
        schedule=manifest["schedule"],
        seed=manifest["seed"],
    )


def test_every_recipe_whose_files_are_small_has_a_committed_artifact() -> None:
    names = {path.parent.name for path in MANIFESTS}
    assert {"sine", "sine-1-16-1", "linear", "linear-2-1", "filters", "filters-edge-pool"} <= names
    assert {"fashion_dnn", "fashion_cnn", "fashion_cnn-8", "mnist_dnn", "horse_or_human"} <= names


@each_artifact
def test_artifact_was_made_by_the_present_recipe_and_its_files_are_whole(path: Path) -> None:
    manifest = read(path)
    assert artifact.is_current(path.parent, current_sha256(manifest)), (
        f"the recipe or a file changed; run: python -m models train {manifest['recipe']} "
        f"--variant {manifest['variant']}"
    )


@each_artifact
def test_manifest_repeats_what_the_files_say(path: Path) -> None:
    for entry in read(path)["dtypes"].values():
        file = path.parent / entry["file"]
        if not file.exists() and entry["size_bytes"] > artifact.COMMITTED_BYTES:
            continue
        content = file.read_bytes()
        graph = read_graph(content, name=file.stem)
        assert entry["size_bytes"] == len(content)
        assert entry["operators"] == [operator.kind for operator in graph.operators]
        assert entry["macs"] == graph.macs
        assert entry["inputs"][0]["shape"] == list(graph.inputs[0].shape)
        assert (entry["outputs"][0]["scale"] or 0.0) == graph.outputs[0].scale


@each_artifact
def test_int8_model_takes_and_gives_int8_and_has_one_scale_per_dense_layer(path: Path) -> None:
    forms = read(path)["dtypes"]
    assert forms["int8"]["inputs"][0]["dtype"] == forms["int8"]["outputs"][0]["dtype"] == "int8"
    assert not forms["int8"]["per_channel_dense"]


@each_artifact
def test_int8_file_includes_the_last_function(path: Path) -> None:
    manifest = read(path)
    activation = find(manifest["recipe"]).head_of(manifest["variant"]).activation
    last = {None: None, "softmax": "SOFTMAX", "sigmoid": "LOGISTIC"}[activation]
    forms = manifest["dtypes"]
    assert set(forms) == {"float32", "dynamic_range", "int8"}
    assert forms["int8"]["activation"] is None
    assert last in (None, forms["int8"]["operators"][-1])


@each_artifact
def test_int8_reaches_the_recipes_targets_and_loses_little_to_float(path: Path) -> None:
    manifest = read(path)
    recipe = find(manifest["recipe"])
    if "accuracy" not in recipe.metrics:
        return
    reached = manifest["dtypes"]["int8"]["metrics"]["accuracy"]
    assert reached >= recipe.targets[manifest["variant"]]["accuracy"]
    # Half a point, of which FACTS saw a tenth.
    assert abs(reached - manifest["dtypes"]["float32"]["metrics"]["accuracy"]) <= 0.005


@each_artifact
def test_git_gets_no_file_that_is_too_large(path: Path) -> None:
    ignored = path.parent / artifact.IGNORED
    large = {
        entry["file"]
        for entry in read(path)["dtypes"].values()
        if entry["size_bytes"] > artifact.COMMITTED_BYTES
    }
    listed = ignored.read_text().splitlines()[1:] if ignored.exists() else []
    assert set(listed) == {f"/{name}" for name in large}


def stored_goldens(path: Path) -> goldens.Goldens:
    """Goldens as the harness reads them, which is tested to agree with how models derives them."""
    manifest = read(path)
    table = manifest["goldens"]
    with np.load(path.parent / table["file"]) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if table["bases"] is not None:
        arrays["int8_inputs"] = derive(arrays.pop("int8_bases"), table["count"])
    if "float_outputs" not in arrays:
        whole = (path.parent / manifest["dtypes"]["float32"]["file"]).read_bytes()
        tensor = TensorSpec(**manifest["dtypes"]["int8"]["inputs"][0])
        arrays["float_outputs"] = litert(whole)(dequantize(arrays["int8_inputs"], tensor))
    absent = {"truth": None, "labels": None}
    return goldens.Goldens(**{**absent, **arrays})


@each_artifact
def test_goldens_are_what_tflite_micro_computes(path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel is not on this platform")
    manifest, golden = read(path), stored_goldens(path)
    assert len(golden.int8_inputs) == manifest["goldens"]["count"] >= 256
    for form, name in manifest["goldens"]["outputs"].items():
        content = (path.parent / manifest["dtypes"][form]["file"]).read_bytes()
        assert np.array_equal(tflm(content)(golden.int8_inputs), getattr(golden, name))


@each_artifact
def test_goldens_are_within_the_stated_bounds(path: Path) -> None:
    manifest = read(path)
    recipe = find(manifest["recipe"])
    graphs = {
        form: read_graph((path.parent / manifest["dtypes"][form]["file"]).read_bytes(), name=form)
        for form in manifest["goldens"]["outputs"]
    }
    found = goldens.errors(recipe, stored_goldens(path), graphs)
    assert set(found) == set(graphs)
    goldens.check(recipe.bounds[manifest["variant"]], found)


@each_artifact
def test_goldens_of_a_classifier_hold_every_class(path: Path) -> None:
    labels = find(read(path)["recipe"]).labels
    golden = stored_goldens(path)
    assert (golden.labels is not None) == bool(labels)
    if golden.labels is not None:
        assert set(golden.labels.tolist()) == set(range(len(labels)))


def test_tape_kept_loss_and_weights_of_every_step() -> None:
    folder = artifact.DEFAULT_OUTPUT / "linear"
    steps = json.loads((folder / artifact.HISTORY).read_text())["steps"]
    assert len(steps["loss"]) == len(steps["weights"]) == 500
    assert steps["loss"][-1] < 1e-3 < steps["loss"][0]
    # y = 2x - 1: the loop's last step is where the model's weight and bias are.
    assert steps["weights"][-1] == pytest.approx([2, -1], abs=0.05)


def test_sine_has_the_multiply_accumulates_of_its_weights() -> None:
    # Weights of 1-16-16-1: 16 + 256 + 16; of 1-16-1: 16 + 16.
    macs = {path.parent.name: read(path)["dtypes"]["int8"]["macs"] for path in MANIFESTS}
    assert (macs["sine"], macs["sine-1-16-1"]) == (288, 32)


def test_sine_goldens_cover_every_int8_once() -> None:
    with np.load(artifact.DEFAULT_OUTPUT / "sine" / artifact.GOLDENS) as stored:
        assert stored["int8_inputs"].reshape(-1).tolist() == list(range(-128, 128))


@pytest.mark.parametrize("damage", ["missing", "changed", "no manifest"])
def test_damaged_artifact_is_not_current(tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "sine"
    shutil.copytree(artifact.DEFAULT_OUTPUT / "sine", copy)
    sha256 = read(copy / artifact.MANIFEST)["recipe_sha256"]
    assert artifact.is_current(copy, sha256)
    victim = copy / (artifact.MANIFEST if damage == "no manifest" else "sine_int8.tflite")
    if damage == "changed":
        victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    else:
        victim.unlink()
    assert not artifact.is_current(copy, sha256)


def test_seed_variant_and_schedule_each_change_the_recipe_hash() -> None:
    sine = find("sine")
    hashes = {
        artifact.recipe_sha256(sine, variant=variant, schedule=schedule, seed=seed)
        for variant in sine.variants
        for schedule in sine.schedules
        for seed in (1, 2)
    }
    assert len(hashes) == 8


def test_hash_changes_with_code_and_not_with_comments_and_docstrings() -> None:
    code = artifact._code("def f():\n    return 1\n")
    assert code == artifact._code(
        '"""About."""\nX = 0  # Why.\n\ndef f():\n    """A\n    B."""\n    return 1\n'
    ).removeprefix("X = 0\n")
    assert code != artifact._code("def f():\n    return 2\n")


def test_hash_covers_what_a_recipe_imports_and_nothing_that_only_prints() -> None:
    used = artifact._with_imports("models.horse_or_human")
    assert {"models.drawings", "models.folders", "models.training", "models.recipe"} <= used
    assert "models.images" not in used and "models.__main__" not in used
    assert "models.idx" in artifact._with_imports("models.fashion_dnn")


def test_large_files_are_ignored_by_git_and_may_be_absent(tmp_path: Path) -> None:
    large, small = bytes(artifact.COMMITTED_BYTES + 1), b"small"
    manifest = {
        "recipe_sha256": "ab",
        "dtypes": {
            name: {
                "file": f"{name}.tflite",
                "sha256": artifact.file_sha256(content),
                "size_bytes": len(content),
            }
            for name, content in (("float32", large), ("int8", small))
        },
        "goldens": {"file": "g", "sha256": artifact.file_sha256(b"")},
        "history": {"file": "h", "sha256": artifact.file_sha256(b"")},
    }
    files = {"float32.tflite": large, "int8.tflite": small, "g": b"", "h": b""}
    folder = tmp_path / "model"
    artifact.write(folder, files, manifest)
    assert (folder / ".gitignore").read_text().splitlines()[1:] == ["/float32.tflite"]
    (folder / "float32.tflite").unlink()
    assert artifact.is_current(folder, "ab")
    (folder / "int8.tflite").unlink()
    assert not artifact.is_current(folder, "ab")
    artifact.write(folder, {**files, "float32.tflite": small}, manifest)
    assert not (folder / ".gitignore").exists()


def test_packing_the_same_goldens_twice_gives_the_same_bytes() -> None:
    ones = np.ones((2, 1), np.float32)
    golden = goldens.Goldens(
        int8_inputs=ones.astype(np.int8),
        int8_outputs=ones.astype(np.int8),
        float_outputs=ones,
        truth=None,
        labels=None,
    )
    assert goldens.pack(golden, None) == goldens.pack(golden, None)


def test_broken_bound_is_named_with_its_value() -> None:
    bounds = find("sine").bounds["1-16-16-1"]
    with pytest.raises(goldens.BoundsExceeded, match="int8 max_abs_vs_float is 9"):
        goldens.check(bounds, {"int8": {"mae_vs_float": 0.001, "max_abs_vs_float": 9.0}})
