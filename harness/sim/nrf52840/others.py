"""Peripherals that the start-up code and the drivers of other people's cores touch.

Registers of errata have no name but their address: Nordic's start-up code writes them as its errata
document says, and reads some of them back.
"""

from __future__ import annotations

from harness.sim.errors import SimulationError
from harness.sim.nrf52840.nordic import Cpu, NordicPeripheral
from harness.sim.registers import WORD, Peripheral, Register, array

_MULTIPLIER, _INCREMENT = 1664525, 1013904223
"""A linear congruential generator's, from Numerical Recipes: the same numbers in every run."""


def errata() -> tuple[Peripheral, ...]:
    """Registers of errata 98, 103, 115, 120, 166, 171, 187 and 199, which keep what is written."""
    places = {
        **{"ERRATUM 98": 0x4000568C, "CCM": 0x4000F518, "ERRATUM 115": 0x40000EE4},
        **{"ERRATUM 120": 0x40029640, "ERRATUM 166": 0x40027800, "ERRATUM 166, data": 0x40027804},
        **{"ERRATUM 171": 0x4006EC00, "ERRATUM 171, data": 0x4006EC14, "ERRATUM 187": 0x4006ED14},
        **{"ERRATUM 199": 0x40027C1C},
    }
    return tuple(
        Peripheral(name, place & ~0xFFF, (Register(offset=place & 0xFFF, name="VALUE"),))
        for name, place in places.items()
    )


def stray() -> Peripheral:
    """Where mbed-os 6 writes a 0 beside all peripherals, at each reset of the USB bus.

    Its USBPhyHw::_reset hands a mask of 25 bits to a function that takes an event's offset of 16.
    The chip ignores the write, which straddles two words.
    """
    table = (
        Register(offset=0xFFC, name="LAST", writable=0, byte_wide=True),
        Register(offset=0x1000, name="FIRST", writable=0, byte_wide=True),
    )
    return Peripheral("NOTHING", 0x40036000, table)


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


class Pwm(Peripheral):
    """A pulse width modulator, which start-up code switches off; switching it on is an error."""

    def __init__(self, index: int, base: int) -> None:
        table = (
            Register(offset=0x500, name="ENABLE"),
            *array(0x560, "PSEL.OUT", 4, reset=WORD),
        )
        super().__init__(f"PWM{index}", base, table)
        self.on_write("ENABLE", self._switch)

    def _switch(self, value: int) -> None:
        if value & 1:
            raise SimulationError(f"{self.name}.ENABLE is written, and PWM is not simulated")


class Gpiote(NordicPeripheral):
    """Pins as events, none of which happens: nothing drives a pin from outside.

    Making a pin a task is an error, since none is.
    """

    def __init__(self, cpu: Cpu) -> None:
        super().__init__(
            *("GPIOTE", 0x40006000, 6, cpu),
            tasks={},
            events={**{0x100 + 4 * n: f"IN[{n}]" for n in range(8)}, 0x17C: "PORT"},
            table=array(0x510, "CONFIG", 8),
        )
        for n in range(8):
            self.on_write(f"CONFIG[{n}]", lambda value, n=n: self._configure(n, value))  # type: ignore[misc]

    def _configure(self, n: int, value: int) -> None:
        if value & 3 == 3:
            raise SimulationError(f"GPIOTE.CONFIG[{n}] makes a pin a task, which is not simulated")
        self.value[f"CONFIG[{n}]"] = value


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
