"""The functions of an ELF file, and the handlers of exceptions: what to count instructions by."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.firmware.elf import EXECUTED, FILE, FUNCTION, allocated, opened_elf, symbol_table

MOST_NAME = 500
"""Letters of a symbol's name that are kept."""

MOST_FUNCTIONS = 1 << 16
_MOST_VECTORS = 256
_GLOBAL = 1
_RESERVED_INDEX = 0xFF00
_MRET = bytes.fromhex("73002030")


_Candidate = tuple[tuple[bool, int, int], str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRange:
    """A function's code, from `address` up to `end`; `name` as in the ELF file, mangled.

    `file` is the source file of a local symbol, empty for a global one.
    """

    name: str
    file: str
    address: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMap:
    """The functions of a firmware in the order of their addresses; none overlaps another.

    `handlers` are where exceptions begin: of a Cortex-M the addresses in the vector table, without
    that of reset; of a RISC-V the jumps to functions that return by MRET, else these functions.
    """

    functions: tuple[CodeRange, ...]
    handlers: tuple[int, ...]

    def address_of(self, name: str) -> int | None:
        """Where a function begins; None if there is none of this name."""
        return next((code.address for code in self.functions if code.name == name), None)


def code_map(elf: Path) -> CodeMap:
    """Functions and handlers of a firmware for a Cortex-M or a RISC-V.

    Where several symbols name one address, a global one counts, and `memcpy` before
    `__aeabi_memcpy`, `__aeabi_fmul` before `__mulsf3`, then the shortest name. One
    without a size, as assemblers leave them, ends where the next begins.
    """
    with opened_elf(elf) as binary:
        sections = [
            range(section["sh_addr"], section["sh_addr"] + section["sh_size"])
            for section in allocated(binary)
            if section["sh_flags"] & EXECUTED
        ]
        found: dict[int, _Candidate] = {}
        file = ""
        for name, value, size, info, index in symbol_table(binary):
            if info & 15 == FILE:
                file = name
            if info & 15 != FUNCTION or not 0 < index < _RESERVED_INDEX:
                continue
            rank = (info >> 4 != _GLOBAL, _hidden(name), len(name))
            local = "" if info >> 4 else Path(file).name[:MOST_NAME]
            candidate = (rank, name[:MOST_NAME], size, local)
            address = value & ~1
            found[address] = min(candidate, found.get(address, candidate))
        functions = tuple(_ranges(found, sections))[:MOST_FUNCTIONS]
        find = _traps if binary["e_machine"] == "EM_RISCV" else _vectors
        return CodeMap(functions=functions, handlers=find(binary, functions))


def _hidden(name: str) -> int:
    """How little a name is for people."""
    if name.startswith("__aeabi_"):
        return 1
    return 2 if name.startswith("_") and not name.startswith("_Z") else 0


def _ranges(found: dict[int, _Candidate], sections: Iterable[range]) -> Iterable[CodeRange]:
    for code in sections:
        inside = sorted(address for address in found if address in code)
        for address, following in pairwise([*inside, code.stop]):
            _, name, size, file = found[address]
            end = min(address + size, following) if size else following
            yield CodeRange(name=name, file=file, address=address, end=end)


def _vectors(binary: Any, functions: tuple[CodeRange, ...]) -> tuple[int, ...]:
    """Of the vector table, which begins the firmware: each word is a function's address plus 1."""
    first = min(allocated(binary), key=lambda section: section["sh_addr"], default=None)
    if first is None or first["sh_type"] != "SHT_PROGBITS":
        return ()
    data = first.data()[: 4 * _MOST_VECTORS]
    begins = {code.address for code in functions}
    handlers: set[int] = set()
    for (word,) in struct.iter_unpack("<I", data[8 : len(data) // 4 * 4]):
        if word and (not word & 1 or word - 1 not in begins):
            break
        if word:
            handlers.add(word - 1)
    return tuple(sorted(handlers))


def _traps(binary: Any, functions: tuple[CodeRange, ...]) -> tuple[int, ...]:
    """Of a table of jumps, or of one function for all traps: mtvec is set by code.

    The RISC-V Instruction Set Manual, volume I, section 2.5, has the encoding of JAL.
    """
    begins = [code.address for code in functions]
    ends = {code.address: code.end for code in functions}
    handlers: set[int] = set()
    jumps: list[tuple[int, int]] = []
    for section in allocated(binary):
        if not section["sh_flags"] & EXECUTED or section["sh_type"] != "SHT_PROGBITS":
            continue
        code, start = section.data(), section["sh_addr"]
        at = code.find(_MRET)
        while at >= 0:
            index = bisect_right(begins, start + at) - 1
            if index >= 0 and start + at < ends[begins[index]]:
                handlers.add(begins[index])
            at = code.find(_MRET, at + 1)
        words = struct.iter_unpack("<I", code[: len(code) & ~3])
        jumps += [
            (start + 4 * at, word) for at, (word,) in enumerate(words) if word & 0xFFF == 0x6F
        ]
    entries = {at: at + _distance(word) for at, word in jumps if at + _distance(word) in handlers}
    entries = {at: to for at, to in entries.items() if not to <= at < ends[to]}  # Not its own.
    return tuple(sorted(handlers - {*entries.values()} | entries.keys()))


def _distance(word: int) -> int:
    """How far a JAL jumps."""
    far = word >> 20 & 0x7FE | word >> 9 & 0x800 | word & 0xFF000
    return far - (word >> 31 << 20)
