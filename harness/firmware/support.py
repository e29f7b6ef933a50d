"""Refuses models that a runtime cannot run or a board cannot hold, before anything is built."""

from __future__ import annotations

from harness.board.registry import Board
from harness.errors import ModelError, Where
from harness.model.artifact import Artifact

PER_CHANNEL_DENSE = "per_channel_dense"
"""Dense layers with a scale for each output channel, which some TFLM libraries compute wrongly."""

AOT_OPERATORS = frozenset(
    {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "ADD",
        "AVERAGE_POOL_2D",
        "MAX_POOL_2D",
        "RESHAPE",
        "PAD",
        "PADV2",
    }
)
"""What BakeNN 1.0.0 imports: `supported` in its frontends/tflite/importer.py."""

LAST_FUNCTIONS = frozenset({"SOFTMAX", "LOGISTIC"})


def refuse_unsupported(
    artifact: Artifact, board: Board, runtime: str, cannot: tuple[str, ...] = ()
) -> None:
    """Raise ModelError if the runtime cannot run the model, or would compute it wrongly.

    `aot` compiles full int8 models of AOT_OPERATORS only. An operator that a TFLM library lacks
    shows later, when the resolver is generated or compiled.

    Args:
        cannot: what the TFLM library computes wrongly, such as PER_CHANNEL_DENSE.
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
        _refuse_operators(artifact, where)
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


def _refuse_operators(artifact: Artifact, where: Where) -> None:
    lacking = sorted(set(artifact.operators) - AOT_OPERATORS)
    if not lacking:
        return
    hint = "Runtime tflm may run it."
    if LAST_FUNCTIONS.issuperset(lacking):
        hint = (
            "Use a form that ends before it, as int8_logits of the recipes does: the host applies "
            "the last function. Or runtime tflm."
        )
    raise ModelError(
        f"runtime aot has no operator {', '.join(lacking)}, which the model needs",
        where=where,
        hint=hint,
    )


FIRMWARE_FLASH_BYTES = 125_000
"""Assumed flash of core, runtime and harness: that of a Nano 33 BLE with TFLM, the largest."""


FIRMWARE_RAM_BYTES = 60_000
"""Assumed RAM of the same, with stacks and buffers but without the arena."""


def shortage(board: Board, *, model_bytes: int, arena_bytes: int | None) -> str | None:
    """Says which memory of a board is too small for a model; None if it fits.

    Args:
        model_bytes: size of the model file, which lies in flash.
        arena_bytes: size of the arena, in RAM; None where unknown, then RAM is not checked.
    """
    wanted = (
        ("flash", model_bytes, FIRMWARE_FLASH_BYTES, board.flash_bytes),
        ("RAM", arena_bytes, FIRMWARE_RAM_BYTES, board.ram_bytes),
    )
    lacking = [
        f"{name} {need} of {max(0, has - share)} B"
        for name, need, share, has in wanted
        if need is not None and has is not None and need + share > has
    ]
    return ", ".join(lacking) or None
