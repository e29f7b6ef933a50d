"""Whether an ELF file for a Cortex-M holds instructions that its core does not have.

An emulator does not tell: QEMU's Cortex-M3 executes what a Cortex-M0+ does not have, and SMLAD.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import AlienCode, CoreLacks, Where
from harness.firmware.t32 import CORES, is_wide, named

_EXECUTED = 4


def refuse_a32(elf: Path, *, where: Where) -> None:
    """Refuse firmware with A32 code for a CPU that has only T32: it faults where it gets there.

    The assembler marks where A32 code begins by a symbol `$a`, and the CPU's profile is among the
    file's attributes. An ELF file without either is let pass.

    Raises:
        AlienCode: names the functions.
    """
    from elftools.elf.elffile import ELFFile  # 0.04 s: only where one is read

    with elf.open("rb") as file:
        binary: Any = ELFFile(file)
        found = _a32_functions(binary) if _is_cortex_m(binary) else []
    if found:
        raise AlienCode(where=where, functions=found)


def refuse_for_core(elf: Path, core: str | None, *, where: Where) -> None:
    """Refuse firmware with instructions that a core does not have.

    What is code and what is data between it, the assembler marks by symbols `$t` and `$d`. An ELF
    file without them is let pass.

    Args:
        core: a key of `CORES`; any other is not checked.

    Raises:
        CoreLacks: names the instructions and functions.
    """
    if core not in CORES:
        return
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        binary: Any = ELFFile(file)
        found = _lacking(binary, CORES[core])
    if found:
        raise CoreLacks(where=where, core=core, found=found)


def _lacking(binary: Any, has: frozenset[str]) -> list[tuple[str, str, str]]:
    """Instruction, what has it, and function of the first use of each instruction."""
    symbols = _symbols(binary)
    first: dict[str, tuple[str, int]] = {}
    for address, name, needs in uses_beyond(binary, has):
        first.setdefault(name, (needs, address))
    functions = sorted(
        (symbol["st_value"] & ~1, symbol.name)
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC"
    )
    return [
        (name, needs, _function_at(address, functions)) for name, (needs, address) in first.items()
    ]


def uses_beyond(binary: Any, has: frozenset[str]) -> Iterator[tuple[int, str, str]]:
    """Address, name, and what has it, of each instruction that is of nothing in `has`.

    Args:
        binary: an `ELFFile` of elftools.
    """
    for section, start, end in _t32_code(binary, _symbols(binary)):
        code = section.data()[start - section["sh_addr"] : end - section["sh_addr"]]
        for at, name, needs in _instructions(code):
            if needs not in has:
                yield start + at, name, needs


def _symbols(binary: Any) -> list[Any]:
    table = binary.get_section_by_name(".symtab")
    return list(table.iter_symbols()) if table is not None else []


def _t32_code(binary: Any, symbols: list[Any]) -> Iterator[tuple[Any, int, int]]:
    """Sections, and from where to where T32 code is in them."""
    marks: dict[int, list[tuple[int, bool]]] = {}
    for symbol in symbols:
        if symbol.name[:2] in ("$a", "$d", "$t") and symbol.name[2:3] in ("", "."):
            index = symbol["st_shndx"]
            marks.setdefault(index, []).append((symbol["st_value"], symbol.name[1] == "t"))
    for index, places in marks.items():
        section = binary.get_section(index) if isinstance(index, int) else None
        if section is None or not section["sh_flags"] & _EXECUTED:
            continue
        places.sort()
        ends = [place for place, _ in places[1:]] + [section["sh_addr"] + section["sh_size"]]
        for (start, is_t32), end in zip(places, ends, strict=True):
            if is_t32 and start < end:
                yield section, start, end


def _instructions(code: bytes) -> Iterator[tuple[int, str, str]]:
    """Offset, name, and what has it, of each instruction."""
    halves = [half for (half,) in struct.iter_unpack("<H", code[: len(code) & ~1])]
    at = 0
    while at < len(halves):
        wide = is_wide(halves[at])
        second = halves[at + 1] if wide and at + 1 < len(halves) else 0
        yield at * 2, *named(halves[at], second)
        at += 2 if wide else 1


def _function_at(address: int, functions: list[tuple[int, str]]) -> str:
    """The function that begins there or before; else the address."""
    index = bisect_right(functions, (address, "\U0010ffff"))
    return functions[index - 1][1] if index else f"0x{address:08x}"


def _is_cortex_m(binary: Any) -> bool:
    section = binary.get_section_by_name(".ARM.attributes")
    if binary["e_machine"] != "EM_ARM" or section is None:
        return False
    return any(
        attribute.tag == "TAG_CPU_ARCH_PROFILE" and attribute.value == ord("M")
        for part in section.iter_subsections()
        for scope in part.iter_subsubsections()
        for attribute in scope.iter_attributes()
    )


def _a32_functions(binary: Any) -> list[str]:
    """Names of the functions that are at the marks, else the marks' addresses."""
    symbols = _symbols(binary)
    marks = [symbol for symbol in symbols if symbol.name == "$a" or symbol.name.startswith("$a.")]
    names = {
        symbol["st_value"]: symbol.name
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC"
    }
    addresses = sorted({mark["st_value"] for mark in marks if _executed(binary, mark)})
    return [names.get(address, f"0x{address:08x}") for address in addresses]


def _executed(binary: Any, symbol: Any) -> bool:
    index = symbol["st_shndx"]
    if not isinstance(index, int):
        return False
    section = binary.get_section(index)
    end = section["sh_addr"] + section["sh_size"]
    return bool(section["sh_flags"] & _EXECUTED) and symbol["st_value"] < end
