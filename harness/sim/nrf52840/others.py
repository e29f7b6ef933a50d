"""Peripherals that the start-up code and the drivers of other people's cores touch.

Registers of errata have no name but their address: Nordic's start-up code writes them as its errata
document says, and reads some of them back.
"""

from __future__ import annotations

from harness.sim.nrf52840.nordic import Cpu, NordicPeripheral
from harness.sim.registers import Peripheral, Register, array

_MULTIPLIER, _INCREMENT = 1664525, 1013904223
"""A linear congruential generator's, from Numerical Recipes: the same numbers in every run."""


def errata() -> tuple[Peripheral, ...]:
    """Registers of errata 98, 103, 115, 120, 171 and 187, which keep what is written."""
    places = {
        **{"ERRATUM 98": 0x4000568C, "CCM": 0x4000F518, "ERRATUM 115": 0x40000EE4},
        **{"ERRATUM 120": 0x40029640, "ERRATUM 171": 0x4006EC00, "ERRATUM 187": 0x4006ED14},
    }
    return tuple(
        Peripheral(name, place & ~0xFFF, (Register(offset=place & 0xFFF, name="VALUE"),))
        for name, place in places.items()
    )


def temp() -> Peripheral:
    """The thermometer's calibration, which start-up code copies from FICR."""
    table = (*array(0x520, "A", 6), *array(0x540, "B", 6), *array(0x560, "T", 5))
    return Peripheral("TEMP", 0x4000C000, table)


def ppi() -> Peripheral:
    """Connections of events and tasks; enabling one is an error, since none is made."""
    table = (
        Register(offset=0x500, name="CHEN", writable=0),
        Register(offset=0x508, name="CHENCLR"),
        *(
            Register(offset=0x510 + 8 * n + 4 * end, name=f"CH[{n}].{'ET'[end]}EP")
            for n in range(20)
            for end in range(2)
        ),
    )
    return Peripheral("PPI", 0x4001F000, table)


class Rng(NordicPeripheral):
    """Numbers that look random, and are the same in every run: a byte in 30 us."""

    _CYCLES = 30 * 64

    def __init__(self, cpu: Cpu) -> None:
        table = (
            Register(offset=0x504, name="CONFIG", writable=1),
            Register(offset=0x508, name="VALUE", writable=0),
        )
        super().__init__(
            *("RNG", 0x4000D000, 13, cpu),
            tasks={0: "START", 4: "STOP"},
            events={0x100: "VALRDY"},
            shorts={0: ("VALRDY", "STOP")},
            table=table,
        )
        self._state = 1
        self._runs = False
        self.task("START", self._start)
        self.task("STOP", self._stop)

    def _start(self) -> None:
        if not self._runs:
            self._runs = True
            self.cpu.at(self.cpu.now() + self._CYCLES, self._ready)

    def _stop(self) -> None:
        self._runs = False

    def _ready(self) -> None:
        if self._runs:
            self._runs = False
            self._state = (self._state * _MULTIPLIER + _INCREMENT) & 0xFFFFFFFF
            self.value["VALUE"] = self._state >> 24
            again = not self.value["SHORTS"] & 1
            self.event("VALRDY")
            if again:
                self._start()
