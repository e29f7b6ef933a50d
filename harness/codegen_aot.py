"""Model source for the `aot` runtime: BakeNN's C, and one file that ties it to the firmware."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
from pathlib import Path

from harness.artifact import Artifact
from harness.board import Board
from harness.codegen import c_bytes, c_specs, c_string
from harness.errors import ModelError, Where

AOT_VERSION = f"bakenn {importlib.metadata.version('bakenn')}"
_MODEL = "model"

_TEMPLATE = """\
// Generated for {name} by harness/codegen_aot.py.
extern "C" {{
#include "bknn_model.h"
}}
#include "runtime/aot.h"

namespace {{

alignas(16) uint8_t arena[BKNN_MODEL_ARENA_SIZE > 0 ? BKNN_MODEL_ARENA_SIZE : 1];
alignas(16) uint8_t input[BKNN_MODEL_INPUT_BYTES];
alignas(16) uint8_t output[BKNN_MODEL_OUTPUT_BYTES];

void Infer() {{
  bknn_model_infer(BKNN_MODEL_ARENA_SIZE > 0 ? arena : nullptr,
                   reinterpret_cast<const int8_t*>(input), reinterpret_cast<int8_t*>(output));
}}

const TensorSpec inputs[] = {{
{inputs}
}};
const TensorSpec outputs[] = {{
{outputs}
}};

}}  // namespace

namespace runtime {{

extern const AotModel kAotModel = {{
    Infer,
    input,
    sizeof input,
    output,
    sizeof output,
    BKNN_MODEL_ARENA_SIZE,
    BKNN_MODEL_ARENA_SIZE,
    {{inputs, sizeof inputs / sizeof inputs[0]}},
    {{outputs, sizeof outputs / sizeof outputs[0]}},
    {{{sha256}}},
    {{{build_id}}},
    "{version}",
    "{kernels}",
    {model_name},
}};

}}  // namespace runtime
"""


def kernel_names(manifest: str) -> str:
    """Kernel libraries BakeNN selected, such as `CMSIS-NN 4.0.0 + portable C`.

    Args:
        manifest: text of BakeNN's manifest, whose selections name an implementation per step
            (`cmsis_nn.linear_s8.v4.0.0`).
    """
    steps = json.loads(manifest)["backend"]["selections"]
    used = [step["implementation"] for step in steps]
    names = []
    for prefix, name in (("cmsis_nn.", "CMSIS-NN"), ("esp_nn.", "ESP-NN")):
        versions = {item.partition(".v")[2] for item in used if item.startswith(prefix)}
        names += [f"{name} {version}" for version in sorted(versions)]
    known = ("cmsis_nn.", "esp_nn.")
    if any(not item.startswith(known) for item in used):
        names.append("portable C")
    return " + ".join(names)


def generate_aot(artifact: Artifact, board: Board, *, build_id: str, folder: Path) -> None:
    """Write the model's C and `model_aot.cpp` into an empty folder.

    Args:
        build_id: 16 bytes in hex, which the firmware reports in HELLO.

    Raises:
        ModelError: BakeNN does not take the model; says which operator or tensor it refuses.
    """
    import bakenn  # 0.2 s: only where it compiles

    target = bakenn.resolve_target(board.aot_target)
    options = bakenn.CBackendOptions(
        kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY,
        enable_cmsis_nn="dsp" in target.features,
        target=target,
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            bakenn.compile_tflite(artifact.content, folder, name=_MODEL, backend_options=options)
    except (bakenn.BakeNNError, ValueError) as error:
        raise ModelError(
            f"runtime aot cannot compile the model: {error}",
            where=Where(board=board.id, model=artifact.name),
            hint=f"Its operators: {', '.join(dict.fromkeys(artifact.operators))}. "
            "Runtime tflm may run it.",
        ) from error
    manifest = (folder / f"bknn_{_MODEL}_manifest.json").read_text()
    source = _TEMPLATE.format(
        name=artifact.name,
        model_name=c_string(artifact.name),
        inputs=c_specs(artifact.inputs),
        outputs=c_specs(artifact.outputs),
        sha256=c_bytes(bytes.fromhex(artifact.sha256)),
        build_id=c_bytes(bytes.fromhex(build_id)),
        version=AOT_VERSION,
        kernels=kernel_names(manifest),
    )
    (folder / "model_aot.cpp").write_text(source)
