from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.artifact import load_artifact
from harness.board import load_registry
from harness.codegen import c_bytes, c_spec
from harness.codegen_aot import AOT_VERSION, generate_aot, kernel_names
from harness.errors import ModelError

SINE = Path(__file__).parent.parent / "models" / "artifacts" / "sine"
BOARD = load_registry()["qemu-m4"]
BUILD_ID = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize(
    "used, names",
    [
        (["cmsis_nn.linear_s8.v4.0.0"] * 2, "CMSIS-NN 4.0.0"),
        (["portable.linear_s8"], "portable C"),
        (["portable.x", "cmsis_nn.conv.v7.0.0", "cmsis_nn.a.v4.0.0"],)
        + ("CMSIS-NN 4.0.0 + CMSIS-NN 7.0.0 + portable C",),
        (["esp_nn.conv_s8.v1.1.0"], "ESP-NN 1.1.0"),
        ([], ""),
    ],
)
def test_kernels_are_named_with_their_versions(used: list[str], names: str) -> None:
    selections = [{"implementation": item} for item in used]
    assert kernel_names(json.dumps({"backend": {"selections": selections}})) == names


def test_generated_source_names_model_build_and_version(tmp_path: Path) -> None:
    sine = load_artifact(SINE)
    generate_aot(sine, BOARD, build_id=BUILD_ID, folder=tmp_path)
    source = (tmp_path / "model_aot.cpp").read_text()
    assert c_bytes(bytes.fromhex(sine.sha256)) in source
    assert "0x00, 0x11, 0x22, 0x33" in source and f'"{AOT_VERSION}"' in source
    assert c_spec(sine.inputs[0]) in source and c_spec(sine.outputs[0]) in source
    assert "portable C" in source or "CMSIS-NN" in source
    assert (tmp_path / "bknn_model.h").is_file()


def test_equal_models_generate_equal_files(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        generate_aot(load_artifact(SINE), BOARD, build_id=BUILD_ID, folder=folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        made.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert made[0] == made[1]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1c\0\0\0TFL3" + bytes(60), None, "cut"])
def test_model_the_compiler_does_not_take_is_named(tmp_path: Path, content) -> None:
    sine = load_artifact(SINE)
    if content is None:
        content = load_artifact(SINE, "float32").content
    elif content == "cut":
        content = sine.content[: len(sine.content) // 2]
    with pytest.raises(ModelError, match="runtime aot cannot compile the model") as caught:
        generate_aot(replace(sine, content=content), BOARD, build_id=BUILD_ID, folder=tmp_path)
    assert "(board qemu-m4, model sine_int8)" in str(caught.value)
    assert "Its operators: FULLY_CONNECTED" in caught.value.hint
    assert not (tmp_path / "model_aot.cpp").exists()
