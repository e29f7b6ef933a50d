from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.artifact import find_artifact, list_models, load_artifact
from harness.compare import Bounds
from harness.errors import ModelError, UnknownName

INPUTS = np.array([[-128], [0], [127]], dtype=np.int8)


def packed(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


GOLDENS = packed(
    int8_inputs=INPUTS,
    int8_outputs=INPUTS[::-1],
    inputs_real=np.array([[-1.0], [0.0], [7.0]], dtype=np.float32),
    float_outputs=np.zeros((3, 1), dtype=np.float32),
    truth=np.ones((3, 1), dtype=np.float32),
)


def described(dtype: str, **other: Any) -> dict[str, Any]:
    tensor = {"shape": [1, 1], "dtype": dtype, "scale": None, "zero_point": None, "name": "x"}
    if dtype == "int8":
        tensor |= {"scale": 0.5, "zero_point": -128}
    content = dtype.encode()
    return {
        "file": f"sine_{dtype}.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": [tensor],
        "outputs": [tensor],
        "operators": ["FULLY_CONNECTED"],
        "per_channel_dense": False,
        **other,
    }


def manifest() -> dict[str, Any]:
    return {
        "schema": 1,
        "model": "sine",
        "dtypes": {"int8": described("int8"), "float32": described("float32")},
        "goldens": {
            "file": "goldens.npz",
            "sha256": hashlib.sha256(GOLDENS).hexdigest(),
            "dtype": "int8",
            "produced_by": "tflite-micro 1",
        },
        "bounds": {"mae_vs_float": 0.5},
        "domain": [0.0, 6.0],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sine"
    made.mkdir()
    (made / "manifest.json").write_text(json.dumps(manifest()))
    (made / "goldens.npz").write_bytes(GOLDENS)
    for dtype in ("int8", "float32"):
        (made / f"sine_{dtype}.tflite").write_bytes(dtype.encode())
    return made


def test_artifact_holds_what_its_manifest_says(folder: Path) -> None:
    found = load_artifact(folder)
    assert (found.name, found.model, found.dtype) == ("sine_int8", "sine", "int8")
    assert found.content == b"int8" and found.sha256 == hashlib.sha256(b"int8").hexdigest()
    assert found.inputs[0].scale == 0.5 and found.inputs[0].zero_point == -128
    assert found.inputs[0].shape == (1, 1) and found.operators == ("FULLY_CONNECTED",)
    assert found.bounds == Bounds(mae_vs_float=0.5)
    assert found.float_path == folder / "sine_float32.tflite"


def test_goldens_are_read_and_inputs_outside_the_domain_marked(folder: Path) -> None:
    goldens = load_artifact(folder).goldens
    assert np.array_equal(goldens.inputs, INPUTS) and np.array_equal(goldens.outputs, INPUTS[::-1])
    assert goldens.in_domain.tolist() == [False, True, False]
    assert goldens.produced_by == "tflite-micro 1"


def test_float_file_has_no_goldens_bounds_or_scale(folder: Path) -> None:
    found = load_artifact(folder, "float32")
    assert found.goldens is None and found.bounds == Bounds()
    assert not found.inputs[0].quantized


def test_goldens_without_truth_have_no_domain(folder: Path) -> None:
    content = packed(int8_inputs=INPUTS, int8_outputs=INPUTS, inputs_real=INPUTS / 2)
    changed = manifest()
    changed["goldens"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "goldens.npz").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(changed))
    goldens = load_artifact(folder).goldens
    assert (goldens.truth, goldens.float_outputs, goldens.in_domain) == (None, None, None)


@pytest.mark.parametrize("name", ["sine_int8.tflite", "goldens.npz"])
def test_changed_or_missing_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"changed")
    with pytest.raises(ModelError, match=rf"{name} is not the file its manifest describes"):
        load_artifact(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"cannot read .*{name}: No such file"):
        load_artifact(folder)


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(changed: dict[str, Any]) -> None:
        for key in path[:-1]:
            changed = changed[key]
        del changed[path[-1]]

    return change


def put(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(changed: dict[str, Any]) -> None:
        for key in path[:-1]:
            changed = changed[key]
        changed[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change, named",
    [
        (put(2, "schema"), "schema 2, this harness reads 1"),
        (without("schema"), "schema None"),
        (without("dtypes"), "malformed: KeyError.'dtypes'"),
        (without("goldens"), "malformed"),
        (without("model"), "malformed"),
        (without("dtypes", "int8", "inputs"), "malformed"),
        (put(None, "dtypes", "int8", "outputs"), "malformed"),
        (put({"nonsense": 1}, "bounds"), "malformed"),
        (put([described("float64")["inputs"][0]], "dtypes", "int8", "inputs"), "dtype float64"),
        (put("zero", "dtypes", "int8", "inputs", 0, "zero_point"), "malformed"),
        (put([], "dtypes"), "malformed|dtype"),
        (put(3, "goldens"), "malformed"),
    ],
)
def test_malformed_manifest_is_refused(folder: Path, change: Any, named: str) -> None:
    changed = manifest()
    change(changed)
    (folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises((ModelError, UnknownName), match=named):
        load_artifact(folder)


@pytest.mark.parametrize("text, named", [("{", "is not JSON"), ("", "is not JSON"), ("[]", "")])
def test_manifest_that_is_no_json_object_is_refused(folder: Path, text: str, named: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=f"manifest.json.*{named}"):
        load_artifact(folder)


def test_missing_manifest_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read .*manifest.json: No such file"):
        load_artifact(tmp_path)


def test_goldens_of_other_arrays_are_refused(folder: Path) -> None:
    for content in (packed(other=INPUTS), b"not a zip"):
        changed = manifest()
        changed["goldens"]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "goldens.npz").write_bytes(content)
        (folder / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(ModelError, match="malformed"):
            load_artifact(folder)


def test_unknown_dtype_lists_the_known(folder: Path) -> None:
    with pytest.raises(UnknownName, match="dtype of model sine 'int4'; known: float32, int8"):
        load_artifact(folder, "int4")


@pytest.mark.parametrize(
    "asked, name", [("sine", "sine_int8"), ("sine_int8", "sine_int8"), ("sine_float32",) * 2]
)
def test_model_is_found_by_name_and_by_stem(folder: Path, asked: str, name: str) -> None:
    assert find_artifact(folder.parent, asked).name == name


def test_model_is_found_by_the_path_of_its_folder(folder: Path, tmp_path: Path) -> None:
    assert find_artifact(tmp_path / "elsewhere", str(folder)).name == "sine_int8"


def test_unknown_model_lists_the_known(folder: Path) -> None:
    (folder.parent / "no_manifest").mkdir()
    assert list_models(folder.parent) == ["sine"]
    with pytest.raises(UnknownName, match="unknown model 'cosine'; known: sine"):
        find_artifact(folder.parent, "cosine")
