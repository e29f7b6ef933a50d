"""Routines of the C library and of the compiler's runtime that take much of an invoke."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.measure.functions import functions_table
from harness.measure.tables import CallRow, FunctionRow
from harness.text import counted, listed, wrapped

NOTABLE = 0.1
"""The share of an invoke from which on it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Routines:
    """Some that belong together: `what` they do, and what to look at where they take long."""

    names: re.Pattern[str]
    what: str
    advice: str


_FLOAT = r"(add|sub|mul|div|neg|cmp\w*|eq|ne|lt|le|gt|ge|unord)"
_ROUTINES = (
    _Routines(
        names=re.compile(r"(__aeabi_|__wrap_|_*)?(mem(cpy|move|set|cmp|clr|chr)[48]?|bcopy|bzero)"),
        what="copying and filling memory",
        advice="A C library built for size copies byte by byte: link one built for speed, or avoid "
        "the copies.",
    ),
    _Routines(
        names=re.compile(
            rf"__aeabi_([fd]r?{_FLOAT}|c[fd]r?\w+|[fd]2\w+|u?[il]2[fd]|ul2[fd]|h2[fd]\w*)"
            rf"|__{_FLOAT}[sdx]f[23]|__(fix|fixuns|float|floatun|extend|trunc)\w+f\w*"
        ),
        what="floating-point arithmetic in software",
        advice="The core has no FPU for it, or the build does not use one: quantize what computes "
        "in float, keep double out, or look at -mfpu and -mfloat-abi.",
    ),
    _Routines(
        names=re.compile(
            r"__aeabi_u?[il]div(mod)?|__aeabi_u?ldivmod|__u?div(mod)?[sd]i[34]|__u?mod[sd]i3"
            r"|__udivmoddi4|__aeabi_l(mul|lsl|lsr|asr)|__muldi3|__ash[lr]di3|__lshrdi3"
        ),
        what="integer arithmetic in software",
        advice="The core has no instruction for it, as for division of 64 bits: would a shift do, "
        "or 32 bits?",
    ),
    _Routines(
        names=re.compile(
            r"(__(ieee754|kernel|math)_)?(exp|exp2|expm1|log|log2|log10|log1p|pow|sqrt|sin|cos|tan"
            r"|tanh|sinh|cosh|atan|atan2|asin|acos|erf|floor|ceil|round|rint|trunc|fmod|frexp|ldexp"
            r"|scalbn|hypot|cbrt|fmin|fmax|lround)f?|__(math|kernel|ieee754)_\w+"
        ),
        what="the mathematics library",
        advice="A table or a fixed-point form computes such a function with fewer instructions.",
    ),
    _Routines(
        names=re.compile(
            r"_?(malloc|free|calloc|realloc|sbrk|_?malloc_r|_?free_r)(_r)?|_Zn[wa]\w+|_Zd[la]\w+"
            r"|operator (new|delete).*"
        ),
        what="memory from the heap",
        advice="An invoke should need none: reserve it before.",
    ),
    _Routines(
        names=re.compile(
            r"_?v?(s|sn|f|i|si|sni)?i?printf(_r)?|_?_?(s|d)?v?f?i?printf\w*|str(len|n?cmp|n?cpy|cat)"
        ),
        what="text",
        advice="An invoke should write and compare none: look for logging in it.",
    ),
)


def findings(rows: Sequence[FunctionRow], calls: Sequence[CallRow] = ()) -> list[str]:
    """A sentence for each kind of such routines that takes NOTABLE of the invoke or more.

    Args:
        rows: of one invoke.
        calls: of the same, for who called them.
    """
    found = [
        (sum(row.instructions for row in those), kind, those)
        for kind, those in _notable(rows).items()
    ]
    found.sort(key=lambda item: -item[0])
    return [_sentence(kind, those, calls, total) for total, kind, those in found]


def notable_functions(rows: Sequence[FunctionRow]) -> frozenset[str]:
    """Names of the functions that `findings` is about."""
    return frozenset(row.function for those in _notable(rows).values() for row in those)


def _notable(rows: Sequence[FunctionRow]) -> dict[_Routines, list[FunctionRow]]:
    found = {}
    for kind in _ROUTINES:
        those = [row for row in rows if kind.names.fullmatch(row.symbol)]
        total = sum(row.instructions for row in those)
        if those and total >= NOTABLE * rows[0].whole_instructions:
            found[kind] = those
    return found


def functions_text(rows: Sequence[FunctionRow], calls: Sequence[CallRow]) -> str:
    """What is to be noticed, and the table of functions; 80 columns."""
    said = [line for text in findings(rows, calls) for line in wrapped(text)]
    return "\n".join([*said, *([""] if said else []), functions_table(rows)])


def _sentence(
    kind: _Routines, rows: Sequence[FunctionRow], calls: Sequence[CallRow], total: int
) -> str:
    names, whole = listed([row.function for row in rows], 3), rows[0].whole_instructions
    times = counted(sum(row.calls for row in rows), "call")
    caller = _caller({row.function for row in rows}, calls)
    return (
        f"{names}: {total} of {whole} instructions ({total / whole:.0%}), in {times}"
        f"{f', most from {caller}' if caller else ''}: {kind.what}. {kind.advice}"
    )


def _caller(names: Collection[str], calls: Sequence[CallRow]) -> str | None:
    """The function that calls them for most of their instructions, and is none of them."""
    by_index = {call.index: call for call in calls}
    found: Counter[str] = Counter()
    for call in calls:
        if call.function not in names:
            continue
        above: CallRow | None = call
        while above is not None and above.function in names:
            above = None if above.parent is None else by_index.get(above.parent)
        if above is not None:
            found[above.function] += call.instructions
    return max(found, key=lambda name: found[name], default=None)
