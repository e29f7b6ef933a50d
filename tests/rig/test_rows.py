import pytest

from harness.board.registry import load_registry
from harness.rig.rows import interrupts_in

BOARDS = load_registry()


@pytest.mark.parametrize(
    "board, tick_hz, p50_us, expected",
    [
        ("nano33ble", 64_000_000, 999.0, "off"),
        ("nano33ble", 64_000_000, 1000.0, "on"),
        ("pico", 1_000_000, 90.0, "on"),  # micros() stands still without its interrupt.
        ("nrf52840dk", 64_000_000, 1e6, "off"),
        ("nrf52840dk-sim", 64_000_000, 1e6, "off"),
        ("qemu-m4", 25_000_000, 1e6, "off"),
        ("qemu-netduinoplus2", 31_250_000, 1e6, "off"),
        ("virtual", 1_000_000_000, 1e6, None),
    ],
)
def test_a_row_says_whether_interrupts_are_in_the_timed_window(board, tick_hz, p50_us, expected):
    assert interrupts_in(BOARDS[board], tick_hz=tick_hz, p50_us=p50_us) == expected


def test_every_board_of_an_arduino_core_says_how_long_its_firmware_masks_interrupts():
    ours = {"qemu-m4", "qemu-m3", "qemu-m7", "nrf52840dk", "nrf52840dk-sim", "virtual"}
    ours |= {"qemu-m0", "qemu-microbit", "qemu-m33", "qemu-m55", "qemu-rv32"}
    ours |= {"qemu-netduinoplus2"}  # Of a core, but emulated: always masked.
    others = [board for board in BOARDS.boards if board.kind not in ours]
    assert others and all(board.masked_us == 1000 for board in others)
