"""The kind of an instruction of a Cortex-M or a RISC-V, by its mnemonic."""

from __future__ import annotations

import re
from functools import lru_cache

LOAD, STORE, ALU, MULTIPLY, DIVIDE = "load", "store", "alu", "multiply", "divide"
BRANCH, FPU, SIMD, OTHER = "branch", "fpu", "simd", "other"

KINDS = (LOAD, STORE, ALU, MULTIPLY, DIVIDE, BRANCH, FPU, SIMD, OTHER)
"""In the order of tables. A load of the program counter is a load; `simd` are the DSP extension's
instructions on parts of a register, and Helium's but for those on floats; `fpu` is what an FPU
computes, and Helium on floats; `other` are those of the system, IT, no-operations, and atomic ones
that both load and store."""

_CONDITION = r"(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?"
_ADDING = "add|sub|asx|sax"
# In the order in which they are tried.
_PATTERNS = (
    (BRANCH, rf"(b|bl|blx|bx|bxns|blxns|cbz|cbnz|tbb|tbh|bf|bfx|bfl|bflx){_CONDITION}"),
    (BRANCH, r"(le|letp|wls|wlstp|dls|dlstp|lctp)(\.\d+)?"),
    (LOAD, r"(v?(ldr|ldm|pop)|vld|lda)\S*"),
    (STORE, r"(v?(str|stm|push)|vst|stl)\S*"),
    (SIMD, r"v\w+\.([siupb]\d+|[siu]\d+\.[siu]\d+|\d+)"),
    (SIMD, r"v(and|orr|eor|bic|orn|mvn|psel|pnot|pst|pt)[te]*"),
    (FPU, r"v\w+(\.\w+)*"),
    (DIVIDE, rf"[su]div{_CONDITION}"),
    (SIMD, r"sm(lad|uad|lsd|usd|lald|lsld)x?" + _CONDITION),
    (SIMD, rf"[su](xta?b16){_CONDITION}"),
    (SIMD, rf"(s|q|sh|u|uq|uh)({_ADDING})(8|16)?{_CONDITION}"),
    (SIMD, rf"(sel|pkhbt|pkhtb|[su]sat16|usada?8|qdadd|qdsub){_CONDITION}"),
    (MULTIPLY, rf"(mul|mla|mls|[su]mull|[su]mlal|umaal)s?{_CONDITION}"),
    (MULTIPLY, rf"sm(mul|mla|mls)r?{_CONDITION}"),
    (MULTIPLY, rf"sm(ul|la|lal)(bb|bt|tb|tt|wb|wt){_CONDITION}|sm(ulw|law)[bt]{_CONDITION}"),
    (ALU, rf"(add|adc|sub|sbc|rsb|and|orr|orn|eor|bic|mov|mvn|neg)s?w?{_CONDITION}"),
    (ALU, rf"(lsl|lsr|asr|ror|rrx)s?{_CONDITION}"),
    (ALU, rf"(movt|adr|cmp|cmn|tst|teq|cpy){_CONDITION}"),
    (ALU, rf"([su]xta?[bh]|[su]bfx|bfi|bfc|clz|rbit|rev|rev16|revsh|[su]sat){_CONDITION}"),
    (ALU, r"(csel|cset|csetm|csinc|csinv|csneg|cinc|cinv|cneg|lsll|lsrl|asrl|[us]q?r?sh[lr]l?)"),
)
# No name has two kinds on the two architectures.
_RISCV = (
    (BRANCH, r"j|jal|jr|jalr|ret|b(eq|ne|lt|ge|gt|le)[uz]?"),
    (LOAD, r"l[bhw]u?|fl[wd]|lr(\.\w+)*"),
    (STORE, r"s[bhw]|fs[wd]|sc(\.\w+)*"),
    (MULTIPLY, r"mulh?(su|u)?"),
    (DIVIDE, r"(div|rem)u?"),
    (FPU, r"f(?!ence)\w+(\.\w+)+"),
    (ALU, r"(add|and|or|xor|sll|srl|sra)i?|slti?u?|lui|auipc|li|mv|not|s(eq|ne|lt|gt)z"),
    (ALU, r"sh[123]add|xnor|sext\.[bh]|zext\.[bh]|andn|ctz|cpop|(max|min)u?|ro[lr]i?|rev8|orc\.b"),
    (ALU, r"b(clr|ext|inv|set)i?"),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS + _RISCV)


@lru_cache(maxsize=4096)
def kind_of(mnemonic: str) -> str:
    """One of KINDS; `other` for what is none of the others, or unknown.

    Args:
        mnemonic: as QEMU or objdump have it: `ldr.w`, `blt`, `vmla.f32`, `addi`.
    """
    name = mnemonic.lower()
    for width in (".w", ".n"):
        name = name.removesuffix(width)
    return next((kind for kind, pattern in _COMPILED if pattern.fullmatch(name)), OTHER)
