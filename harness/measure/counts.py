"""The instructions of one invoke as an emulator counted them: by address, and by path of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_BYTES = 1 << 26
"""Of what is read for one invoke; a line takes about 60."""


class CountsError(ValueError):
    """What was counted cannot be read, or is not all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """An instruction that was executed.

    `opcode` of `size` 2 or 4 bytes is as the manuals have it: of 4 bytes Arm's first halfword is
    the upper half, RISC-V's the lower one. `text` is QEMU's disassembly of it alone (an instruction
    in an IT block lacks its condition there), unless something replaced it. `count` is how
    often it was executed, as QEMU counts: also where its condition did not hold. `taken` is how
    often another address than the next one followed: of a branch, how often it was taken.
    """

    address: int
    size: int
    opcode: int
    text: str
    count: int
    taken: int

    @property
    def mnemonic(self) -> str:
        """`ldr`, `ldrb.w`, `vmla.f32`, `smlad`: without operands."""
        return self.text.partition(" ")[0]

    @property
    def operands(self) -> str:
        """`r0, [r1, #4]`"""
        return self.text.partition(" ")[2].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPath:
    """A function as called along one path: `instructions` of its own there, in `calls` calls.

    `parent` is the index of the path that called it, or jumped to it as a tail call; None for the
    first one, which is the invoke. `function` is an index of the functions that were looked for,
    None where none of them was.
    """

    parent: int | None
    function: int | None
    calls: int
    instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeCounts:
    """One invoke, from the first instruction of the runtime's Invoke to its return.

    `number` counts the invokes since the board was started, from 0. Parents come before children in
    `paths`. Both `code` and `paths` add up to `instructions`.
    """

    number: int
    instructions: int
    code: tuple[Executed, ...]
    paths: tuple[CallPath, ...]

    def by_mnemonic(self) -> Counter[str]:
        """How many instructions of each mnemonic were executed."""
        found: Counter[str] = Counter()
        for instruction in self.code:
            found[instruction.mnemonic] += instruction.count
        return found


def parse_counts(raw: bytes) -> InvokeCounts:
    """The invoke that `rig/counting.c` wrote last.

    Raises:
        CountsError: it is damaged, its parts do not add up, or there was no room for all of it.
    """
    lines = raw.decode("ascii", "replace").split("\n")
    try:
        counts = _parsed(lines)
    except (ValueError, IndexError) as error:
        if isinstance(error, CountsError):
            raise
        raise CountsError(f"the counts cannot be read: {error}") from error
    for what, parts in (("addresses", counts.code), ("paths of calls", counts.paths)):
        total = sum(_counts(parts))
        if total != counts.instructions:
            raise CountsError(
                f"the counts by {what} add up to {total}, the invoke is {counts.instructions}"
            )
    return counts


def _counts(parts: Iterable[Executed | CallPath]) -> Iterator[int]:
    for part in parts:
        yield part.count if isinstance(part, Executed) else part.instructions


def _parsed(lines: list[str]) -> InvokeCounts:
    head = lines[0].split(" ", 3)
    if head[0] != "invoke" or "end" not in lines[-2:]:
        raise CountsError("the counts are not whole")
    if head[3] != "complete":
        raise CountsError(f"there are more {head[3]} than can be counted")
    code: list[Executed] = []
    paths: list[CallPath] = []
    for line in lines[1:]:
        if line.startswith("at "):
            code.append(_executed(line))
        elif line.startswith("path "):
            paths.append(_path(line, len(paths)))
    return InvokeCounts(
        number=int(head[1]),
        instructions=int(head[2]),
        code=tuple(sorted(code, key=lambda item: item.address)),
        paths=tuple(paths),
    )


def _executed(line: str) -> Executed:
    _, address, opcode, count, taken, text = line.split(" ", 5)
    return Executed(
        address=int(address, 16),
        size=len(opcode) // 2,
        opcode=int(opcode, 16),
        text=" ".join(text.split()),
        count=int(count),
        taken=int(taken),
    )


def _path(line: str, index: int) -> CallPath:
    parent, function, calls, instructions = (int(word) for word in line.split()[1:])
    if parent >= index or (parent < 0) != (index == 0):
        raise CountsError(f"path {index} cannot be called by path {parent}")
    return CallPath(
        parent=None if parent < 0 else parent,
        function=None if function < 0 else function,
        calls=calls,
        instructions=instructions,
    )
