"""Pins of boards."""

from __future__ import annotations

import pytest

from harness.board.pins import Pins, ranges
from harness.board.registry import load_registry
from harness.errors import RigError


def test_ranges_are_short() -> None:
    assert ranges((5, 1, 2, 3, 9, 8)) == "1 to 3, 5, 8, 9"
    assert ranges((7,)) == "7"


@pytest.mark.parametrize(
    ("free", "used", "said"),
    [
        ((), {}, "one pin at least"),
        ((300,), {}, "from 0 to 255"),
        ((1, 2), {"2": "the LED"}, "pin 2 is both"),
        ((1,), {"LED": "the LED"}, "'LED' is no number"),
        ((1,), {"07": "the LED"}, "'07' is no number"),
    ],
)
def test_what_cannot_be_is_refused(free: tuple[int, ...], used: dict[str, str], said: str) -> None:
    with pytest.raises(RigError, match=said):
        Pins(numbered="by hand", free=free, used=used)


def test_every_board_with_a_port_of_ours_that_drives_pins_says_which() -> None:
    without = {board.id for board in load_registry().boards if board.pins is None}
    assert without == {"virtual", "qemu-rv32", "qemu-netduinoplus2", "qemu-microbit"}
