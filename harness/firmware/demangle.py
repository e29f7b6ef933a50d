"""Names of C++ functions as people write them, by the toolchain's c++filt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

FILTERS = ("arm-none-eabi-c++filt", "c++filt", "llvm-cxxfilt")
MOST_LETTERS = 500
"""Of a mangled name: a longer one stays as it is."""

_TIMEOUT_S = 10.0
_MANGLED = re.compile(rf"_Z\w{{1,{MOST_LETTERS}}}", re.ASCII)
_ANONYMOUS = "(anonymous namespace)::"


def demangled(names: Sequence[str]) -> list[str]:
    """The names without their parameters and without anonymous namespaces.

    `tflite::EvalAdd` of `_ZN6tflite12_GLOBAL__N_17EvalAddEP...`; a part that the compiler split off
    keeps its suffix. A name that is not C++'s stays as it is, and so do all where there is no
    c++filt.
    """
    # A suffix of the compiler's, as in `.constprop.0`, is lost by --no-params.
    parts = [name.partition(".") for name in names]
    wanted = [base for base, _, _ in parts if _MANGLED.fullmatch(base)]
    known = dict(zip(wanted, _filtered(wanted), strict=True))
    return [f"{_plain(known.get(base, base))}{dot}{suffix}" for base, dot, suffix in parts]


def _filtered(names: Sequence[str]) -> Sequence[str]:
    folder = os.environ.get("HIL_ARM_GCC_DIR")
    places = [shutil.which(FILTERS[0], path=folder), *map(shutil.which, FILTERS)]
    program = next(filter(None, places), None)
    if program is None or not names:
        return names
    text = "".join(f"{name}\n" for name in names)
    try:
        done = subprocess.run(
            [program, "--no-params"],
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return names
    lines = done.stdout.splitlines()
    return lines if len(lines) == len(names) else names


def _plain(name: str) -> str:
    return name.replace(_ANONYMOUS, "")
