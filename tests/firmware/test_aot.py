from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.errors import ModelError, RigError
from harness.firmware.aot import (
    AOT_VERSION,
    generate_aot,
    kernel_names,
    model_steps,
    observed_source,
)
from harness.firmware.c_source import c_bytes, c_spec
from harness.model.artifact import find_artifact, load_artifact
from harness.model.graph import Operator

SINE = Path(__file__).parents[2] / "models" / "artifacts" / "sine"
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
    with pytest.raises(ModelError, match="runtime aot cannot (compile|run)") as caught:
        generate_aot(replace(sine, content=content), BOARD, build_id=BUILD_ID, folder=tmp_path)
    assert "(board qemu-m4, model sine_int8)" in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "model_aot.cpp").exists()


def test_hooks_surround_the_code_of_every_step(tmp_path: Path) -> None:
    artifact = find_artifact(SINE.parent, "fashion_cnn-8")
    steps = generate_aot(artifact, BOARD, build_id=BUILD_ID, folder=tmp_path, profile=True)
    kinds = [[artifact.operators[index] for index in step.operators] for step in steps]
    assert kinds == [
        ["CONV_2D"],
        ["MAX_POOL_2D"],
        ["CONV_2D"],
        ["MAX_POOL_2D", "RESHAPE"],
        ["FULLY_CONNECTED"],
        ["FULLY_CONNECTED"],
        ["SOFTMAX"],
    ]
    assert [step.output for step in steps] == [0, 1, 2, 3, 5, 6, 7]
    source = (tmp_path / "bknn_model.c").read_text()
    calls = source.split("hil_step_begin();\n")[1:]
    assert len(calls) == len(steps) - 1
    for call in calls:
        assert call.count("bknn_model_") >= 1
        assert call.index(");") < call.index("hil_step_end();")
    joined = (tmp_path / "model_aot.cpp").read_text()
    assert "GeneratedSteps kSteps = {places, values, 7}" in joined
    # Our own operator is called beside the generated code.
    own = joined.partition("hil_step_begin();\n")[2].partition("hil_step_end();")[0]
    assert own.strip().startswith("runtime::Softmax(") and own.count(";") == 1


def test_code_not_to_be_profiled_has_no_hooks(tmp_path: Path) -> None:
    assert generate_aot(load_artifact(SINE), BOARD, build_id=BUILD_ID, folder=tmp_path) == ()
    for path in (tmp_path / "bknn_model.c", tmp_path / "model_aot.cpp"):
        assert "step" not in path.read_text()


def operator(index: int, name: str) -> Operator:
    return Operator(
        index=index, kind="ADD", tensor=index, name=name, dtype="int8", shape=(1,), macs=0
    )


OPERATORS = (operator(0, "a"), operator(1, "b"), operator(2, "c"))


@pytest.mark.parametrize(
    "operations, steps",
    [
        # A view belongs to the step before it.
        (
            [
                ("tflite_0_conv", "a", True),
                ("tflite_1_reshape", "b", False),
                ("tflite_2_x", "c", True),
            ],
            [((0, 1), 0), ((2,), 2)],
        ),
        # A view of the model's input has none before it.
        (
            [
                ("tflite_0_reshape", "a", False),
                ("tflite_1_x", "b", True),
                ("tflite_2_x", "c", True),
            ],
            [((0, 1), 1), ((2,), 2)],
        ),
        # A step that took in the next operator leaves that one's output.
        ([("tflite_0_conv", "b", True), ("tflite_2_x", "c", True)], [((0, 1), 1), ((2,), 2)]),
    ],
)
def test_a_step_stands_for_the_operators_that_bakenn_made_it_from(operations, steps) -> None:
    made = model_steps(operations, OPERATORS)
    assert [(step.operators, step.output) for step in made] == steps


@pytest.mark.parametrize(
    "operations, reason",
    [
        ([("tflite_0_conv", "a", True)], r"steps stand for operators \[0\] of 3"),
        (
            [("tflite_0_conv.requantize", "a", True), ("other", "b", True)],
            "other names no operator",
        ),
    ],
)
def test_steps_that_cannot_be_told_are_refused(operations, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        model_steps(operations, OPERATORS)


BODY = "void f(\n    uint8_t *arena) {\n    (void)arena;\n    one(1);\n\n    /* two */\n}\n"


def test_source_laid_out_otherwise_is_refused() -> None:
    assert observed_source(BODY, [True, False]).count("hil_step_begin();") == 1
    for source, runs, reason in (
        (BODY, [True], "2 pieces of code for 1 steps"),
        (BODY, [True, True], "not expected to be '/\\* two \\*/'"),
        (BODY, [False, False], "not expected to be 'one"),
        ("void f(void) {}\n", [], "was not found"),
    ):
        with pytest.raises(ValueError, match=reason):
            observed_source(source, runs)


def test_a_target_that_bakenn_does_not_have_is_the_boards_mistake(tmp_path):
    board = replace(BOARD, aot_target="cortex-m3")
    with pytest.raises(RigError, match="aot_target of board .*: unknown BakeNN target 'cortex-m3'"):
        generate_aot(load_artifact(SINE), board, build_id=BUILD_ID, folder=tmp_path)
