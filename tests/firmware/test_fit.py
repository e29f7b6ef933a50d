from __future__ import annotations

import pytest

from harness.board.registry import Board, parse_board
from harness.firmware.support import FIRMWARE_FLASH_BYTES, FIRMWARE_RAM_BYTES, shortage

TABLE = {"description": "", "attachment": "serial", "mcu": "", "clock_hz": 1, "runtimes": ["tflm"]}


def board(flash: int | None, ram: int | None) -> Board:
    return parse_board("nano", {**TABLE, "flash_bytes": flash, "ram_bytes": ram})


NANO = board(983_040, 262_144)


# Sizes and arenas of course models on a Nano 33 BLE.
@pytest.mark.parametrize(
    "model_bytes, arena_bytes, lacking",
    [
        (2_704, 1_500, None),
        (64_000, 101_000, None),
        (1_700_000, 1_800_000, "flash 1700000 of 858040 B, RAM 1800000 of 202144 B"),
        (641_000, 210_000, "RAM 210000 of 202144 B"),
        (1_700_000, None, "flash 1700000 of 858040 B"),
    ],
)
def test_limiting_memory_is_named_with_need_and_room(
    model_bytes: int, arena_bytes: int | None, lacking: str | None
) -> None:
    assert shortage(NANO, model_bytes=model_bytes, arena_bytes=arena_bytes) == lacking


def test_model_that_fills_a_board_to_the_last_byte_fits() -> None:
    room = board(FIRMWARE_FLASH_BYTES + 10, FIRMWARE_RAM_BYTES + 20)
    assert shortage(room, model_bytes=10, arena_bytes=20) is None
    assert shortage(room, model_bytes=11, arena_bytes=20) == "flash 11 of 10 B"
    assert shortage(room, model_bytes=10, arena_bytes=21) == "RAM 21 of 20 B"


def test_board_too_small_for_any_firmware_has_no_room() -> None:
    assert shortage(board(1000, None), model_bytes=1, arena_bytes=9) == "flash 1 of 0 B"


def test_board_without_limits_takes_anything() -> None:
    assert shortage(board(None, None), model_bytes=10**9, arena_bytes=10**9) is None
