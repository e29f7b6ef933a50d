"""What instructions of T32 are called, and which part of the architecture has them.

Encodings are those of the ARMv6-M, ARMv7-M and Armv8-M Architecture Reference Manuals (DDI 0419,
DDI 0403, DDI 0553), as far as it takes to tell a core's instructions from another's.
"""

from __future__ import annotations

from functools import lru_cache

V6, V7, DSP = "ARMv6-M", "ARMv7-M", "the DSP extension"
FP, FPV5, DP = "the FPU", "FPv5", "double precision"
V8, V81, MVE, NONE = "Armv8-M", "Armv8.1-M", "Helium (MVE)", "no Cortex-M"

_M3 = frozenset({V6, V7})
_M4 = _M3 | {DSP, FP}
_M33 = _M4 | {FPV5, V8}
CORES = {
    "cortex-m0": frozenset({V6}),
    "cortex-m0plus": frozenset({V6}),
    "cortex-m1": frozenset({V6}),
    "cortex-m3": _M3,
    "cortex-m4": _M4,
    "cortex-m7": _M4 | {FPV5, DP},
    "cortex-m33": _M33,
    "cortex-m35p": _M33,
    "cortex-m55": _M33 | {DP, V81, MVE},
}
"""What each core has, with all of its options but for an FPU of more than single precision."""

_MORE_MVE = ("cortex-m52", "cortex-m85")


def has_mve(core: str | None) -> bool:
    """Whether a core has Helium."""
    return MVE in CORES.get(core or "", ()) or core in _MORE_MVE


_WIDE = 0xE800
"""A halfword from here on is the first of two."""

Form = tuple[int, int, str, str]
"""Mask and value of an encoding, the instruction's name, and what has it."""

_NARROW: tuple[Form, ...] = (
    (0xF500, 0xB100, "cbz", V7),
    (0xFF0F, 0xBF00, "nop", V6),
    (0xFF00, 0xBF00, "it", V7),
    (0xFF87, 0x4704, "bxns", V8),
    (0xFF87, 0x4784, "blxns", V8),
    (0xFFC0, 0xBA80, "hlt", NONE),
    (0xFFF7, 0xB650, "setend", NONE),
)


def _series(mask: int, value: int, at: int, names: str, has: str) -> tuple[Form, ...]:
    """Forms that differ in a number from bit `at` on; `-` where a number is no instruction."""
    listed = enumerate(names.split())
    return tuple((mask, value | op << at, name, has) for op, name in listed if name != "-")


_PREFIXES = _series(0, 0, 4, "s q sh - u uq uh", DSP)
_ARITHMETIC = (
    "and.w bic.w orr.w orn.w eor.w - - - add.w - adc.w sbc.w - sub.w rsb.w"  # Of any operand.
)

# Both halfwords. The first that fits counts.
_WIDE_FORMS: tuple[Form, ...] = (
    # Branches, and what controls the CPU.
    (0xF800D000, 0xF000D000, "bl", V6),
    (0xF800D000, 0xF0009000, "b.w", V7),
    (0xFFF0F000, 0xF7F0A000, "udf.w", V6),
    (0xFFE0D000, 0xF3808000, "msr", V6),
    (0xFFE0D000, 0xF3E08000, "mrs", V6),
    (0xFFF0D0F0, 0xF3B08040, "dsb", V6),
    (0xFFF0D0F0, 0xF3B08050, "dmb", V6),
    (0xFFF0D0F0, 0xF3B08060, "isb", V6),
    (0xFFF0D0F0, 0xF3B08020, "clrex", V7),
    (0xFFF0D000, 0xF3A08000, "nop.w", V7),
    (0xF800D000, 0xF0008000, "b<cond>.w", V7),
    (0xFFFFF001, 0xF00FC001, "le", V81),
    (0xFFFFF001, 0xF02FC001, "le", V81),
    (0xFFFFF001, 0xF01FC001, "letp", MVE),
    (0xFFF0FFFF, 0xF040E001, "dls", V81),
    (0xFFF0F001, 0xF040C001, "wls", V81),
    (0xFFC0FFFF, 0xF000E001, "dlstp", MVE),
    (0xFFC0F001, 0xF000C001, "wlstp", MVE),
    (0xFFC0FFFF, 0xF000E801, "vctp", MVE),
    (0xF800D001, 0xF000C001, "bf", V81),
    # Loads and stores of several registers, exclusive ones, and those with an order.
    (0xFFFFFFFF, 0xE97FE97F, "sg", V8),
    (0xFFF0F03F, 0xE840F000, "tt", V8),
    (0xFFF0FFE0, 0xE8D0F000, "tbb", V7),
    (0xFFF00080, 0xE8D00080, "lda", V8),
    (0xFFF00080, 0xE8C00080, "stl", V8),
    (0xFFF00000, 0xE8D00000, "ldrex", V7),
    (0xFFF00000, 0xE8C00000, "strex", V7),
    (0xFFF00000, 0xE8500000, "ldrex", V7),
    (0xFFF00000, 0xE8400000, "strex", V7),
    (0xFFFF0000, 0xE89F0000, "clrm", V81),
    (0xFE500000, 0xE8100000, "ldm.w", V7),
    (0xFE500000, 0xE8000000, "stm.w", V7),
    (0xFE500000, 0xE8500000, "ldrd", V7),
    (0xFE500000, 0xE8400000, "strd", V7),
    # Data processing of shifted registers, then of constants.
    *_series(0xFFF0F000, 0xEA508000, 12, "csel csinc csinv csneg", V81),
    (0xFFF0000D, 0xEA50000D, "lsll", V81),
    (0xFFF08010, 0xEAC00000, "pkhbt", DSP),
    *_series(0xFFE08000, 0xEA000000, 21, _ARITHMETIC, V7),
    (0xFBF08000, 0xF2000000, "addw", V7),
    (0xFBF08000, 0xF2400000, "movw", V7),
    (0xFBF08000, 0xF2A00000, "subw", V7),
    (0xFBF08000, 0xF2C00000, "movt", V7),
    (0xFFF0F0F0, 0xF3200000, "ssat16", DSP),
    (0xFFF0F0F0, 0xF3A00000, "usat16", DSP),
    (0xFFD08000, 0xF3000000, "ssat", V7),
    (0xFFF08000, 0xF3400000, "sbfx", V7),
    (0xFFF08000, 0xF3600000, "bfi", V7),
    (0xFFD08000, 0xF3800000, "usat", V7),
    (0xFFF08000, 0xF3C00000, "ubfx", V7),
    *_series(0xFBE08000, 0xF0000000, 21, _ARITHMETIC, V7),
    # Loads and stores of one register.
    *_series(0xFF700000, 0xF8000000, 20, "strb.w ldrb.w strh.w ldrh.w str.w ldr.w", V7),
    *_series(0xFF700000, 0xF9000000, 20, "- ldrsb.w - ldrsh.w", V7),
    # Of registers only: shifts, extensions, sums of packed values.
    *_series(0xFFE0F0F0, 0xFA00F000, 21, "lsl.w lsr.w asr.w ror.w", V7),
    *_series(0xFFFFF080, 0xFA0FF080, 20, "sxth.w uxth.w - - sxtb.w uxtb.w", V7),
    *_series(0xFFFFF080, 0xFA0FF080, 20, "- - sxtb16 uxtb16", DSP),
    *_series(0xFFF0F080, 0xFA00F080, 20, "sxtah uxtah sxtab16 uxtab16 sxtab uxtab", DSP),
    *_series(0xFFF0F0F0, 0xFA90F080, 4, "rev.w rev16.w rbit revsh.w", V7),
    (0xFFF0F0F0, 0xFAB0F080, "clz", V7),
    *_series(0xFFF0F0F0, 0xFA80F080, 4, "qadd qdadd qsub qdsub", DSP),
    (0xFFF0F0F0, 0xFAA0F080, "sel", DSP),
    *(
        (0xFFF0F0F0, op | 0xFA80F000 | kind, prefix + name, DSP)
        for _, kind, prefix, _ in _PREFIXES
        for _, op, name, _ in _series(0, 0, 20, "add8 add16 asx - sub8 sub16 sax", DSP)
    ),
    # Multiplications and divisions.
    (0xFFF0F0F0, 0xFB00F000, "mul.w", V7),
    (0xFFF000F0, 0xFB000000, "mla", V7),
    (0xFFF000F0, 0xFB000010, "mls", V7),
    *_series(0xFFF0F0C0, 0xFB00F000, 20, "- smul smuad smulw smusd smmul - usad8", DSP),
    *_series(0xFFF000C0, 0xFB000000, 20, "- smla smlad smlaw smlsd smmla smmls usada8", DSP),
    (0xFFF000F0, 0xFB800000, "smull", V7),
    (0xFFF0F0F0, 0xFB90F0F0, "sdiv", V7),
    (0xFFF000F0, 0xFBA00000, "umull", V7),
    (0xFFF0F0F0, 0xFBB0F0F0, "udiv", V7),
    (0xFFF000F0, 0xFBC00000, "smlal", V7),
    (0xFFF000C0, 0xFBC00080, "smlal<x><y>", DSP),
    (0xFFF000E0, 0xFBC000C0, "smlald", DSP),
    (0xFFF000E0, 0xFBD000C0, "smlsld", DSP),
    (0xFFF000F0, 0xFBE00000, "umlal", V7),
    (0xFFF000F0, 0xFBE00060, "umaal", DSP),
    # Coprocessors 10 and 11 are the FPU, 8, 9, 14 and 15 its half precision and Helium.
    (0xEF000000, 0xEF000000, "a vector instruction", MVE),
    (0xEC000E00, 0xEC000E00, "a vector instruction", MVE),
    (0xEC000E00, 0xEC000800, "a vector or half-precision instruction", MVE),
    (0xFFF0FFFF, 0xEC200A00, "vlstm", V8),
    (0xFFF0FFFF, 0xEC300A00, "vlldm", V8),
    (0xFF000F00, 0xFE000A00, "a floating-point instruction of FPv5", FPV5),
    (0xFC000E00, 0xFC000A00, "double-precision arithmetic", DP),
    (0xFF000F10, 0xEE000B00, "double-precision arithmetic", DP),
    (0xFFBF0FD0, 0xEEB70AC0, "double-precision arithmetic", DP),
    (0xFC000E00, 0xEC000A00, "a floating-point instruction", FP),
    (0xEC000000, 0xEC000000, "a coprocessor's instruction", V7),
)

_BY_BYTE = {
    byte: tuple(form for form in _WIDE_FORMS if byte << 24 & form[0] == form[1] & 0xFF000000)
    for byte in range(_WIDE >> 8, 0x100)
}
"""The forms that fit the first byte."""


def is_wide(first: int) -> bool:
    """Whether an instruction that begins with this halfword has a second one."""
    return first >= _WIDE


@lru_cache(maxsize=1 << 14)
def named(first: int, second: int) -> tuple[str, str]:
    """An instruction's name, and what has it: a key of `CORES`' values.

    Args:
        second: the second halfword of a wide instruction, else 0.

    Returns:
        Its encoding and `NONE` where the manuals have no instruction.
    """
    if not is_wide(first):
        forms, code, other = _NARROW, first, ("", V6)
    else:
        code = first << 16 | second
        forms, other = _BY_BYTE[first >> 8], (f"0x{code:08x}", NONE)
    return next(((name, has) for mask, value, name, has in forms if code & mask == value), other)
