"""Reads a firmware's ELF file: sections, symbols, and bytes of flash and RAM by owner."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from harness.files import write_atomic
from harness.firmware import memory, owners
from harness.firmware.memory import (
    MemoryByOwner,
    Part,
    Pointer,
    Section,
    Symbol,
    footprint,
    summed,
)

_WRITE, _ALLOC, EXECUTED = 1, 2, 4
"""Flags of sections."""
_LOCAL = 0
_OBJECT, FUNCTION, FILE = 1, 2, 4
"""Kinds of symbols."""
_RESERVED_INDEX = 0xFF00
_SYMBOL, _SYMBOL_64 = struct.Struct("<IIIBBH"), struct.Struct("<IBBHQQ")

# Names of sections that reserve the rest of RAM, and of symbols at their two ends.
_RESERVE_NAMES = re.compile(r"\.heap|\.stack\w*_dummy$")
_VARIABLES_END = {"end", "_end", "__end__", "__HeapBase", "__heap_start"}
_HEAP_ENDS = {"__HeapLimit", "__heap_end"}
_RAM_ENDS = {"__StackTop", "__stack", "_estack"}


def _read(file: BinaryIO) -> Any:
    from elftools.elf.elffile import ELFFile  # 0.04 s: only where one is read

    return ELFFile(file)


@contextmanager
def opened_elf(elf: Path) -> Iterator[Any]:
    """An ELF file as pyelftools reads it."""
    with elf.open("rb") as file:
        yield _read(file)


def elf_sections(elf: Path) -> tuple[Section, ...]:
    """Sections of an ELF file that take memory, in file order.

    A section is in RAM if it is writable, or if its address and its load address differ: then it is
    copied to RAM at startup, which some linker scripts do not mark as writable. Left out are
    sections that only reserve the rest of RAM for the heap.
    """
    with elf.open("rb") as file:
        return _sections(_read(file))


def memory_parts(elf: Path) -> tuple[Part, ...]:
    """Bytes by section and owner, kept beside the ELF because it takes a while to find them.

    Everything in an ELF without symbols is `rest`.
    """
    kept = elf.with_name("memory.json")
    stat = elf.stat()
    key = f"{_rules()} {stat.st_size} {stat.st_mtime_ns}"
    with suppress(OSError, ValueError, KeyError, TypeError):  # Absent or damaged: found anew.
        known = json.loads(kept.read_text())
        if known["key"] == key:
            return tuple(Part(**part) for part in known["parts"])
    parts = read_parts(elf)
    found = {"key": key, "parts": [asdict(part) for part in parts]}
    write_atomic(kept, json.dumps(found).encode())
    return parts


def memory_by_owner(elf: Path) -> MemoryByOwner:
    """Sums of flash and RAM by owner."""
    return summed(memory_parts(elf))


def has_symbols(elf: Path) -> bool:
    """Whether an ELF file has a symbol table; a stripped one has none."""
    with elf.open("rb") as file:
        table: Any = _read(file).get_section_by_name(".symtab")
        return table is not None and table.num_symbols() > 1


def read_parts(elf: Path) -> tuple[Part, ...]:
    """As `memory_parts`, but always from the ELF itself."""
    with elf.open("rb") as file:
        binary = _read(file)
        sections = _sections(binary)
        symbols, literals = _symbols(binary)
        return footprint(sections, symbols, _pointers(binary, sections, literals))


@lru_cache
def _rules() -> str:
    modules = (sys.modules[__name__], memory, owners)
    source = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _sections(binary: Any) -> tuple[Section, ...]:
    marks = _marks(binary)
    copied = [
        range(part["p_vaddr"], part["p_vaddr"] + part["p_memsz"])
        for part in binary.iter_segments("PT_LOAD")
        if part["p_vaddr"] != part["p_paddr"]
    ]
    return tuple(
        Section(
            name=section.name,
            address=section["sh_addr"],
            size_bytes=section["sh_size"],
            in_flash=section["sh_type"] != "SHT_NOBITS",
            in_ram=bool(section["sh_flags"] & _WRITE)
            or any(section["sh_addr"] in addresses for addresses in copied),
        )
        for section in allocated(binary)
        if not _only_reserves(section, marks)
    )


def _only_reserves(section: Any, marks: Mapping[str, int]) -> bool:
    """Whether a section has no contents and only reserves the rest of RAM for the heap.

    A stack that the linker script reserves beside the heap has a fixed size and counts as RAM.
    """
    if section["sh_type"] != "SHT_NOBITS":
        return False
    if _RESERVE_NAMES.match(section.name):
        return True

    def marked(address: int, names: Collection[str]) -> bool:
        return any(marks.get(name) == address for name in names)

    start, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
    return (
        marked(start, _VARIABLES_END)
        and not marked(start, _HEAP_ENDS)
        and marked(end, _HEAP_ENDS | _RAM_ENDS)
    )


def allocated(binary: Any) -> Iterator[Any]:
    """Sections that take memory."""
    for section in binary.iter_sections():
        if section["sh_flags"] & _ALLOC and section["sh_size"]:
            yield section


def symbol_table(binary: Any) -> Iterator[tuple[str, int, int, int, int]]:
    """Name, value, size, kind with binding, and section index of each symbol.

    Read by hand: pyelftools takes ten times as long.
    """
    table = binary.get_section_by_name(".symtab")
    if table is None:
        return
    names = binary.get_section(table["sh_link"]).data()
    for name_at, value, size, info, index in _entries(table.data(), binary.elfclass):
        name = names[name_at : names.index(0, name_at)].decode("utf-8", "replace")
        yield name, value, size, info, index


def _entries(table: bytes, bits: int) -> Iterator[tuple[int, int, int, int, int]]:
    """A symbol table's fields, the name by its place. Firmware for a PC may have 64 bits."""
    if bits == 64:
        for name_at, info, _, index, value, size in _SYMBOL_64.iter_unpack(table):
            yield name_at, value, size, info, index
        return
    for name_at, value, size, info, _, index in _SYMBOL.iter_unpack(table):
        yield name_at, value, size, info, index


def _marks(binary: Any) -> dict[str, int]:
    """Addresses of the symbols by which linker scripts mark where variables, heap and RAM end."""
    wanted = _VARIABLES_END | _HEAP_ENDS | _RAM_ENDS
    return {name: value for name, value, *_ in symbol_table(binary) if name in wanted}


def _symbols(binary: Any) -> tuple[list[Symbol], list[tuple[int, bool]]]:
    """Functions and variables; and where literals in code begin (True) and end (False)."""
    arm = binary["e_machine"] == "EM_ARM"
    symbols: list[Symbol] = []
    turns: list[tuple[int, bool]] = []
    file = ""
    for name, value, size, info, index in symbol_table(binary):
        kind = info & 15
        if kind == FILE:
            file = name
        elif 0 < index < _RESERVED_INDEX and arm and name[:2] in ("$d", "$t", "$a"):
            turns.append((value, name[:2] == "$d"))
        elif 0 < index < _RESERVED_INDEX and size and kind in (_OBJECT, FUNCTION):
            # The lowest bit of a function's address says that it is Thumb code.
            address = value & ~1 if arm and kind == FUNCTION else value
            symbols.append(
                Symbol(
                    name=name,
                    address=address,
                    size_bytes=size,
                    file=Path(file).name if info >> 4 == _LOCAL else "",
                    is_function=kind == FUNCTION,
                )
            )
    return symbols, sorted(turns)


def _pointers(
    binary: Any, sections: tuple[Section, ...], turns: list[tuple[int, bool]]
) -> Iterator[Pointer]:
    """Words of data or literals that hold an address in flash."""
    import numpy as np

    flash = [section for section in sections if section.in_flash]
    lowest = min((section.address for section in flash), default=0)
    highest = max((section.address + section.size_bytes for section in flash), default=0)
    edges = np.array([at for at, _ in turns], dtype=np.int64)
    literal = np.array([False, *(is_literal for _, is_literal in turns)])
    for section in allocated(binary):
        if section["sh_type"] == "SHT_NOBITS":
            continue
        start = -(-section["sh_addr"] // 4) * 4
        raw = section.data()[start - section["sh_addr"] :]
        words = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4")
        places = start + 4 * np.arange(len(words), dtype=np.int64)
        chosen = (words >= lowest) & (words < highest)
        if section["sh_flags"] & EXECUTED:
            chosen &= literal[np.searchsorted(edges, places, side="right")]
        for place, word in zip(places[chosen], words[chosen], strict=True):
            yield Pointer(address=int(place), target=int(word))
