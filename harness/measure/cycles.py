"""An estimate of cycles on silicon, from the instructions that an emulator counted.

It is no measurement. Each executed instruction costs what the table of a core says
(measure/cores.py), with a few rules for neighbours; flash, caches and buses are one parameter.
docs/profile.md has the rules, and how far off published figures the estimate was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.measure.cores import (
    ACCUMULATE,
    BRANCH,
    CALL,
    DATA,
    FLOAT,
    IT,
    JUMP,
    LOAD,
    LONG_MULTIPLY,
    MULTIPLE,
    MULTIPLY,
    STORE,
    TABLE,
    Core,
    class_of,
)
from harness.measure.counts import Executed

MOST_WAIT_STATES = 16
_FETCHED = 4
"""Bytes that a core fetches at once."""
_REGISTER = re.compile(r"\b(?:r1[0-5]|r[0-9]|s[bl]|fp|ip|sp|lr|pc|[sd][0-9]{1,2})\b")
_RANGE = re.compile(r"\b([rsd])(\d+)\s*-\s*\1(\d+)")
_TARGET = re.compile(r"#(0x[0-9a-f]+)$")
_COMPARE = ("cmp", "cmn", "tst", "teq")
_ONE_SOURCE = ("mov", "mvn", "sxt", "uxt", "rev", "clz", "rbit", "neg")
_COMPUTE = (DATA, MULTIPLY, ACCUMULATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleEstimate:
    """Cycles that an invoke would take on a core; an estimate, by what instructions cost like.

    `instructions` are counted, `cycles` estimated; `waiting` are more, for flash of `wait_states`.
    """

    core: Core
    wait_states: int
    instructions: Mapping[str, int]
    cycles: Mapping[str, float]
    waiting: int

    @property
    def total(self) -> float:
        """Of the whole invoke."""
        return sum(self.cycles.values()) + self.waiting

    @property
    def total_instructions(self) -> int:
        """As counted."""
        return sum(self.instructions.values())

    def by_class(self) -> Iterator[tuple[str, int, float]]:
        """Class, instructions and cycles, the costliest first."""
        for cost in sorted(self.cycles, key=lambda cost: -self.cycles[cost]):
            yield cost, self.instructions[cost], self.cycles[cost]


def estimate_cycles(code: Sequence[Executed], core: Core, *, wait_states: int = 0) -> CycleEstimate:
    """Cost of what was executed.

    Args:
        code: every instruction of an invoke, in the order of addresses.
        wait_states: of the flash, as far as nothing hides them: each change of direction and each
            load of a literal waits so long. 0 for code in RAM or a cache.
    """
    instructions: Counter[str] = Counter()
    cycles: dict[str, float] = {}
    sizes = {item.address: item.size for item in code}
    waits = 0
    before: Executed | None = None
    paired = False
    for item in code:
        if before is not None and before.address + before.size != item.address:
            before, paired = None, False
        cost = class_of(item.mnemonic)
        each = _cost(item, before, core)
        paired = core.dual_issue and not paired and _share_a_cycle(before, item)
        each -= min(1.0, each) if paired else 0.0
        elsewhere = item.taken * _leaving(item, sizes, core)
        instructions[cost] += item.count
        cycles[cost] = cycles.get(cost, 0.0) + item.count * each + elsewhere
        waits += item.taken + (item.count if "[pc" in item.operands else 0)
        before = item
    return CycleEstimate(
        core=core,
        wait_states=wait_states,
        instructions=instructions,
        cycles=cycles,
        waiting=wait_states * waits,
    )


def _cost(item: Executed, before: Executed | None, core: Core) -> float:
    """Cycles of one execution, without those of going elsewhere."""
    cost, stall = class_of(item.mnemonic), _stall(item, before, core)
    if cost == LOAD:
        return stall + (core.pipelined if _is_behind_load(item, before) else core.load)
    if cost == STORE:
        slow = item.mnemonic.startswith("v") or _offset_in_register(item)
        alone = slow and not _is_behind_load(item, before)
        return stall + (core.store_register if alone else core.store)
    if cost == MULTIPLE:
        return stall + 1 + core.several * _words(item.operands)
    if cost == IT and before is not None and before.size == 2:
        return core.folded_it
    return stall + core.costs[cost]


def _leaving(item: Executed, sizes: Mapping[int, int], core: Core) -> float:
    """More cycles for going elsewhere than to the instruction behind."""
    cost = class_of(item.mnemonic)
    if cost == TABLE:
        return 0.0  # It always does, and its cost is with it.
    if cost in (BRANCH, CALL) and (found := _TARGET.search(item.operands)):
        target = int(found[1], 16)
        across = sizes.get(target) == _FETCHED and target % _FETCHED != 0
        return (core.call if cost == CALL else core.taken) - 1 + core.misaligned * across
    return core.load_pc if cost in (LOAD, MULTIPLE) else core.jump - 1


def _is_behind_load(item: Executed, before: Executed | None) -> bool:
    """Whether it follows a load, whose result its address does not need."""
    if before is None or class_of(before.mnemonic) != LOAD:
        return False
    return not _written(before) & _addressing(item)


def _stall(item: Executed, before: Executed | None, core: Core) -> float:
    if before is None:
        return 0.0
    written = _written(before)
    if class_of(before.mnemonic) == LOAD and written & _read(item):
        return core.use_stall
    addresses = class_of(item.mnemonic) in (LOAD, STORE, MULTIPLE)
    if addresses and class_of(before.mnemonic) in _COMPUTE and written & _addressing(item):
        return core.address_stall
    return 0.0


def _share_a_cycle(before: Executed | None, item: Executed) -> bool:
    """Whether two neighbours are issued together: not of one unit, and neither needs the other."""
    if before is None:
        return False
    units = [_unit(class_of(each.mnemonic)) for each in (before, item)]
    if None in units or (units[0] == units[1] != DATA):
        return False
    return not _written(before) & (_read(item) | _written(item))


def _unit(cost: str) -> str | None:
    """What two instructions that share a cycle may not both need; None where it is issued alone."""
    units = {
        **dict.fromkeys((LOAD, STORE), "memory"),
        **dict.fromkeys((MULTIPLY, ACCUMULATE, LONG_MULTIPLY), "multiplier"),
        **dict.fromkeys((BRANCH, CALL, JUMP), "branch"),
        **{DATA: DATA, IT: IT, FLOAT: FLOAT},
    }
    return units.get(cost)


def _registers(text: str) -> set[str]:
    return set(_REGISTER.findall(text))


def _addressing(item: Executed) -> set[str]:
    """Registers of the address."""
    operands = item.operands
    if "[" in operands:
        return _registers(operands[operands.find("[") :])
    return {"sp"} if item.mnemonic.lstrip("v")[:3] in ("pus", "pop") else _first(operands)


def _first(operands: str) -> set[str]:
    return set(_REGISTER.findall(operands)[:1])


def _offset_in_register(item: Executed) -> bool:
    """`[r1, r2]`"""
    inside = item.operands.partition("[")[2].partition("]")[0]
    return len(_registers(inside)) > 1


def _written(item: Executed) -> set[str]:
    """Registers that a later instruction may have to wait for."""
    cost = class_of(item.mnemonic)
    names = _REGISTER.findall(item.operands)
    if cost in (STORE, BRANCH, CALL, JUMP, TABLE, IT) or _compares(item):
        return set()
    if cost == MULTIPLE:
        return set(names)
    return set(names[: 2 if cost == LONG_MULTIPLY else 1])


def _read(item: Executed) -> set[str]:
    """Registers that it needs."""
    cost = class_of(item.mnemonic)
    names = _REGISTER.findall(item.operands)
    if cost in (STORE, MULTIPLE, BRANCH, JUMP, LONG_MULTIPLY) or _compares(item):
        return set(names)
    both = cost == DATA and len(names) == 2 and not item.mnemonic.startswith(_ONE_SOURCE)
    alone = len(names) == 1 and not item.mnemonic.startswith(_ONE_SOURCE)
    return set(names if (both and "#" not in item.operands) or alone else names[1:])


def _compares(item: Executed) -> bool:
    return item.mnemonic.partition(".")[0] in _COMPARE


def _words(operands: str) -> int:
    """How many words a load or store of several moves."""
    inside = operands.partition("{")[2].partition("}")[0]
    if not inside:
        return 2  # LDRD and STRD.
    between = sum(int(last) - int(first) - 1 for _, first, last in _RANGE.findall(inside))
    wide = 2 if inside.lstrip().startswith("d") else 1
    return wide * (len(_REGISTER.findall(inside)) + between)
