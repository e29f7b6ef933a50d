"""Committed artifacts agree with their manifests, their goldens and the code that made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import artifact, goldens
from models.catalogue import find
from models.interpret import dequantize, quantize, tflm
from models.tflite_file import Tensor, summarize

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


def test_both_sines_are_committed() -> None:
    assert {"sine", "sine-1-16-1"} <= {path.parent.name for path in MANIFESTS}


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
        content = (path.parent / entry["file"]).read_bytes()
        summary = summarize(content)
        assert entry["size_bytes"] == len(content)
        assert entry["operators"] == list(summary.operators)
        assert entry["macs"] == summary.macs
        assert entry["inputs"][0]["shape"] == list(summary.inputs[0].shape)
        assert entry["outputs"][0]["scale"] == summary.outputs[0].scale


@each_artifact
def test_int8_model_takes_and_gives_int8_and_has_one_scale_per_dense_layer(path: Path) -> None:
    entry = read(path)["dtypes"]["int8"]
    assert entry["inputs"][0]["dtype"] == entry["outputs"][0]["dtype"] == "int8"
    assert not entry["per_channel_dense"]


@each_artifact
def test_goldens_are_what_tflite_micro_computes(path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel is not on this platform")
    manifest = read(path)
    content = (path.parent / manifest["dtypes"]["int8"]["file"]).read_bytes()
    with np.load(path.parent / manifest["goldens"]["file"]) as stored:
        assert len(stored["int8_inputs"]) == manifest["goldens"]["count"]
        assert np.array_equal(tflm(content)(stored["int8_inputs"]), stored["int8_outputs"])


@each_artifact
def test_goldens_are_within_the_stated_bounds(path: Path) -> None:
    manifest = read(path)
    recipe = find(manifest["recipe"])
    summary = summarize((path.parent / manifest["dtypes"]["int8"]["file"]).read_bytes())
    with np.load(path.parent / manifest["goldens"]["file"]) as stored:
        arrays = {name: stored[name] for name in stored.files}
    golden = goldens.Goldens(**{"truth": None, **arrays})
    goldens.check(recipe.bounds[manifest["variant"]], goldens.errors(recipe, golden, summary))


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


def test_packing_the_same_goldens_twice_gives_the_same_bytes() -> None:
    ones = np.ones((2, 1), np.float32)
    golden = goldens.Goldens(
        int8_inputs=ones.astype(np.int8),
        int8_outputs=ones.astype(np.int8),
        inputs_real=ones,
        float_outputs=ones,
        truth=None,
    )
    assert goldens.pack(golden) == goldens.pack(golden)


def test_halves_are_quantized_away_from_zero_and_ends_saturate() -> None:
    tensor = Tensor(name="x", shape=(1, 1), dtype="int8", scale=1.0, zero_point=0)
    real = np.array([0.5, -0.5, 2.5, -2.5, 1000, -1000], np.float32)
    assert quantize(real, tensor).tolist() == [1, -1, 3, -3, 127, -128]
    assert dequantize(quantize(real, tensor), tensor).dtype == np.float32


def test_broken_bound_is_named_with_its_value() -> None:
    bounds = find("sine").bounds["1-16-16-1"]
    with pytest.raises(goldens.BoundsExceeded, match="max_abs_vs_float is 9"):
        goldens.check(bounds, {"mae_vs_float": 0.001, "max_abs_vs_float": 9.0})
