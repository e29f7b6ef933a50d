from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.stateful import summing_file

from harness.errors import ModelError
from harness.firmware.c_source import c_bytes, c_spec
from harness.firmware.tflm import (
    MODEL_SOURCE,
    OPERATORS_SOURCE,
    distinct_operators,
    generate_tflm,
    kernel_name,
    resolver_method,
)
from harness.model.artifact import Artifact, load_artifact
from harness.model.resolve import resolve_model

SINE = load_artifact(Path(__file__).parents[2] / "models" / "artifacts" / "sine")


def generated(artifact: Artifact, folder: Path) -> str:
    generate_tflm(artifact, arena_bytes=2048, version="lib 1.2", build_id="0011" * 8, folder=folder)
    return (folder / MODEL_SOURCE).read_text() + (folder / OPERATORS_SOURCE).read_text()


# The methods' names are those of micro_mutable_op_resolver.h.
@pytest.mark.parametrize(
    "operator, method",
    [
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("L2_POOL_2D", "AddL2Pool2D"),
        ("RELU6", "AddRelu6"),
        ("SELECT_V2", "AddSelectV2"),
        ("PADV2", "AddPadV2"),
        ("CUMSUM", "AddCumSum"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("SignalWindow", "AddWindow"),
        ("TFLite_Detection_PostProcess", "AddDetectionPostprocess"),
        ("CIRCULAR_BUFFER", "AddCircularBuffer"),
    ],
)
def test_operator_has_its_resolver_method(operator: str, method: str) -> None:
    assert resolver_method(operator) == method


@pytest.mark.parametrize(
    "operator, kernel",
    [
        ("FULLY_CONNECTED", "FULLY_CONNECTED"),
        ("SignalFilterBankLog", "FILTER_BANK_LOG"),
        ("SignalPCAN", "PCAN"),
        ("TFLite_Detection_PostProcess", "DETECTION_POSTPROCESS"),
    ],
)
def test_operator_is_registered_as_its_kernel_is_called(operator: str, kernel: str) -> None:
    assert kernel_name(operator) == kernel


def test_source_holds_the_model_its_identity_and_its_tensors(tmp_path: Path) -> None:
    source = generated(SINE, tmp_path)
    listed = source.split("flatbuffer[] = {\n")[1].split("\n};")[0]
    assert bytes(int(item, 16) for item in listed.replace("\n", " ").split(", ")) == SINE.content
    assert c_bytes(bytes.fromhex(SINE.sha256)) in source
    assert '"lib 1.2"' in source and '"sine_int8"' in source and "0x00, 0x11, 0x00" in source
    assert c_spec(SINE.inputs[0]) in source and c_spec(SINE.outputs[0]) in source
    assert "alignas(16) uint8_t arena[2048];" in source


def test_resolver_has_each_operator_once_and_no_other(tmp_path: Path) -> None:
    operators = ("CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX")
    source = generated(replace(SINE, operators=operators), tmp_path)
    assert "MicroMutableOpResolver<3>" in source
    added = [line.split("->")[1].split("(")[0] for line in source.splitlines() if "->Add" in line]
    assert added == ["AddConv2D", "AddFullyConnected", "AddSoftmax"]


def test_optimized_kernels_are_looked_for_only_where_they_can_run(tmp_path: Path) -> None:
    quantized = generated(SINE, tmp_path)
    assert "void arm_fully_connected_s8() __attribute__((weak));" in quantized
    assert "esp_nn_fully_connected_s8_esp32s3 != nullptr" in quantized
    assert "arm_convolve" not in quantized
    assert "arm_" not in generated(replace(SINE, dtype="float32"), tmp_path)


def test_operators_file_stays_for_another_model_of_the_same_operators(tmp_path: Path) -> None:
    generated(SINE, tmp_path)
    operators = (tmp_path / OPERATORS_SOURCE).read_text()
    other = replace(SINE, name="other", content=SINE.content + b"\0")
    generated(other, tmp_path)
    assert (tmp_path / OPERATORS_SOURCE).read_text() == operators
    assert "tensorflow/" not in (tmp_path / MODEL_SOURCE).read_text()


def test_several_outputs_get_a_buffer_to_be_contiguous_in(tmp_path: Path) -> None:
    assert "uint8_t output[" not in generated(SINE, tmp_path)
    two = replace(SINE, outputs=SINE.outputs * 2)
    assert "alignas(16) uint8_t output[2];" in generated(two, tmp_path)


@pytest.mark.parametrize(
    "operator, reason",
    [
        ("ethos-u", "is custom"),
        ("CUSTOM", "is custom"),
    ],
)
def test_operator_that_cannot_be_set_up_is_refused_by_name(operator: str, reason: str) -> None:
    with pytest.raises(ModelError, match=f"operator {operator} {reason}") as caught:
        distinct_operators(replace(SINE, operators=("FULLY_CONNECTED", operator)))
    assert caught.value.where.model == "sine_int8"


def test_room_and_initial_values_of_variables_are_set_up(tmp_path: Path) -> None:
    model = resolve_model(str(summing_file(tmp_path)))
    source = generated(model, tmp_path)
    assert "MicroResourceVariables::Create(allocator, 1);" in source
    # CALL_ONCE's subgraph: TFLM runs it once, but a reset must have its values again.
    assert "graph().InvokeSubgraph(1)" in source
    assert "    true,\n    128,\n};" in source
    stateless = generated(SINE, tmp_path)
    assert "InvokeSubgraph" not in stateless and "micro_resource_variable.h" not in stateless
    assert "    false,\n    0,\n};" in stateless


def test_operators_of_inner_subgraphs_are_resolved_too(tmp_path: Path) -> None:
    # As if only the subgraph of CALL_ONCE assigned the variable.
    model = resolve_model(str(summing_file(tmp_path)))
    outer = tuple(kind for kind in model.operators if kind != "ASSIGN_VARIABLE")
    assert "ASSIGN_VARIABLE" in distinct_operators(replace(model, operators=outer))


def test_model_to_be_profiled_has_room_for_a_number_per_operator(tmp_path: Path) -> None:
    steps = generate_tflm(
        SINE, arena_bytes=64, version="1", build_id="00" * 16, folder=tmp_path, profile=True
    )
    assert [step.operators for step in steps] == [(0,), (1,), (2,)]
    source = (tmp_path / MODEL_SOURCE).read_text()
    assert "uint32_t values[3];" in source and "kSteps = {nullptr, values, 3};" in source
    assert "steps" not in generated(SINE, tmp_path)
