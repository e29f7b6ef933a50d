"""Functions named f0, f1 ... in an ELF file: which of them an address lies in."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable

from elftools.elf.elffile import ELFFile


def numbers_at(binary: ELFFile, addresses: Iterable[int]) -> set[int]:
    """Numbers of the functions that the addresses lie in."""
    symbols = binary.get_section_by_name(".symtab").iter_symbols()
    starts = sorted(
        (symbol["st_value"] & ~1, int(symbol.name[1:]))  # bit 0 marks Thumb code
        for symbol in symbols
        if re.fullmatch(r"f\d+", symbol.name)
    )
    return {starts[bisect_right(starts, (address, math.inf)) - 1][1] for address in addresses}
