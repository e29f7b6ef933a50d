"""What instructions cost on the cores of microcontrollers, in cycles: documented, not measured.

docs/profile.md says where each number is from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# Classes of instructions by what they cost; what no pattern below knows is DATA.
DATA, MULTIPLY, ACCUMULATE, LONG_MULTIPLY, DIVIDE = "data", "mul", "mla", "long mul", "div"
LOAD, STORE, MULTIPLE = "load", "store", "load/store of several"
BRANCH, CALL, JUMP, TABLE, IT, SYSTEM = "branch", "call", "jump", "table branch", "it", "system"
FLOAT, FLOAT_ACCUMULATE, FLOAT_DIVIDE = "float", "float mla", "float div/sqrt"

_CONDITION = r"(?:eq|ne|[hc]s|[cl]o|cc|mi|pl|v[sc]|hi|ls|ge|lt|gt|le|al)?"
_CLASSES = (
    (IT, r"it[te]{0,3}"),
    (TABLE, r"tb[bh]"),
    (CALL, r"bl"),
    (BRANCH, rf"b{_CONDITION}|cbn?z"),
    (JUMP, rf"(?:blx|bx|blxns|bxns){_CONDITION}"),
    (FLOAT_DIVIDE, rf"v(?:div|sqrt){_CONDITION}"),
    (FLOAT_ACCUMULATE, rf"v(?:n?ml[as]|fn?m[as]){_CONDITION}"),
    (MULTIPLE, rf"v?(?:ldm|stm)(?:ia|db|fd|ea)?{_CONDITION}|v?(?:push|pop){_CONDITION}"),
    (MULTIPLE, rf"(?:ldr|str)d{_CONDITION}"),
    (LOAD, rf"v?ldr(?:s?[bh]|ex[bh]?)?t?{_CONDITION}"),
    (STORE, rf"v?str(?:[bh]|ex[bh]?)?t?{_CONDITION}"),
    (FLOAT, r"v[a-z]+"),
    (DIVIDE, rf"[su]div{_CONDITION}"),
    (LONG_MULTIPLY, rf"(?:[su]mull|[su]mlal|umaal|smlal[dbt]+x?|smlsldx?)s?{_CONDITION}"),
    (ACCUMULATE, rf"ml[as]{_CONDITION}"),
    (MULTIPLY, rf"muls?{_CONDITION}|sm(?:ul|la|mul|mla|mls|ua|us|ls)[a-z]*"),
    (SYSTEM, r"dmb|dsb|isb|mrs|msr|cps[a-z]*|wfi|wfe|svc|bkpt"),
)
_PATTERNS = tuple((cost, re.compile(pattern)) for cost, pattern in _CLASSES)


@lru_cache(maxsize=4096)
def class_of(mnemonic: str) -> str:
    """What an instruction costs like; suffixes such as `.w` and `.f32` do not matter."""
    name = mnemonic.partition(".")[0]
    return next((cost for cost, pattern in _PATTERNS if pattern.fullmatch(name)), DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What instructions cost on one core, in cycles; `source` says whose numbers these are.

    `pipelined` is a load or store right behind a load whose result is not in its address, and
    `store_register` a store with an offset in a register. Several words cost `several` and one
    each. Going elsewhere costs `taken` for a branch to a known address, `call` for BL, `jump` to an
    address in a register, each with the instruction itself, and `load_pc` besides a load that does
    it; `misaligned` more where a 32-bit instruction lies across two words there. `address_stall` is
    for an address that the instruction before computed, `use_stall` for data that it loaded. An IT
    behind a 16-bit instruction costs `folded_it`. With `dual_issue` two neighbours may share a
    cycle. `instructions` is its instruction set, the first letters of which are those it extends.
    """

    name: str
    source: str
    instructions: str
    costs: Mapping[str, float]
    load: float = 2
    pipelined: float = 1
    store: float = 1
    store_register: float = 2
    several: float = 1
    taken: float = 2
    call: float = 2
    jump: float = 3
    load_pc: float = 3
    misaligned: float = 0
    address_stall: float = 0
    use_stall: float = 0
    folded_it: float = 0
    dual_issue: bool = False

    def runs_code_of(self, other: Core) -> bool:
        """Whether it has every instruction that the other has."""
        return self.instructions.startswith(other.instructions)


_USUAL = {
    **dict.fromkeys((DATA, MULTIPLY, ACCUMULATE, LONG_MULTIPLY, IT, FLOAT, BRANCH, CALL, JUMP), 1),
    **{DIVIDE: 7, SYSTEM: 2, TABLE: 6, FLOAT_ACCUMULATE: 3, FLOAT_DIVIDE: 14},
}

_ALL = (
    Core(
        name="Cortex-M0+",
        instructions="6",
        source="Arm DDI 0484C, table 3-1, with the multiplier of one cycle",
        costs={**_USUAL, SYSTEM: 3},
        pipelined=2,
        store=2,
        call=3,
        jump=2,
        load_pc=2,
    ),
    Core(
        name="Cortex-M3",
        instructions="67",
        source="Arm DDI 0337I, section 3.3",
        costs={**_USUAL, ACCUMULATE: 2, LONG_MULTIPLY: 4},
        misaligned=1,
        address_stall=1,
    ),
    Core(
        name="Cortex-M4",
        instructions="67E",
        source="Arm DDI 0439B, sections 3.3 and 7.2",
        costs=_USUAL,
        misaligned=1,
        address_stall=1,
    ),
    Core(
        name="Cortex-M7",
        instructions="67E+",
        source="assumed: Arm publishes no table; caches that always hit, branches foreseen",
        costs={**_USUAL, FLOAT_ACCUMULATE: 1, TABLE: 3},
        load=1,
        store_register=1,
        several=0.5,
        taken=1,
        call=1,
        jump=2,
        load_pc=2,
        use_stall=1,
        dual_issue=True,
    ),
    Core(
        name="Cortex-M33",
        instructions="67E8",
        source="assumed: Arm publishes no table; as the Cortex-M4, but loads of 1 cycle, 1 to use",
        costs=_USUAL,
        load=1,
        store_register=1,
        misaligned=1,
        use_stall=1,
    ),
)
CORES = {core.name: core for core in _ALL}
"""The cores by name."""


def core_of(text: str) -> Core | None:
    """The core that a text names, such as `STM32F446RE (Cortex-M4F)`; None if no table has it."""
    found = re.search(r"Cortex-M(?:0\+|33|[347])(?![0-9])", text)
    return CORES.get(found[0]) if found else None
