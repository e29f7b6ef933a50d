"""Model source for the `tflm` runtime: the flatbuffer, its operators and its memory."""

from __future__ import annotations

from pathlib import Path

from harness.artifact import Artifact
from harness.codegen import c_bytes, c_specs, c_string
from harness.errors import ModelError, Where

SOURCE = "model_tflm.cpp"

_IRREGULAR = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}

# The function that an optimized int8 kernel calls for an operator.
_CMSIS_NN = {
    "ADD": "arm_elementwise_add_s8",
    "AVERAGE_POOL_2D": "arm_avgpool_s8",
    "BATCH_MATMUL": "arm_batch_matmul_s8",
    "CONV_2D": "arm_convolve_wrapper_s8",
    "DEPTHWISE_CONV_2D": "arm_depthwise_conv_wrapper_s8",
    "FULLY_CONNECTED": "arm_fully_connected_s8",
    "MAXIMUM": "arm_maximum_s8",
    "MAX_POOL_2D": "arm_max_pool_s8",
    "MINIMUM": "arm_minimum_s8",
    "MUL": "arm_elementwise_mul_s8",
    "PAD": "arm_pad_s8",
    "SOFTMAX": "arm_softmax_s8",
    "SVDF": "arm_svdf_s8",
    "TRANSPOSE": "arm_transpose_s8",
    "TRANSPOSE_CONV": "arm_transpose_conv_wrapper_s8",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "arm_lstm_unidirectional_s8",
}
_ESP_NN = {
    "ADD": "esp_nn_add_elementwise_s8",
    "AVERAGE_POOL_2D": "esp_nn_avg_pool_s8",
    "CONV_2D": "esp_nn_conv_s8",
    "DEPTHWISE_CONV_2D": "esp_nn_depthwise_conv_s8",
    "FULLY_CONNECTED": "esp_nn_fully_connected_s8",
    "MAX_POOL_2D": "esp_nn_max_pool_s8",
    "MUL": "esp_nn_mul_elementwise_s8",
    "SOFTMAX": "esp_nn_softmax_s8",
}
_ESP_NN_VARIANTS = ("ansi", "opt", "esp32s3", "esp32p4")

_TEMPLATE = """\
// Generated for {name} by harness/codegen_tflm.py.
#include "runtime/tflm.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

// Weak, so that they are null unless a kernel of the library has brought them in.
extern "C" {{
{weak}
}}

namespace {{

alignas(16) const uint8_t flatbuffer[] = {{
{flatbuffer}
}};
alignas(16) uint8_t arena[{arena_bytes}];
alignas(16) uint8_t input[{input_bytes}];
{output}
const TensorSpec inputs[] = {{
{inputs}
}};
const TensorSpec outputs[] = {{
{outputs}
}};

const tflite::MicroOpResolver* Resolver() {{
  static runtime::Forever<tflite::MicroMutableOpResolver<{count}>> place;
  tflite::MicroMutableOpResolver<{count}>* const resolver = place.Make();
{added}
  return resolver;
}}

runtime::KernelCounts Kernels() {{
  runtime::KernelCounts counts = {{{count}, 0, 0}};
{counted}
  return counts;
}}

}}  // namespace

namespace runtime {{

extern const TflmModel kTflmModel = {{
    flatbuffer,
    arena,
    sizeof arena,
    input,
    sizeof input,
    {output_place},
    {output_bytes},
    {{inputs, sizeof inputs / sizeof inputs[0]}},
    {{outputs, sizeof outputs / sizeof outputs[0]}},
    {{{sha256}}},
    {{{build_id}}},
    {version},
    {model_name},
    Resolver,
    Kernels,
}};

}}  // namespace runtime
"""


def resolver_method(operator: str) -> str:
    """Method of MicroMutableOpResolver that adds an operator: CONV_2D is AddConv2D."""
    words = operator.split("_")
    regular = "".join(word if word[0].isdigit() else word.capitalize() for word in words)
    return f"Add{_IRREGULAR.get(operator, regular)}"


def distinct_operators(artifact: Artifact) -> tuple[str, ...]:
    """The model's kinds of operator, in the order of their first use.

    Raises:
        ModelError: an operator that no TFLM library takes as this firmware sets it up.
    """
    import tflite  # 0.05 s: only where it generates

    operators = tuple(dict.fromkeys(artifact.operators))
    where = Where(model=artifact.name)
    for operator in operators:
        if not hasattr(tflite.BuiltinOperator, operator) or operator == "CUSTOM":
            raise ModelError(
                f"operator {operator} is custom: TFLM has no kernel for it", where=where
            )
        if operator in _VARIABLES:
            raise ModelError(
                f"operator {operator} needs variables, which this firmware does not set up",
                where=where,
            )
    return operators


def _esp_nn(operator: str) -> tuple[str, ...]:
    base = _ESP_NN.get(operator)
    return tuple(f"{base}_{variant}" for variant in _ESP_NN_VARIANTS) if base else ()


def _kernels(operators: tuple[str, ...]) -> tuple[str, str]:
    """Declarations of the optimized functions, and the statements that count them."""
    symbols: list[str] = []
    counted = []
    for operator in operators:
        cmsis = (_CMSIS_NN[operator],) if operator in _CMSIS_NN else ()
        for field, names in (("cmsis_nn", cmsis), ("esp_nn", _esp_nn(operator))):
            if names:
                symbols += names
                test = " || ".join(f"{name} != nullptr" for name in names)
                counted.append(f"  if ({test}) ++counts.{field};")
    weak = "\n".join(f"void {name}() __attribute__((weak));" for name in symbols)
    return weak, "\n".join(counted)


def _lines(raw: bytes) -> str:
    return ",\n".join(c_bytes(raw[at : at + 32]) for at in range(0, len(raw), 32))


def generate_tflm(
    artifact: Artifact, *, arena_bytes: int, version: str, build_id: str, folder: Path
) -> None:
    """Write `model_tflm.cpp`, the whole model, into a folder.

    Args:
        version: of the library, which the firmware reports in HELLO.
        build_id: 16 bytes in hex, reported too.

    Raises:
        ModelError: as `distinct_operators`.
    """
    operators = distinct_operators(artifact)
    # Float tensors go through the reference code, whatever else the kernel's file brings in.
    weak, counted = _kernels(operators if artifact.dtype in ("int8", "int16") else ())
    output_bytes = sum(spec.size_bytes for spec in artifact.outputs)
    several = len(artifact.outputs) > 1
    source = _TEMPLATE.format(
        name=artifact.name,
        weak=weak,
        flatbuffer=_lines(artifact.content),
        arena_bytes=arena_bytes,
        input_bytes=sum(spec.size_bytes for spec in artifact.inputs),
        output=f"alignas(16) uint8_t output[{output_bytes}];\n" if several else "",
        inputs=c_specs(artifact.inputs),
        outputs=c_specs(artifact.outputs),
        count=len(operators),
        added="\n".join(
            f"  if (resolver->{resolver_method(name)}() != kTfLiteOk) return nullptr;"
            for name in operators
        ),
        counted=counted,
        output_place="output" if several else "nullptr",
        output_bytes=output_bytes,
        sha256=c_bytes(bytes.fromhex(artifact.sha256)),
        build_id=c_bytes(bytes.fromhex(build_id)),
        version=c_string(version),
        model_name=c_string(artifact.name),
    )
    (folder / SOURCE).write_text(source)
