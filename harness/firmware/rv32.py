"""What instructions of RV32 are called, and which extension has them.

Encodings are those of the RISC-V Instruction Set Manual, volume I (2024), as far as it takes to
tell a core's instructions from another's.
"""

from __future__ import annotations

import re
from functools import lru_cache

NONE = "no RV32"
"""What has an instruction that no extension known here has."""

_CORE = re.compile(r"rv32([a-z]+)((?:_[a-z0-9]+)*)")
_ALWAYS = frozenset({"I", "Zicsr", "Zifencei", "the privileged architecture"})
"""Control registers and FENCE.I were part of I until 2019, and compilers assume them still."""
_IMPLIES = {
    "G": "IMAFD",
    "D": "F",
    "V": "FD",
    "B": ("Zba", "Zbb", "Zbs"),
    "Zk": ("Zbkb", "Zbkc", "Zbkx", "Zkn"),
    "Zkn": ("Zbkb", "Zbkc", "Zbkx"),
}


def extensions_of(core: str) -> frozenset[str] | None:
    """What a core has by a name such as rv32imac or rv32imafc_zba_zbb; None for another name."""
    named = _CORE.fullmatch(core)
    if named is None or not named[1].startswith(("i", "g")):
        return None
    has = set(_ALWAYS)
    left = [*named[1].upper(), *(one.capitalize() for one in named[2].split("_") if one)]
    while left:
        one = left.pop()
        has.add(one)
        left += [more for more in _IMPLIES.get(one, ()) if more not in has]
    has |= {f"C with {one}" for one in "FD" if {"C", one} <= has}
    return frozenset(has)


Form = tuple[int, int, str, str]
"""Mask and value of an encoding, the instruction's name, and what has it."""


def _series(mask: int, value: int, at: int, names: str, has: str) -> tuple[Form, ...]:
    """Forms that differ in a number from bit `at` on; `-` where a number is no instruction."""
    listed = enumerate(names.split())
    return tuple((mask, value | op << at, name, has) for op, name in listed if name != "-")


def _registers(funct7: int, names: str, has: str) -> tuple[Form, ...]:
    """Of three registers, by funct3."""
    return _series(0xFE00707F, 0x33 | funct7 << 25, 12, names, has)


def _unary(value: int, name: str, has: str) -> Form:
    """Of one register: the whole of its immediate is part of the encoding."""
    return (0xFFF0707F, value, name, has)


def _atomic(funct5: int, name: str) -> Form:
    return (0xF800707F, 0x202F | funct5 << 27, name, "A")


_FLOAT_OPS = (
    *((0x00, "fadd"), (0x01, "fsub"), (0x02, "fmul"), (0x03, "fdiv"), (0x04, "fsgnj")),
    *((0x05, "fmin/fmax"), (0x08, "fcvt"), (0x0B, "fsqrt"), (0x14, "fcmp"), (0x18, "fcvt.w")),
    *((0x1A, "fcvt"), (0x1C, "fmv.x/fclass"), (0x1E, "fmv")),
)
_FORMATS = ((0, "s", "F"), (1, "d", "D"), (2, "h", "Zfh"), (3, "q", "Q"))
_WIDTHS = ((1, "h", "Zfh"), (2, "w", "F"), (3, "d", "D"), (4, "q", "Q"))
_FUSED = ((0x43, "fmadd"), (0x47, "fmsub"), (0x4B, "fnmsub"), (0x4F, "fnmadd"))

# Quadrants 0 to 2. The first that fits counts.
_NARROW: tuple[Form, ...] = (
    (0xFFFF, 0x0000, "unimp", "I"),  # Linkers fill with it.
    (0xFC03, 0x8000, "c.lbu", "Zcb"),
    (0xFC43, 0x8400, "c.lhu", "Zcb"),
    (0xFC43, 0x8440, "c.lh", "Zcb"),
    (0xFC03, 0x8800, "c.sb", "Zcb"),
    (0xFC43, 0x8C00, "c.sh", "Zcb"),
    (0xE003, 0x8000, "a reserved encoding", NONE),
    *((0xE003, op, name, "C with D") for op, name in ((0x2000, "c.fld"), (0xA000, "c.fsd"))),
    *((0xE003, op, name, "C with F") for op, name in ((0x6000, "c.flw"), (0xE000, "c.fsw"))),
    *((0xE003, op, name, "C with D") for op, name in ((0x2002, "c.fldsp"), (0xA002, "c.fsdsp"))),
    *((0xE003, op, name, "C with F") for op, name in ((0x6002, "c.flwsp"), (0xE002, "c.fswsp"))),
    (0xFC63, 0x9C41, "c.mul", "Zcb"),
    (0xFC63, 0x9C61, "c.zext/c.sext/c.not", "Zcb"),
    (0xFC43, 0x9C01, "c.subw/c.addw", "RV64"),
    (0x0000, 0x0000, "", "C"),
)

_WIDE: tuple[Form, ...] = (
    (0x7F, 0x37, "lui", "I"),
    (0x7F, 0x17, "auipc", "I"),
    (0x7F, 0x6F, "jal", "I"),
    (0x707F, 0x67, "jalr", "I"),
    *_series(0x707F, 0x63, 12, "beq bne - - blt bge bltu bgeu", "I"),
    *_series(0x707F, 0x03, 12, "lb lh lw - lbu lhu", "I"),
    *_series(0x707F, 0x23, 12, "sb sh sw", "I"),
    *_series(0x707F, 0x03, 12, "- - - ld - - lwu", "RV64"),
    *_series(0x707F, 0x23, 12, "- - - sd", "RV64"),
    *_series(0x707F, 0x13, 12, "addi - slti sltiu xori - ori andi", "I"),
    (0xFE00707F, 0x00001013, "slli", "I"),
    (0xFE00707F, 0x00005013, "srli", "I"),
    (0xFE00707F, 0x40005013, "srai", "I"),
    _unary(0x60001013, "clz", "Zbb"),
    _unary(0x60101013, "ctz", "Zbb"),
    _unary(0x60201013, "cpop", "Zbb"),
    _unary(0x60401013, "sext.b", "Zbb"),
    _unary(0x60501013, "sext.h", "Zbb"),
    _unary(0x28705013, "orc.b", "Zbb"),
    _unary(0x69805013, "rev8", "Zbb"),
    _unary(0x68705013, "brev8", "Zbkb"),
    _unary(0x08F01013, "zip", "Zbkb"),
    _unary(0x08F05013, "unzip", "Zbkb"),
    (0xFE00707F, 0x60005013, "rori", "Zbb"),
    (0xFE00707F, 0x28001013, "bseti", "Zbs"),
    (0xFE00707F, 0x48001013, "bclri", "Zbs"),
    (0xFE00707F, 0x68001013, "binvi", "Zbs"),
    (0xFE00707F, 0x48005013, "bexti", "Zbs"),
    (0xFF00707F, 0x10001013, "sha256/sm3", "Zkn"),
    (0xFE00707F, 0x30001013, "aes64", "RV64"),
    *_registers(0x00, "add sll slt sltu xor srl or and", "I"),
    *_registers(0x20, "sub - - - - sra", "I"),
    *_registers(0x01, "mul mulh mulhsu mulhu div divu rem remu", "M"),
    *_registers(0x20, "- - - - xnor - orn andn", "Zbb"),
    *_registers(0x30, "- rol - - - ror", "Zbb"),
    *_registers(0x05, "- - - - min minu max maxu", "Zbb"),
    _unary(0x08004033, "zext.h", "Zbb"),
    *_registers(0x04, "- - - - pack - - packh", "Zbkb"),
    *_registers(0x10, "- - sh1add - sh2add - sh3add", "Zba"),
    *_registers(0x14, "- bset", "Zbs"),
    *_registers(0x14, "- - xperm4 - xperm8", "Zbkx"),
    *_registers(0x24, "- bclr - - - bext", "Zbs"),
    *_registers(0x34, "- binv", "Zbs"),
    *_registers(0x05, "- clmul clmulr clmulh", "Zbc"),
    *_registers(0x07, "- - - - - czero.eqz - czero.nez", "Zicond"),
    (0x707F, 0x33, "a cryptography instruction", "Zkn"),
    (0x5F, 0x1B, "an instruction of 64 bits", "RV64"),
    (0xF9F0707F, 0x1000202F, "lr.w", "A"),
    _atomic(0x03, "sc.w"),
    *map(_atomic, (1, 0, 4, 12, 8), ("amoswap.w", "amoadd.w", "amoxor.w", "amoand.w", "amoor.w")),
    *map(_atomic, (16, 20, 24, 28), ("amomin.w", "amomax.w", "amominu.w", "amomaxu.w")),
    _atomic(0x05, "amocas.w")[:3] + ("Zacas",),
    (0x707F, 0x302F, "an atomic instruction of 64 bits", "RV64"),
    (0x707F, 0x0F, "fence", "I"),
    (0x707F, 0x100F, "fence.i", "Zifencei"),
    (0xFFF0707F, 0x0040200F, "cbo.zero", "Zicboz"),
    (0x707F, 0x200F, "cbo", "Zicbom"),
    (0xFFFFFFFF, 0x00000073, "ecall", "I"),
    (0xFFFFFFFF, 0x00100073, "ebreak", "I"),
    (0xFFFFFFFF, 0x30200073, "mret", "the privileged architecture"),
    (0xFFFFFFFF, 0x10500073, "wfi", "the privileged architecture"),
    (0xFFFFFFFF, 0x10200073, "sret", "S"),
    (0xFE007FFF, 0x12000073, "sfence.vma", "S"),
    (0x707F, 0x4073, "a hypervisor's instruction", "H"),
    *_series(0x707F, 0x73, 12, "- csrrw csrrs csrrc - csrrwi csrrsi csrrci", "Zicsr"),
    *((0x707F, 0x07 | width << 12, f"fl{letter}", has) for width, letter, has in _WIDTHS),
    *((0x707F, 0x27 | width << 12, f"fs{letter}", has) for width, letter, has in _WIDTHS),
    (0xFFF0007F, 0x40100053, "fcvt.s.d", "D"),
    (0xFFF0007F, 0x40200053, "fcvt.s.h", "Zfh"),
    *(
        (0x0600007F, opcode | number << 25, f"{name}.{letter}", has)
        for opcode, name in _FUSED
        for number, letter, has in _FORMATS
    ),
    *(
        (0xFE00007F, 0x53 | op << 27 | number << 25, f"{name}.{letter}", has)
        for op, name in _FLOAT_OPS
        for number, letter, has in _FORMATS
    ),
    (0x707F, 0x7057, "vsetvl", "V"),
    (0x7F, 0x57, "a vector instruction", "V"),
    (0x7F, 0x07, "a vector load", "V"),
    (0x7F, 0x27, "a vector store", "V"),
    (0x7F, 0x77, "a packed or vector-cryptography instruction", "P"),
    *((0x7F, op, "a vendor's instruction", "a vendor's extension") for op in (11, 43, 91, 123)),
)
_BY_OPCODE = tuple(
    tuple(form for form in _WIDE if opcode & form[0] == form[1] & 0x7F) for opcode in range(0x80)
)


def length(first: int) -> int:
    """Bytes of an instruction that begins with this halfword."""
    if first & 3 != 3:
        return 2
    if first & 0x1F != 0x1F:
        return 4
    return 6 if first & 0x3F == 0x1F else 8


@lru_cache(maxsize=1 << 14)
def named(code: int, size: int) -> tuple[str, str]:
    """An instruction's name, and what has it.

    Args:
        code: the instruction's bytes as a little-endian number.
        size: as `length` says.

    Returns:
        Its encoding and `NONE` where no extension known here has it; an empty name for those of C.
    """
    other = (f"0x{code:0{2 * size}x}", NONE)
    if size > 4:
        return other
    forms = _NARROW if size == 2 else _BY_OPCODE[code & 0x7F]
    return next(((name, has) for mask, value, name, has in forms if code & mask == value), other)
