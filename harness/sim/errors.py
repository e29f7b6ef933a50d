"""What a simulation ends with."""

from __future__ import annotations


class SimulationError(Exception):
    """The firmware did something that the simulated chip does not have or does not know."""


class Unknown(SimulationError):
    """An access to an address where the simulator knows no register or no memory.

    Never answered with 0: firmware would go on with a value that no chip gives.
    """

    def __init__(self, *, what: str, place: str, pc: int) -> None:
        super().__init__(f"{what} {place}, which the simulator does not know, at pc 0x{pc:08x}")
        self.place = place
        self.pc = pc
