"""Which exception the CPU takes next: the nested vectored interrupt controller's decision.

ARMv7-M Architecture Reference Manual, B1.5 and B3.4.
"""

from __future__ import annotations

RESET_PRIORITY = 256
"""Of code that handles no exception: below every other."""
NMI, HARD_FAULT, SVCALL, PENDSV, SYSTICK, FIRST_IRQ = 2, 3, 11, 14, 15, 16
_FIXED = {NMI: -2, HARD_FAULT: -1}
PRIORITY_BITS = 0xE0
"""Implemented on Nordic's nRF52: three."""


class Nvic:
    """Exceptions that are pending, enabled and active, by their number (16 is interrupt 0)."""

    def __init__(self) -> None:
        self.enabled = (1 << FIRST_IRQ) - 1
        self.latched = 0
        """Pending by an edge or by software, one bit for each exception."""
        self.lines = 0
        """Interrupt lines that are high: pending as soon as their exception is not active."""
        self.priorities = bytearray(256)
        self.active: list[int] = []
        self.group_bits = 0
        """AIRCR.PRIGROUP."""
        self._active = 0

    @property
    def pending(self) -> int:
        """One bit for each exception that waits to be taken, enabled or not."""
        return self.latched | self.lines & ~self._active

    @property
    def waiting(self) -> bool:
        """Whether an enabled exception is pending, whatever masks it: what ends a sleep."""
        return self.pending & self.enabled != 0

    def pend(self, exception: int) -> None:
        """Make an exception pending."""
        self.latched |= 1 << exception

    def unpend(self, exception: int) -> None:
        """Forget a pending exception; a line that is high keeps its own pending."""
        self.latched &= ~(1 << exception)

    def set_line(self, irq: int, high: bool) -> None:
        """The interrupt line of a peripheral."""
        bit = 1 << FIRST_IRQ + irq
        self.lines = self.lines | bit if high else self.lines & ~bit

    def priority(self, exception: int) -> int:
        """Lower is more urgent."""
        return _FIXED.get(exception, self.priorities[exception] & PRIORITY_BITS)

    def next(self, *, mask: int | None, basepri: int) -> int | None:
        """The exception to take now, before the next instruction; None if none may interrupt.

        Args:
            mask: priority that PRIMASK (0) or FAULTMASK (-1) gives to the code that runs.
            basepri: as in the register, 0 for none.
        """
        bits = self.pending & self.enabled
        if not bits:
            return None
        best = min(_numbers(bits), key=lambda number: (self.priority(number), number))
        limit = min((self._group(self.priority(number)) for number in self.active), default=256)
        if mask is not None:
            limit = min(limit, mask)
        if basepri:
            limit = min(limit, self._group(basepri & PRIORITY_BITS))
        return best if self._group(self.priority(best)) < limit else None

    def enter(self, exception: int) -> None:
        """The exception is taken."""
        self.unpend(exception)
        self.active.append(exception)
        self._active |= 1 << exception

    def leave(self) -> int:
        """The exception taken last has returned; returns the one that goes on, 0 for none."""
        self._active &= ~(1 << self.active.pop())
        return self.active[-1] if self.active else 0

    def _group(self, priority: int) -> int:
        return priority if priority < 0 else priority & ~((2 << self.group_bits) - 1)


def _numbers(bits: int) -> list[int]:
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found
