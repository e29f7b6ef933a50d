"""Registers of peripherals, as tables; and the bus that finds them by address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.sim.errors import SimulationError, Unknown

WORD = 0xFFFFFFFF
PAGE = 0x1000
"""Bytes of address space of each peripheral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A row of a peripheral's table: a register that keeps what is written to it.

    Bits outside of `writable` keep their reset value. With `byte_wide` it can be accessed by bytes
    and halfwords too, as few can.
    """

    offset: int
    name: str
    reset: int = 0
    writable: int = WORD
    byte_wide: bool = False


def constant(offset: int, name: str, value: int) -> Register:
    """A row for a register that cannot be written."""
    return Register(offset=offset, name=name, reset=value, writable=0)


def array(offset: int, name: str, count: int, *, reset: int = 0) -> tuple[Register, ...]:
    """Rows for `count` registers in a row, four bytes apart."""
    return tuple(
        Register(offset=offset + 4 * index, name=f"{name}[{index}]", reset=reset)
        for index in range(count)
    )


class Peripheral:
    """The registers of one peripheral; those in its table read as they were written.

    A peripheral that does something gives its registers other functions, by `on_read` and
    `on_write`, in its constructor.
    """

    def __init__(self, name: str, base: int, table: Iterable[Register]) -> None:
        self.name = name
        self.base = base
        self.value: dict[str, int] = {}
        """By the register's name; what a read gives unless `on_read` says otherwise."""
        self.registers: dict[int, Register] = {}
        self.reads: dict[int, Callable[[], int]] = {}
        self.writes: dict[int, Callable[[int], None]] = {}
        for row in table:
            self.add(row)

    def add(self, row: Register) -> None:
        """Add a register that keeps what is written to it."""
        self.value[row.name] = row.reset
        self.registers[row.offset] = row
        self.reads[row.offset] = lambda: self.value[row.name]
        self.writes[row.offset] = lambda value: self._store(row, value)

    def on_read(self, name: str, read: Callable[[], int]) -> None:
        """Ask `read` for the register's value."""
        self.reads[self._offset(name)] = read

    def on_write(self, name: str, wrote: Callable[[int], None]) -> None:
        """Hand what is written to the register to `wrote`, instead of keeping it."""
        self.writes[self._offset(name)] = wrote

    def after_write(self, name: str, wrote: Callable[[], None]) -> None:
        """Call `wrote` after the register has kept what was written."""
        row = self.registers[self._offset(name)]

        def store(value: int) -> None:
            self._store(row, value)
            wrote()

        self.writes[row.offset] = store

    def _store(self, row: Register, value: int) -> None:
        kept = self.value[row.name]
        self.value[row.name] = (kept & ~row.writable) | (value & row.writable)

    def _offset(self, name: str) -> int:
        return next(row.offset for row in self.registers.values() if row.name == name)


class Bus:
    """All registers of a chip by address.

    Args:
        pc: the program counter of the access under way, for errors.
    """

    def __init__(self, pc: Callable[[], int]) -> None:
        self._pc = pc
        self._reads: dict[int, Callable[[], int]] = {}
        self._writes: dict[int, Callable[[int], None]] = {}
        self._names: dict[int, str] = {}
        self._byte_wide: set[int] = set()
        self._pages: dict[int, list[str]] = {}

    def attach(self, peripheral: Peripheral) -> None:
        """Make a peripheral's registers answer; those of several may share a page."""
        self._pages.setdefault(peripheral.base // PAGE, []).append(peripheral.name)
        for offset, row in peripheral.registers.items():
            address = peripheral.base + offset
            self._reads[address] = peripheral.reads[offset]
            self._writes[address] = peripheral.writes[offset]
            self._names[address] = f"{peripheral.name}.{row.name}"
            if row.byte_wide:
                self._byte_wide.add(address)

    def read(self, address: int, size: int) -> int:
        """A register's value, or the bytes of it asked for.

        Raises:
            Unknown: there is no such register.
        """
        read = self._reads.get(address)
        if read is None or size != 4:
            return self._read_part(address, size)
        return read() & WORD

    def write(self, address: int, size: int, value: int) -> None:
        """Write a register, or bytes of it.

        Raises:
            Unknown: there is no such register.
        """
        write = self._writes.get(address)
        if write is None or size != 4:
            self._write_part(address, size, value)
        else:
            write(value & WORD)

    def name(self, address: int) -> str:
        """The register's name as `UARTE0.ENABLE`; where it is unknown, peripheral and offset."""
        known = self._names.get(address)
        if known is not None:
            return known
        owners = self._pages.get(address // PAGE)
        if owners is None:
            return f"address 0x{address:08x}, where there is no peripheral"
        return f"{'/'.join(owners)} + 0x{address % PAGE:03x}"

    def _read_part(self, address: int, size: int) -> int:
        word = self._whole(address, size, "read of")
        return self._reads[word]() >> 8 * (address - word) & (1 << 8 * size) - 1

    def _write_part(self, address: int, size: int, value: int) -> None:
        word = self._whole(address, size, "write to")
        shift = 8 * (address - word)
        mask = ((1 << 8 * size) - 1) << shift
        self._writes[word](self._reads[word]() & ~mask & WORD | value << shift & mask)

    def _whole(self, address: int, size: int, what: str) -> int:
        word = address & ~3
        if word not in self._reads:
            raise Unknown(what=what, place=self.name(address), pc=self._pc())
        if word not in self._byte_wide or address + size > word + 4:
            raise SimulationError(
                f"{8 * size}-bit {what} {self.name(word)}, which takes words only, "
                f"at pc 0x{self._pc():08x}"
            )
        return word
