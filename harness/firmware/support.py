"""Refuses models that a runtime cannot run or a board cannot hold, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ModelError, Where
from harness.model.artifact import Artifact

if TYPE_CHECKING:
    from harness.board.registry import Board

PER_CHANNEL_DENSE = "per_channel_dense"
"""Dense layers with a scale for each output channel, which some TFLM libraries compute wrongly."""


LSTM_STATE = "lstm_state"
"""State of integer LSTMs, which some of CMSIS-NN's kernels begin anew in every invoke."""


def doubt_of(artifact: Artifact, cannot: tuple[str, ...]) -> str:
    """What a TFLM library computes wrongly of a model that it may still run; empty if nothing.

    Args:
        cannot: what the library computes wrongly, such as LSTM_STATE.
    """
    lstm = "UNIDIRECTIONAL_SEQUENCE_LSTM" in artifact.operators
    if LSTM_STATE not in cannot or not lstm or artifact.dtype == "float32":
        return ""
    return (
        "This TFLM library's LSTM begins every invoke with a fresh state: samples are right, "
        "a sequence over several invokes is not (docs/state.md)."
    )


def refuse_unsupported(artifact: Artifact, board: Board, cannot: tuple[str, ...]) -> None:
    """Raise ModelError if a TFLM library would compute the model wrongly.

    An operator that a library lacks shows later, when the resolver is generated or compiled.

    Args:
        cannot: what the library computes wrongly, such as PER_CHANNEL_DENSE.
    """
    if PER_CHANNEL_DENSE in cannot and artifact.per_channel_dense:
        raise ModelError(
            "runtime tflm cannot run the model: its Dense layers are quantized per channel, "
            "and this TFLM library ignores all scales but the first: every output would be wrong, "
            "without an error",
            where=Where(board=board.id, model=artifact.name),
            hint="Convert with "
            "converter._experimental_disable_per_channel_quantization_for_dense_layers = True, "
            "or take a newer TFLM library (--hil-tflm=DIR) or another runtime.",
        )


FIRMWARE_FLASH_BYTES = 125_000
"""Assumed flash of core, runtime and harness: that of a Nano 33 BLE with TFLM, the largest."""


FIRMWARE_RAM_BYTES = 60_000
"""Assumed RAM of the same, with stacks and buffers but without the arena, where a board says none.
"""


def shortage(board: Board, *, model_bytes: int, arena_bytes: int | None) -> str | None:
    """Says which memory of a board is too small for a model; None if it fits.

    Args:
        model_bytes: size of the model file, which lies in flash.
        arena_bytes: size of the arena, in RAM; None where unknown, then RAM is not checked.
    """
    wanted = (
        ("flash", model_bytes, FIRMWARE_FLASH_BYTES, board.flash_bytes),
        ("RAM", arena_bytes, board.firmware_ram_bytes or FIRMWARE_RAM_BYTES, board.ram_bytes),
    )
    lacking = [
        f"{name} {need} of {max(0, has - share)} B"
        for name, need, share, has in wanted
        if need is not None and has is not None and need + share > has
    ]
    return ", ".join(lacking) or None
