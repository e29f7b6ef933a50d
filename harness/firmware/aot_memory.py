"""Where the tensors between the parts of an `aot` model lie in its arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.firmware.aot_pass import Part, Prepared

ALIGNMENT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """C expressions of the places of tensors, their sizes, and what those in the arena take."""

    of: Mapping[int, str]
    sizes: Mapping[int, int]
    shared_bytes: int


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def lifetimes(parts: Sequence[Part], ends: set[int]) -> dict[int, tuple[int, int]]:
    """First and last part that needs each tensor between parts; `ends` are left out."""
    lives: dict[int, tuple[int, int]] = {}
    for position, part in enumerate(parts):
        for index in (*part.inputs, *part.outputs):
            if index not in ends:
                lives[index] = (lives.get(index, (position, 0))[0], position)
    return lives


def place_tensors(prepared: Prepared) -> Places:
    """Tensors that are never needed at the same time share memory; inputs and outputs have theirs.

    The largest tensors are placed first, each at the lowest free address.
    """
    graph = prepared.graph
    places: dict[int, str] = {}
    for name, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        offset = 0
        for index in tensors:
            places.setdefault(index, f"({name} + {offset})")
            offset += graph.tensors[index].size_bytes
    lives = lifetimes(prepared.parts, set(places))
    placed: list[tuple[int, int, int]] = []
    end = 0
    for index in sorted(lives, key=lambda item: (-graph.tensors[item].size_bytes, item)):
        size = _aligned(graph.tensors[index].size_bytes)
        beside = [
            (offset, length)
            for other, offset, length in placed
            if lives[other][0] <= lives[index][1] and lives[index][0] <= lives[other][1]
        ]
        start = 0
        for offset, length in sorted(beside):
            if start + size <= offset:
                break
            start = max(start, offset + length)
        placed.append((index, start, size))
        places[index] = f"(arena + {start})"
        end = max(end, start + size)
    sizes = {index: graph.tensors[index].size_bytes for index in places}
    return Places(of=places, sizes=sizes, shared_bytes=end)
