"""Peripherals that keep what is written, or never change: NVMC, GPIO, FICR, UICR, RNG."""

from __future__ import annotations

from collections.abc import Callable

from harness.sim.registers import WORD, Peripheral, Register, array, constant

DEVICE_ID = (0x11223344, 0x55667788)
DEVICE_ADDRESS = (0x89ABCDEF, 0xFFFF4567)
_ERASED = WORD


def nvmc() -> Peripheral:
    """The flash controller: always ready. A write to flash is refused, as CONFIG forbids it."""
    table = (
        constant(0x400, "READY", 1),
        constant(0x408, "READYNEXT", 1),
        Register(offset=0x504, name="CONFIG", writable=0),
        Register(offset=0x540, name="ICACHECNF", writable=0x101),
        Register(offset=0x548, name="IHIT"),
        Register(offset=0x54C, name="IMISS"),
    )
    return Peripheral("NVMC", 0x4001E000, table)


def ficr() -> Peripheral:
    """What the factory wrote: an nRF52840 with 1 MB of flash and 256 KB of RAM, device id above."""
    table = (
        constant(0x10, "CODEPAGESIZE", 4096),
        constant(0x14, "CODESIZE", 256),
        constant(0x60, "DEVICEID[0]", DEVICE_ID[0]),
        constant(0x64, "DEVICEID[1]", DEVICE_ID[1]),
        constant(0xA0, "DEVICEADDRTYPE", WORD),
        constant(0xA4, "DEVICEADDR[0]", DEVICE_ADDRESS[0]),
        constant(0xA8, "DEVICEADDR[1]", DEVICE_ADDRESS[1]),
        constant(0x100, "INFO.PART", 0x52840),
        constant(0x104, "INFO.VARIANT", 0x41414430),  # AAD0
        constant(0x108, "INFO.PACKAGE", 0x2004),
        constant(0x10C, "INFO.RAM", 256),
        constant(0x110, "INFO.FLASH", 1024),
        constant(0x258, "ERRATUM 115", 0),
        constant(0x130, "ERRATA[0]", 8),
        constant(0x134, "ERRATA[1]", 2),
        *(constant(0x404 + 4 * at, f"TEMP[{at}]", 0) for at in range(17)),
    )
    return Peripheral("FICR", 0x10000000, table)


def uicr() -> Peripheral:
    """What a user wrote: nothing but the reset pin, as the DK comes."""
    table = (
        *array(0x14, "NRFFW", 15, reset=_ERASED),
        *array(0x50, "NRFHW", 12, reset=_ERASED),
        *array(0x80, "CUSTOMER", 32, reset=_ERASED),
        constant(0x200, "PSELRESET[0]", 18),
        constant(0x204, "PSELRESET[1]", 18),
        constant(0x208, "APPROTECT", _ERASED),
        constant(0x20C, "NFCPINS", _ERASED),
        constant(0x210, "DEBUGCTRL", _ERASED),
        constant(0x304, "REGOUT0", _ERASED),
    )
    return Peripheral("UICR", 0x10001000, table)


class Gpio(Peripheral):
    """A port of pins that nothing drives from outside: pulled-up inputs read 1, others 0.

    Args:
        changed: told which pin, by its number on this port, was driven high or low or let go of.
    """

    _PULL_UP, _OUTPUT = 3 << 2, 1

    def __init__(
        self, index: int, offset: int, pins: int, changed: Callable[[int, bool], None]
    ) -> None:
        # Both ports are in one page, 0x300 apart.
        table = (
            *(Register(offset=offset + 0x504 + 4 * at, name=f"{name}") for at, name in self._NAMES),
            *array(offset + 0x700, "PIN_CNF", pins, reset=2),
        )
        super().__init__(f"P{index}", 0x50000000, table)
        self._pins = pins
        self._changed = changed
        self._high = 0
        self.after_write("OUT", self._look)
        self.after_write("DIR", self._look)
        self.on_read("IN", self._input)
        for name, kept in (("OUT", "OUT"), ("DIR", "DIR")):
            self._set_and_clear(name, kept)
        for pin in range(pins):
            self.after_write(f"PIN_CNF[{pin}]", lambda pin=pin: self._configured(pin))  # type: ignore[misc]

    _NAMES = (
        *((0, "OUT"), (1, "OUTSET"), (2, "OUTCLR"), (3, "IN"), (4, "DIR"), (5, "DIRSET")),
        *((6, "DIRCLR"), (7, "LATCH"), (8, "DETECTMODE")),
    )

    def _set_and_clear(self, name: str, kept: str) -> None:
        def set_bits(value: int) -> None:
            self.value[kept] |= value
            self._look()

        def clear_bits(value: int) -> None:
            self.value[kept] &= ~value
            self._look()

        for suffix, write in (("SET", set_bits), ("CLR", clear_bits)):
            self.on_read(name + suffix, lambda: self.value[kept])
            self.on_write(name + suffix, write)

    def _configured(self, pin: int) -> None:
        output = self.value[f"PIN_CNF[{pin}]"] & self._OUTPUT
        bit = 1 << pin
        self.value["DIR"] = self.value["DIR"] | bit if output else self.value["DIR"] & ~bit
        self._look()

    def _look(self) -> None:
        """See which pins are driven high now, and tell of those that were not, or no longer are."""
        high = self.value["OUT"] & self.value["DIR"]
        others, self._high = high ^ self._high, high
        for pin in range(self._pins) if others else ():
            if others >> pin & 1:
                self._changed(pin, bool(high >> pin & 1))

    def _input(self) -> int:
        pulled = sum(
            1 << pin
            for pin in range(self._pins)
            if self.value[f"PIN_CNF[{pin}]"] & self._PULL_UP == self._PULL_UP
        )
        return self.value["OUT"] & self.value["DIR"] | pulled & ~self.value["DIR"]
