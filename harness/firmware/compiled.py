"""C++ that joins a model compiled ahead of time to the firmware: what is the same for all of them.

The firmware's end is `firmware/src/runtime/aot.h`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RigError
from harness.firmware.c_source import c_bytes, c_comment, c_specs, c_string
from harness.firmware.platformio import Job
from harness.model.artifact import Artifact
from harness.model.tensor import TensorSpec
from harness.text import printable

MODEL_SOURCE = "model_compiled.cpp"
MOST_ARENA = 2**30
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_BUFFERS = """\
alignas(16) uint8_t arena[{arena_bytes} > 0 ? {arena_bytes} : 1];
alignas(16) uint8_t input[{input_bytes}];
alignas(16) uint8_t output[{output_bytes}];
"""

_TABLE = """\
const TensorSpec inputs[] = {{
{inputs}
}};
const TensorSpec outputs[] = {{
{outputs}
}};

}}  // namespace

namespace runtime {{

extern const AotModel kAotModel = {{
    {id},
    Infer,
    input,
    sizeof input,
    output,
    sizeof output,
    {arena_bytes},
    {arena_bytes},
    {{inputs, sizeof inputs / sizeof inputs[0]}},
    {{outputs, sizeof outputs / sizeof outputs[0]}},
    {{{sha256}}},
    {{{build_id}}},
    {version},
    {kernels},
    {model_name},
}};
"""

_WHOLE = """\
// Generated for {name} by a runtime's write_model.
#include "runtime/aot.h"

extern "C" void {infer}(const uint8_t* input, uint8_t* output, uint8_t* arena);

namespace {{

{buffers}
void Infer() {{ {infer}(input, output, arena); }}

{table}
}}  // namespace runtime
"""


def buffers(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], arena_bytes: int) -> str:
    """Definitions of `arena`, `input` and `output`, tensors one after the other."""
    return _BUFFERS.format(
        arena_bytes=arena_bytes,
        input_bytes=sum(spec.size_bytes for spec in inputs),
        output_bytes=sum(spec.size_bytes for spec in outputs),
    )


def model_table(
    runtime: str,
    artifact: Artifact,
    *,
    build_id: str,
    arena_bytes: int,
    version: str,
    kernels: str,
) -> str:
    """`kAotModel` of a function `Infer` and `buffers`, within two open namespaces.

    Args:
        build_id: 16 bytes in hex.
        kernels: a C string literal.
    """
    return _TABLE.format(
        id=c_string(runtime),
        arena_bytes=arena_bytes,
        inputs=c_specs(artifact.inputs),
        outputs=c_specs(artifact.outputs),
        sha256=c_bytes(bytes.fromhex(artifact.sha256)),
        build_id=c_bytes(bytes.fromhex(build_id)),
        version=c_string(version),
        kernels=kernels,
        model_name=c_string(printable(artifact.name)),
    )


def write_model(
    job: Job,
    build_id: str,
    folder: Path,
    *,
    infer: str,
    version: str,
    kernels: str,
    arena_bytes: int = 0,
) -> None:
    """Write MODEL_SOURCE, which gives the firmware all but the inference itself.

    Args:
        build_id: as `generate` was given it.
        infer: name of the C function that runs the model, defined in another file of the folder:
            `void infer(const uint8_t* input, uint8_t* output, uint8_t* arena)`. Input and output
            hold the bytes of all tensors, in the model's order; it must not write the input.
        version: name and version of the runtime, which HELLO and CSV files say.
        kernels: which kernels it has, which HELLO says.
        arena_bytes: memory for the inference to use, aligned to 16.

    Raises:
        RigError: `infer` is no name of C, or the arena is no size.
    """
    if not _IDENTIFIER.fullmatch(infer) or not 0 <= arena_bytes <= MOST_ARENA:
        raise RigError(
            f"write_model takes a C name and 0 to {MOST_ARENA} bytes of arena, "
            f"not {printable(infer, 40)!r} and {arena_bytes}"
        )
    artifact = job.artifact
    table = model_table(
        job.runtime,
        artifact,
        build_id=build_id,
        arena_bytes=arena_bytes,
        version=printable(version),
        kernels=c_string(printable(kernels)),
    )
    text = _WHOLE.format(
        name=c_comment(artifact.name),
        infer=infer,
        buffers=buffers(artifact.inputs, artifact.outputs, arena_bytes),
        table=table,
    )
    (folder / MODEL_SOURCE).write_text(text)
