from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from harness.errors import ModelError, UnknownName
from harness.firmware.aot_graph import FileWriter
from harness.model.artifact import find_artifact, list_models, load_artifact
from harness.model.goldens import Bounds, Probe, derive
from harness.model.manifest import MOST_MANIFEST
from harness.model.subgraphs import Tensor
from harness.tolerance import parse_tolerance

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


@cache
def dense(dtype: str) -> bytes:
    """A file of one Dense layer with one weight."""
    if dtype == "float64":  # None that a board runs.
        return b""
    grid = {"scales": (0.5,), "zero_points": (-128,)} if dtype == "int8" else {}
    writer = FileWriter()
    ends = Tensor(index=0, shape=(1, 1), dtype=dtype, **grid)
    weight = Tensor(index=1, shape=(1, 1), dtype=dtype, content=bytes(np.dtype(dtype).itemsize))
    given, weights, made = (writer.tensor(tensor) for tensor in (ends, weight, ends))
    writer.operator("FULLY_CONNECTED", [given, weights, -1], [made])
    return writer.content([given], [made])


def described(dtype: str, **other: Any) -> dict[str, Any]:
    tensor = {"shape": [1, 1], "dtype": dtype, "scale": None, "zero_point": None, "name": "x"}
    if dtype == "int8":
        tensor |= {"scale": 0.5, "zero_point": -128}
    content = dense(dtype)
    return {
        "file": f"sine_{dtype}.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": [tensor],
        "outputs": [tensor],
        "operators": ["FULLY_CONNECTED"],
        "per_channel_dense": False,
        "activation": None,
        "macs": 3,
        **other,
    }


def manifest() -> dict[str, Any]:
    return {
        "schema": 2,
        "model": "sine",
        "dtypes": {"int8": described("int8"), "float32": described("float32")},
        "goldens": {
            "file": "goldens.npz",
            "sha256": hashlib.sha256(GOLDENS).hexdigest(),
            "count": 3,
            "bases": None,
            "inputs_sha256": hashlib.sha256(INPUTS.tobytes()).hexdigest(),
            "outputs": {"int8": "int8_outputs"},
            "produced_by": "tflite-micro 1",
        },
        "bounds": {"mae_vs_float": 0.5},
        "domain": [0.0, 6.0],
        "labels": [],
        "probes": [{"what": "the middle", "x": [0.0], "y": [1.0], "within": 0.5}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sine"
    made.mkdir()
    (made / "manifest.json").write_text(json.dumps(manifest()))
    (made / "goldens.npz").write_bytes(GOLDENS)
    for dtype in ("int8", "float32"):
        (made / f"sine_{dtype}.tflite").write_bytes(dense(dtype))
    return made


def test_artifact_holds_what_its_manifest_says(folder: Path) -> None:
    found = load_artifact(folder)
    assert (found.name, found.model, found.dtype) == ("sine_int8", "sine", "int8")
    assert (
        found.content == dense("int8") and found.sha256 == hashlib.sha256(dense("int8")).hexdigest()
    )
    assert found.inputs[0].scale == 0.5 and found.inputs[0].zero_point == -128
    assert found.inputs[0].shape == (1, 1) and found.operators == ("FULLY_CONNECTED",)
    assert found.bounds == Bounds(mae_vs_float=0.5)
    assert found.float_path == folder / "sine_float32.tflite"
    assert (found.activation, found.labels, found.macs) == (None, (), 3)
    assert found.probes == (Probe(what="the middle", x=(0.0,), y=(1.0,), within=0.5),)


def test_goldens_are_read_and_inputs_outside_the_domain_marked(folder: Path) -> None:
    goldens = load_artifact(folder).goldens
    assert np.array_equal(goldens.inputs, INPUTS) and np.array_equal(goldens.outputs, INPUTS[::-1])
    # Dequantized 0, 64 and 127.5, of a domain from 0 to 6.
    assert goldens.in_domain.tolist() == [True, False, False]
    assert goldens.produced_by == "tflite-micro 1"


def test_float_file_has_no_goldens_bounds_or_scale(folder: Path) -> None:
    found = load_artifact(folder, "float32")
    assert found.goldens is None and found.bounds == Bounds()
    assert not found.inputs[0].quantized


def test_a_tolerance_is_read_from_the_manifest(folder: Path) -> None:
    assert load_artifact(folder).tolerance.items == ()
    changed = manifest()
    changed["dtypes"]["int8"]["tolerance"] = "1lsb"
    (folder / "manifest.json").write_text(json.dumps(changed))
    stated = load_artifact(folder).tolerance
    assert (stated.items, stated.by) == (parse_tolerance("1lsb"), "the manifest")


@pytest.mark.parametrize("tolerance", [1, None, "one", "1"])
def test_what_is_no_tolerance_in_a_manifest_is_refused(folder: Path, tolerance: Any) -> None:
    changed = manifest()
    changed["dtypes"]["int8"]["tolerance"] = tolerance
    (folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="manifest in .*sine is malformed"):
        load_artifact(folder)


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
        (put(1, "schema"), "schema 1, this harness reads 2"),
        (without("goldens", "inputs_sha256"), "malformed"),
        (put("ab", "goldens", "inputs_sha256"), "golden inputs are not those"),
        (put([{"what": "no x"}], "probes"), "malformed"),
        (without("dtypes", "int8", "macs"), "malformed"),
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
        (put(10**400, "dtypes", "int8", "inputs", 0, "scale"), "malformed"),
        (put("Infinity", "dtypes", "int8", "inputs", 0, "scale"), "scale inf"),
        (put([1, 10**30], "dtypes", "int8", "inputs", 0, "shape"), "other inputs than the file"),
        (put(["x"], "dtypes", "int8", "inputs", 0, "shape"), "malformed"),
        (put(0.25, "dtypes", "int8", "inputs", 0, "scale"), "other inputs than the file"),
        (put([], "dtypes", "int8", "outputs"), "other outputs than the file"),
        (put(["SOFTMAX();"], "dtypes", "int8", "operators"), "other operators than the file"),
        (put("/etc/passwd", "dtypes", "int8", "file"), "no file in it"),
        (put("../sine/sine_int8.tflite", "dtypes", "int8", "file"), "no file in it"),
        (put("..", "goldens", "file"), "no file in it"),
        (put("a\nb", "goldens", "file"), r"'a\\\\nb', no file in it"),
        (put(["x"], "dtypes", "float32", "file"), "no file in it"),
        (put("ab", "dtypes", "float32", "sha256"), "float32.tflite is not the file its manifest"),
        (put("../x", "model"), "is no name of a model"),
        (put("exec", "dtypes", "int8", "activation"), "is no activation"),
        (put([3], "labels"), "is no text"),
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


@pytest.mark.parametrize(
    "text", ["[" * 100_000, " " * (MOST_MANIFEST + 1), '{"schema": 2, "a": "\xff"}']
)
def test_a_manifest_too_deep_too_large_or_no_text_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="nested too deeply|larger than|is not JSON"):
        load_artifact(folder)


def test_files_that_are_links_out_of_the_folder_or_pipes_are_refused(folder: Path) -> None:
    model = folder / "sine_int8.tflite"
    (folder.parent / "secret").write_bytes(model.read_bytes())
    model.unlink()
    model.symlink_to(folder.parent / "secret")
    with pytest.raises(ModelError, match="link to a file outside"):
        load_artifact(folder)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(ModelError, match="it is not a file"):
        load_artifact(folder)


def bomb(size: int) -> bytes:
    """An archive that says its one array has so many zeros, and holds a few."""
    header = io.BytesIO()
    npy.write_array_header_1_0(
        header, {"descr": "|i1", "fortran_order": False, "shape": (size - 128, 1)}
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("int8_inputs.npy", header.getvalue().ljust(128) + bytes(1000))
    content = bytearray(packed.getvalue())
    place = content.index(b"PK\1\2")
    content[place + 24 : place + 28] = size.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "content, named",
    [
        (bomb(2**31), "unpacks to 2147483648 bytes"),
        (bomb(2**20), "is malformed|are not those"),
        (packed(int8_inputs=np.array([["x"]])), "no numbers"),
    ],
)
def test_goldens_that_would_fill_the_memory_are_refused_before(
    folder: Path, content: bytes, named: str
) -> None:
    changed = manifest()
    changed["goldens"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "goldens.npz").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match=named):
        load_artifact(folder)


@pytest.mark.parametrize("count", [0, -1, 10**15, 1.5])
def test_an_absurd_number_of_goldens_is_refused(folder: Path, count: Any) -> None:
    content = packed(int8_bases=np.zeros((1, 2, 2, 1), np.int8))
    changed = manifest()
    changed["goldens"] |= {"sha256": hashlib.sha256(content).hexdigest(), "bases": 1}
    changed["goldens"]["count"] = count
    (folder / "goldens.npz").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="too many|malformed"):
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


def test_derived_inputs_are_mirrored_in_odd_rounds_and_rolled_in_every_second() -> None:
    bases = np.arange(2 * 4 * 6, dtype=np.int8).reshape(2, 4, 6, 1)
    derived = derive(bases, 7)
    np.testing.assert_array_equal(derived[:2], bases)
    np.testing.assert_array_equal(derived[3], bases[1, :, ::-1])
    assert derived[4, 3, 5, 0] == bases[0, 0, 0, 0]
    assert derived[6, 3, 5, 0] == bases[0, 0, 5, 0]


def test_goldens_kept_as_bases_come_back_whole(folder: Path) -> None:
    bases = np.arange(24, dtype=np.int8).reshape(2, 3, 4, 1)
    inputs = derive(bases, 5)
    content = packed(int8_bases=bases, int8_outputs=INPUTS, labels=np.array([0, 1, 0, 1, 0]))
    changed = manifest()
    changed["goldens"] |= {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bases": 2,
        "count": 5,
        "inputs_sha256": hashlib.sha256(inputs.tobytes()).hexdigest(),
    }
    (folder / "goldens.npz").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(changed))
    goldens = load_artifact(folder).goldens
    np.testing.assert_array_equal(goldens.inputs, inputs)
    assert goldens.labels.tolist() == [0, 1, 0, 1, 0]


def test_first_goldens_are_cut_alike_and_what_is_absent_stays_absent(folder: Path) -> None:
    goldens = load_artifact(folder).goldens.first(2)
    lengths = [len(getattr(goldens, name)) for name in ("inputs", "outputs", "truth", "in_domain")]
    assert lengths == [2, 2, 2, 2]
    assert goldens.labels is None and goldens.produced_by == "tflite-micro 1"


def test_file_too_large_for_git_is_missed_with_the_command_that_makes_it(folder: Path) -> None:
    (folder / "sine_float32.tflite").unlink()
    assert load_artifact(folder).dtype == "int8"
    with pytest.raises(ModelError, match="not in git. Make them: hil train sine"):
        load_artifact(folder, "float32")
