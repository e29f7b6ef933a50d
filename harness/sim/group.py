"""Several registers of unicorn's CPU at once, by one call of its library.

unicorn's own Python functions look up each register's type anew, which takes ten times as long as
what they do; an exception moves some thirty registers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from unicorn.unicorn_py3.unicorn import uclib

from harness.sim.errors import SimulationError


class RegisterGroup:
    """Some registers of 32 bits, in this order."""

    def __init__(self, uc: Any, registers: Sequence[int]) -> None:
        count = len(registers)
        self._uc = uc
        self._ids = (ctypes.c_int * count)(*registers)
        self._values = (ctypes.c_uint32 * count)()
        first, step = ctypes.addressof(self._values), ctypes.sizeof(ctypes.c_uint32)
        self._places = (ctypes.c_void_p * count)(*range(first, first + count * step, step))
        self._count = count

    def read(self) -> list[int]:
        """Their values."""
        self._check(uclib.uc_reg_read_batch(self._uc._uch, self._ids, self._places, self._count))
        return list(self._values)

    def write(self, values: Sequence[int]) -> None:
        """Change them."""
        self._values[:] = list(values)
        self._check(uclib.uc_reg_write_batch(self._uc._uch, self._ids, self._places, self._count))

    @staticmethod
    def _check(status: int) -> None:
        if status:
            raise SimulationError(f"unicorn refuses registers with error {status}")
