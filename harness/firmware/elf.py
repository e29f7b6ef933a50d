"""Flash and RAM of a firmware by section and owner, read from its ELF file."""

from __future__ import annotations

import hashlib
import inspect
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from harness.files import write_atomic
from harness.firmware import memory as footprint_module
from harness.firmware import owners as owners_module
from harness.firmware.memory import Area, MemoryByOwner, Part, Pointer, Symbol, footprint, summed

_LOCAL = 0
_OBJECT, _FUNCTION, _FILE = 1, 2, 4
_RESERVED_INDEX = 0xFF00
_SYMBOL = struct.Struct("<IIIBBH")


def elf_areas(elf: Path) -> tuple[Area, ...]:
    """Allocated sections of an ELF file, in file order.

    In RAM is what is written, and what is copied there before it runs: some linker scripts call the
    latter, initial values included, plain code.
    """
    with elf.open("rb") as file:
        return _areas(ELFFile(file))


def memory_parts(elf: Path) -> tuple[Part, ...]:
    """Bytes by section and owner. Kept beside the ELF, since to find them takes a while.

    An ELF without symbols is all `rest`.
    """
    kept = elf.with_name("memory.json")
    stat = elf.stat()
    key = f"{_rules()} {stat.st_size} {stat.st_mtime_ns}"
    if kept.is_file():
        known = json.loads(kept.read_text())
        if known["key"] == key:
            return tuple(Part(**part) for part in known["parts"])
    parts = read_parts(elf)
    found = {"key": key, "parts": [asdict(part) for part in parts]}
    write_atomic(kept, json.dumps(found).encode())
    return parts


def memory_by_owner(elf: Path) -> MemoryByOwner:
    """Flash and RAM by owner."""
    return summed(memory_parts(elf))


def has_symbols(elf: Path) -> bool:
    """Whether an ELF names its functions: a stripped one does not."""
    with elf.open("rb") as file:
        table: Any = ELFFile(file).get_section_by_name(".symtab")
        return table is not None and table.num_symbols() > 1


def read_parts(elf: Path) -> tuple[Part, ...]:
    """As `memory_parts`, from the ELF itself."""
    with elf.open("rb") as file:
        binary = ELFFile(file)
        areas = _areas(binary)
        symbols, literals = _symbols(binary)
        return footprint(areas, symbols, _pointers(binary, areas, literals))


@lru_cache
def _rules() -> str:
    source = "".join(inspect.getsource(module) for module in (footprint_module, owners_module))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _areas(binary: Any) -> tuple[Area, ...]:
    copied = [
        range(part["p_vaddr"], part["p_vaddr"] + part["p_memsz"])
        for part in binary.iter_segments("PT_LOAD")
        if part["p_vaddr"] != part["p_paddr"]
    ]
    return tuple(
        Area(
            name=section.name,
            address=section["sh_addr"],
            size_bytes=section["sh_size"],
            in_flash=section["sh_type"] != "SHT_NOBITS",
            in_ram=bool(section["sh_flags"] & SH_FLAGS.SHF_WRITE)
            or any(section["sh_addr"] in addresses for addresses in copied),
        )
        for section in _allocated(binary)
    )


def _allocated(binary: Any) -> Iterator[Any]:
    for section in binary.iter_sections():
        if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]:
            yield section


def _symbols(binary: Any) -> tuple[list[Symbol], list[tuple[int, bool]]]:
    """Functions and variables, and where code turns into literals (True) and back, by address.

    Read by hand: pyelftools takes ten times as long.
    """
    table = binary.get_section_by_name(".symtab")
    if table is None:
        return [], []
    arm = binary["e_machine"] == "EM_ARM"
    names = binary.get_section(table["sh_link"]).data()
    symbols: list[Symbol] = []
    turns: list[tuple[int, bool]] = []
    file = ""
    for name_at, value, size, info, _, index in _SYMBOL.iter_unpack(table.data()):
        kind = info & 15
        name = names[name_at : names.index(0, name_at)].decode("utf-8", "replace")
        if kind == _FILE:
            file = name
        elif 0 < index < _RESERVED_INDEX and arm and name[:2] in ("$d", "$t", "$a"):
            turns.append((value, name[:2] == "$d"))
        elif 0 < index < _RESERVED_INDEX and size and kind in (_OBJECT, _FUNCTION):
            # The lowest bit of a function's address says that it is Thumb code.
            address = value & ~1 if arm and kind == _FUNCTION else value
            symbols.append(
                Symbol(
                    name=name,
                    address=address,
                    size_bytes=size,
                    file=Path(file).name if info >> 4 == _LOCAL else "",
                    is_function=kind == _FUNCTION,
                )
            )
    return symbols, sorted(turns)


def _pointers(
    binary: Any, areas: tuple[Area, ...], turns: list[tuple[int, bool]]
) -> Iterator[Pointer]:
    """Words outside of instructions that hold an address in flash."""
    import numpy as np

    flash = [area for area in areas if area.in_flash]
    lowest = min((area.address for area in flash), default=0)
    highest = max((area.address + area.size_bytes for area in flash), default=0)
    edges = np.array([at for at, _ in turns], dtype=np.int64)
    literal = np.array([False, *(is_literal for _, is_literal in turns)])
    for section in _allocated(binary):
        if section["sh_type"] == "SHT_NOBITS":
            continue
        start = -(-section["sh_addr"] // 4) * 4
        raw = section.data()[start - section["sh_addr"] :]
        words = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4")
        places = start + 4 * np.arange(len(words), dtype=np.int64)
        chosen = (words >= lowest) & (words < highest)
        if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR:
            chosen &= literal[np.searchsorted(edges, places, side="right")]
        for place, word in zip(places[chosen], words[chosen], strict=True):
            yield Pointer(address=int(place), target=int(word))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the ELF that takes memory; `in_flash` and `in_ram` are both true for .data."""

    name: str
    size_bytes: int
    in_flash: bool
    in_ram: bool


def flash_bytes(sections: tuple[Section, ...]) -> int:
    """Size of what is in flash."""
    return sum(section.size_bytes for section in sections if section.in_flash)


def ram_bytes(sections: tuple[Section, ...]) -> int:
    """Size of what is in RAM."""
    return sum(section.size_bytes for section in sections if section.in_ram)


def elf_sections(elf: Path) -> tuple[Section, ...]:
    """Allocated sections of an ELF file, in file order."""
    return tuple(
        Section(
            name=area.name,
            size_bytes=area.size_bytes,
            in_flash=area.in_flash,
            in_ram=area.in_ram,
        )
        for area in elf_areas(elf)
    )
