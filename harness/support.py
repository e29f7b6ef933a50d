"""Which model runs on which runtime: refusals with their reason, before anything is built."""

from __future__ import annotations

from harness.artifact import Artifact
from harness.board import Board
from harness.errors import ModelError, Where

PER_CHANNEL_DENSE = "per_channel_dense"

_REASONS = {
    PER_CHANNEL_DENSE: (
        "its Dense layers are quantized per channel, and this TFLM library ignores all scales but "
        "the first: every output would be wrong, without an error"
    ),
}

_CURES = {
    PER_CHANNEL_DENSE: (
        "Convert with converter._experimental_disable_per_channel_quantization_for_dense_layers "
        "= True, or run it on another runtime."
    ),
}


def refuse_unsupported(artifact: Artifact, board: Board, runtime: str) -> None:
    """Raise ModelError if the runtime cannot run the model as it is meant.

    `aot` compiles full int8 only. What a board's library for a runtime cannot do stands in
    `boards.toml` under `cannot`; operators that BakeNN lacks are named by its compiler instead.
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
    limits = board.cannot.get(runtime, ())
    if PER_CHANNEL_DENSE in limits and artifact.per_channel_dense:
        raise ModelError(
            f"runtime {runtime} of this board cannot run the model: {_REASONS[PER_CHANNEL_DENSE]}",
            where=where,
            hint=_CURES[PER_CHANNEL_DENSE],
        )
