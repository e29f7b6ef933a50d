"""Whether an ELF file for a Cortex-M or a RISC-V holds instructions that its core does not have.

An emulator does not tell: QEMU's Cortex-M3 executes what a Cortex-M0+ does not have, and SMLAD.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import AlienCode, CoreLacks, RigError, Where
from harness.firmware import rv32, t32
from harness.text import listed, printable

_EXECUTED = 4
_UNCHECKED = ("cortex-m23", "cortex-m52", "cortex-m85")
"""Cortex-M of which harness.firmware.t32 knows too little."""


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

    What is code and what is data between it, the assembler marks by symbols `$t`, of a RISC-V `$x`,
    and `$d`. An ELF file for Arm without them is let pass; for a RISC-V all is code then.

    Args:
        core: a key of `t32.CORES` or a name such as rv32imac; others are not checked.

    Raises:
        CoreLacks: names the instructions and functions.
        RigError: as `features_of`.
    """
    has = features_of(core) if core else None
    if core is None or has is None:
        return
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        binary: Any = ELFFile(file)
        found = _lacking(binary, has)
    if found:
        raise CoreLacks(where=where, core=core, found=found)


def features_of(core: str) -> frozenset[str] | None:
    """What has an instruction that a core has; None for one that is not checked.

    Raises:
        RigError: it is a Cortex-M or an RV32 by its name, and not known.
    """
    has = t32.CORES.get(core) or rv32.extensions_of(core)
    if has is None and core.startswith(("cortex-m", "rv32")) and core not in _UNCHECKED:
        raise RigError(
            f"core {printable(core)!r} is not known",
            hint=f"It may be {listed(tuple(t32.CORES))}, or of a RISC-V its extensions, such as "
            "rv32imac or rv32imafc_zba_zbb.",
        )
    return has


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
    is_riscv = binary["e_machine"] == "EM_RISCV"
    read = _rv32_instructions if is_riscv else _t32_instructions
    for section, start, end in _code(binary, _symbols(binary), is_riscv):
        code = section.data()[start - section["sh_addr"] : end - section["sh_addr"]]
        for at, name, needs in read(code):
            if needs not in has:
                yield start + at, name, needs


def _symbols(binary: Any) -> list[Any]:
    table = binary.get_section_by_name(".symtab")
    return list(table.iter_symbols()) if table is not None else []


def _code(binary: Any, symbols: list[Any], is_riscv: bool) -> Iterator[tuple[Any, int, int]]:
    """Sections, and from where to where T32 code, or a RISC-V's, is in them."""
    marks = _marks(binary, symbols)
    for index, section in enumerate(binary.iter_sections()):
        if not section["sh_flags"] & _EXECUTED or section["sh_type"] != "SHT_PROGBITS":
            continue
        start, stop = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        places = [(start, is_riscv), *sorted(marks.get(index, ()))]
        ends = [place for place, _ in places[1:]] + [stop]
        for (begin, is_code), end in zip(places, ends, strict=True):
            if is_code and begin < end:
                yield section, begin, end


def _marks(binary: Any, symbols: list[Any]) -> dict[int, list[tuple[int, bool]]]:
    """By section where code begins (True), and something else (False).

    Arm's may have a dot and more behind the letter, those of a RISC-V the code's extensions.
    """
    code = "x" if binary["e_machine"] == "EM_RISCV" else "t"
    found: dict[int, list[tuple[int, bool]]] = {}
    for symbol in symbols:
        kind, rest = symbol.name[1:2], symbol.name[2:]
        if symbol.name[:1] == "$" and kind in "adtx" and (rest[:1] in ("", ".") or kind == "x"):
            found.setdefault(symbol["st_shndx"], []).append((symbol["st_value"], kind == code))
    return found


def _t32_instructions(code: bytes) -> Iterator[tuple[int, str, str]]:
    """Offset, name, and what has it, of each instruction."""
    halves = [half for (half,) in struct.iter_unpack("<H", code[: len(code) & ~1])]
    at = 0
    while at < len(halves):
        wide = t32.is_wide(halves[at])
        second = halves[at + 1] if wide and at + 1 < len(halves) else 0
        yield at * 2, *t32.named(halves[at], second)
        at += 2 if wide else 1


def _rv32_instructions(code: bytes) -> Iterator[tuple[int, str, str]]:
    """Offset, name, and what has it, of each instruction."""
    at = 0
    while at + 2 <= len(code):
        size = rv32.length(int.from_bytes(code[at : at + 2], "little"))
        yield at, *rv32.named(int.from_bytes(code[at : at + size], "little"), size)
        at += size


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
