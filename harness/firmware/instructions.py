"""Whether an ELF file for a Cortex-M holds instructions that no Cortex-M can execute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import AlienCode, Where

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
    table = binary.get_section_by_name(".symtab")
    symbols = list(table.iter_symbols()) if table is not None else []
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
