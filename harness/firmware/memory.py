"""How many bytes of flash and RAM each owner takes, from a firmware's sections and symbols."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.firmware.owners import owner_of
from harness.measure.tables import HARNESS, KERNELS, MODEL, OWNERS, REST, RUNTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the firmware that takes memory; variables with initial values lie in both."""

    name: str
    address: int
    size_bytes: int
    in_flash: bool
    in_ram: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A function or variable: mangled name, address and size; `file` is a local symbol's source."""

    name: str
    address: int
    size_bytes: int
    file: str = ""
    is_function: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A word at `address` that holds the address `target`."""

    address: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of one owner in one section, or in all sections that `folded` gives one name."""

    section: str
    owner: str
    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryByOwner:
    """Flash and RAM of a firmware by owner; they add up to all of both."""

    flash_model_bytes: int
    flash_runtime_bytes: int
    flash_kernels_bytes: int
    flash_harness_bytes: int
    flash_rest_bytes: int
    ram_model_bytes: int
    ram_runtime_bytes: int
    ram_kernels_bytes: int
    ram_harness_bytes: int
    ram_rest_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    start: int
    end: int
    owner: str


def flash_bytes(sections: Iterable[Section]) -> int:
    """Code, constants and the initial values of variables."""
    return sum(section.size_bytes for section in sections if section.in_flash)


def ram_bytes(sections: Iterable[Section]) -> int:
    """Variables, what the linker script reserves for the stack, and code that runs from RAM."""
    return sum(section.size_bytes for section in sections if section.in_ram)


_SPLIT = (".text.", ".rodata.", ".data.", ".bss.")


def folded(section: str) -> str:
    """Section name without the function or variable: `.rodata` for `.rodata.kTable`."""
    return next((prefix[:-1] for prefix in _SPLIT if section.startswith(prefix)), section)


def footprint(
    sections: Iterable[Section], symbols: Iterable[Symbol], pointers: Iterable[Pointer] = ()
) -> tuple[Part, ...]:
    """Bytes by section and owner, in the order of the sections and of OWNERS; empty ones left out.

    Every byte of a section counts once. Where symbols overlap, the longest counts; of equally long
    ones the one whose owner comes first in OWNERS. Bytes without a symbol, such as string
    constants, belong to the owner of the first pointer to them, and without one to `rest`. Symbols
    count as far as they lie inside a section.
    """
    sections = tuple(sections)
    owned = sorted(
        (
            _Span(
                start=symbol.address,
                end=symbol.address + symbol.size_bytes,
                owner=owner_of(symbol.name, file=symbol.file, is_function=symbol.is_function),
            )
            for symbol in symbols
            if symbol.size_bytes > 0
        ),
        key=lambda span: (span.start, -span.end, OWNERS.index(span.owner)),
    )
    spans = _without_overlaps(owned)
    targets = _targets(spans, pointers)
    taken: dict[tuple[str, str], list[int]] = {}
    for section in sections:
        for owner, size in _by_owner(section, spans, targets).items():
            sums = taken.setdefault((folded(section.name), owner), [0, 0])
            sums[0] += size * section.in_flash
            sums[1] += size * section.in_ram
    order = list(dict.fromkeys(folded(section.name) for section in sections))
    return tuple(
        Part(
            section=name,
            owner=owner,
            flash_bytes=taken[name, owner][0],
            ram_bytes=taken[name, owner][1],
        )
        for name in order
        for owner in OWNERS
        if (name, owner) in taken
    )


def summed(parts: Iterable[Part]) -> MemoryByOwner:
    """Sums over all sections."""
    flash, ram = dict.fromkeys(OWNERS, 0), dict.fromkeys(OWNERS, 0)
    for part in parts:
        flash[part.owner] += part.flash_bytes
        ram[part.owner] += part.ram_bytes
    return MemoryByOwner(
        flash_model_bytes=flash[MODEL],
        flash_runtime_bytes=flash[RUNTIME],
        flash_kernels_bytes=flash[KERNELS],
        flash_harness_bytes=flash[HARNESS],
        flash_rest_bytes=flash[REST],
        ram_model_bytes=ram[MODEL],
        ram_runtime_bytes=ram[RUNTIME],
        ram_kernels_bytes=ram[KERNELS],
        ram_harness_bytes=ram[HARNESS],
        ram_rest_bytes=ram[REST],
    )


SECTION_WIDTH = 16
"""Longer names lose their middle, so that the table fits 80 columns."""


def memory_table_rows(parts: Sequence[Part]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of a table: bytes by section and owner, then sums of flash and RAM."""
    lines: list[tuple[str, ...]] = []
    for section in dict.fromkeys(part.section for part in parts):
        within = [part for part in parts if part.section == section]
        flash = any(part.flash_bytes for part in within)
        ram = any(part.ram_bytes for part in within)
        place = "both" if flash and ram else "flash" if flash else "RAM"
        sizes = {part.owner: part.flash_bytes or part.ram_bytes for part in within}
        lines.append(_line(_shortened(section), place, sizes))
    for place in ("flash", "RAM"):
        sums = dict.fromkeys(OWNERS, 0)
        for part in parts:
            sums[part.owner] += part.flash_bytes if place == "flash" else part.ram_bytes
        lines.append(_line("in all", place, sums))
    return ("section", "in", *OWNERS, "sum"), lines


def _line(name: str, place: str, sizes: dict[str, int]) -> tuple[str, ...]:
    by_owner = (str(sizes[owner]) if sizes.get(owner) else "" for owner in OWNERS)
    return (name, place, *by_owner, str(sum(sizes.values())))


def _shortened(name: str) -> str:
    half = SECTION_WIDTH // 2
    return name if len(name) <= SECTION_WIDTH else f"{name[: half - 1]}~{name[-half:]}"


def _without_overlaps(spans: Sequence[_Span]) -> list[_Span]:
    """Cuts sorted spans so that they cover the same bytes, each once."""
    clear: list[_Span] = []
    reached = 0
    for span in spans:
        start = max(span.start, reached)
        if start < span.end:
            clear.append(_Span(start=start, end=span.end, owner=span.owner))
            reached = span.end
    return clear


def _targets(spans: Sequence[_Span], pointers: Iterable[Pointer]) -> list[tuple[int, str]]:
    """Addresses that pointers refer to, sorted, each with the owner of the first such pointer.

    The model's words are ignored: weights can look like addresses.
    """
    starts = [span.start for span in spans]
    found: dict[int, str] = {}
    for pointer in sorted(pointers, key=lambda pointer: pointer.address):
        index = bisect_right(starts, pointer.address) - 1
        if index >= 0 and pointer.address < spans[index].end:
            owner = spans[index].owner
            if owner != MODEL:
                found.setdefault(pointer.target, owner)
    return sorted(found.items())


def _by_owner(
    section: Section, spans: Sequence[_Span], targets: Sequence[tuple[int, str]]
) -> dict[str, int]:
    sizes: dict[str, int] = {}
    end = section.address + section.size_bytes

    def add(owner: str, size: int) -> None:
        if size > 0:
            sizes[owner] = sizes.get(owner, 0) + size

    at = section.address
    first = max(bisect_right(spans, at, key=lambda span: span.start) - 1, 0)
    for span in spans[first:]:
        if span.start >= end:
            break
        if span.end <= at:
            continue
        start, stop = max(span.start, at), min(span.end, end)
        for owner, size in _gap(at, start, targets):
            add(owner, size)
        add(span.owner, stop - start)
        at = stop
    for owner, size in _gap(at, end, targets):
        add(owner, size)
    return sizes


def _gap(start: int, end: int, targets: Sequence[tuple[int, str]]) -> Iterable[tuple[str, int]]:
    """Owners and sizes of the pieces of [start, end), in which no symbol lies."""
    owner = REST
    for target, whose in targets[bisect_left(targets, (start, "")) :]:
        if target >= end:
            break
        yield owner, target - start
        start, owner = target, whose
    yield owner, end - start
