"""Which model runs on which runtime: refusals with their reason, before anything is built."""

from __future__ import annotations

from harness.artifact import Artifact
from harness.board import Board
from harness.errors import ModelError, Where

PER_CHANNEL_DENSE = "per_channel_dense"
"""A library may lack it: Dense layers with a scale for each output channel."""


def refuse_unsupported(
    artifact: Artifact, board: Board, runtime: str, cannot: tuple[str, ...] = ()
) -> None:
    """Raise ModelError if the runtime cannot run the model as it is meant.

    `aot` compiles full int8 only. Operators that a runtime lacks are named by its compiler instead.

    Args:
        cannot: what the runtime's library gets wrong, such as PER_CHANNEL_DENSE.
    """
    where = Where(board=board.id, model=artifact.name)
    if runtime == "aot":
        for spec in (*artifact.inputs, *artifact.outputs):
            if spec.dtype != "int8":
                raise ModelError(
                    f"runtime aot takes full int8 models, and tensor {spec.name!r} is {spec.dtype}",
                    where=where,
                    hint="Use the model's int8 file, or runtime tflm.",
                )
    if PER_CHANNEL_DENSE in cannot and artifact.per_channel_dense:
        raise ModelError(
            f"runtime {runtime} cannot run the model: its Dense layers are quantized per channel, "
            "and this TFLM library ignores all scales but the first: every output would be wrong, "
            "without an error",
            where=where,
            hint="Convert with "
            "converter._experimental_disable_per_channel_quantization_for_dense_layers = True, "
            "or take a newer TFLM library (--hil-tflm DIR) or another runtime.",
        )
