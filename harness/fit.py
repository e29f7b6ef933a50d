"""Which boards a model fits, and what is too small where it does not."""

from __future__ import annotations

from harness.board.registry import Board

FIRMWARE_FLASH_BYTES = 125_000
"""Set aside for core, runtime and harness: a Nano 33 BLE takes so much with TFLM, others less."""

FIRMWARE_RAM_BYTES = 60_000
"""The same of RAM, with stacks and buffers, but without the arena."""


def shortage(board: Board, *, model_bytes: int, arena_bytes: int | None) -> str | None:
    """What a board has too little of for a model; None if it fits.

    Args:
        model_bytes: size of its file, which is kept in flash.
        arena_bytes: for its tensors, in RAM; None where it is not known, and not looked at.
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
