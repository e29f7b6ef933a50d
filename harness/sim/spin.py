"""What a loop that polls registers of peripherals did in its last round."""

from __future__ import annotations

MOST_POLLED = 16
"""Registers that such a loop reads in a round."""


class Spin:
    """What a loop has read since it last read its first register, the anchor."""

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, anchor: int | None) -> None:
        self.anchor = anchor
        self.values: list[tuple[int, int]] = []
        self.before: list[tuple[int, int]] = []
        self.at = 0
        self.state: tuple[int, ...] = ()
        """Program counter and registers at the last read of the anchor."""
