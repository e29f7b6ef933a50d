"""What an ELF file puts into a chip's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.sim.errors import SimulationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes at their load address."""

    address: int
    content: bytes


def load_segments(elf: Path) -> tuple[Segment, ...]:
    """What an uploader would write: all that a file has contents for, by load address.

    The vectors are where the lowest one begins.

    Raises:
        SimulationError: it is no ELF file for a 32-bit Arm.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with elf.open("rb") as file:
            binary = ELFFile(file)
            if binary["e_machine"] != "EM_ARM" or binary.elfclass != 32:
                raise SimulationError(f"{elf} is for another CPU than a 32-bit Arm")
            found = tuple(
                Segment(address=part["p_paddr"], content=part.data())
                for part in binary.iter_segments("PT_LOAD")
                if part["p_filesz"]
            )
            if not found:
                raise SimulationError(f"{elf} has nothing to load")
            return found
    except (OSError, ELFError) as error:
        raise SimulationError(f"cannot read {elf}: {error}") from error


def find_function(elf: Path, name: str) -> int | None:
    """Address of a function of a file; None if it has none of this name.

    Raises:
        SimulationError: as for `load_segments`.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with elf.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return None
            found = table.get_symbol_by_name(name) or []
            kinds = {symbol["st_value"] & ~1: symbol["st_info"]["type"] for symbol in found}
            return next((at for at, kind in kinds.items() if kind == "STT_FUNC"), None)
    except (OSError, ELFError) as error:
        raise SimulationError(f"cannot read {elf}: {error}") from error
