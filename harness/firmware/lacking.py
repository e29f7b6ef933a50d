"""Programs that a failed build did not find, by what shells, make and Python say of them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from harness.errors import ToolMissing
from harness.text import printable

_NAME = r"[\w./+-]{1,200}"
_SAID = re.compile(
    "|".join(
        (
            # dash, bash, busybox and zsh; `make` and `env`, which start a program themselves.
            rf"^(?:/\S*/)?(?:sh|dash): (?:line )?(?:\d+: )?(?P<sh>{_NAME}): not found$",
            rf"^\S*bash: line \d+: (?P<bash>{_NAME}): (?:command not found|No such file or direc)",
            rf"^zsh:\d+: (?:command not found|no such file or directory): (?P<zsh>{_NAME})$",
            rf"^g?make(?:\[\d+\])?: (?P<make>{_NAME}): No such file or directory$",
            rf"^(?:/\S*/)?env: [‘'`]?(?P<env>{_NAME})[’']?: No such file or directory$",
        )
    ),
    re.MULTILINE,
)
_ENDED = re.compile(
    r"\bError 127\b|\bcode[:=]? ?127\b|\bstatus 127\b|^ninja: build stopped", re.MULTILINE
)
"""A shell that did not find a program ends with 127, which ninja tells since 1.13 only."""

_NO_FILE = re.compile(
    rf"^(?:scons: )?\*\*\* \[.*\] (?P<scons>{_NAME}): No such file or directory$"
    rf"|^FileNotFoundError: \[Errno 2\] [^:]*: '(?P<python>{_NAME})'$",
    re.MULTILINE,
)
"""What SCons and Python say of a program that they start, and of any file."""

_BINUTILS = re.compile(
    r"(?P<prefix>.*-)?(?:addr2line|ar|as|c\+\+filt|ld|nm|objcopy|objdump|ranlib|readelf|size|strip)"
)
_GCC = re.compile(r"(?P<prefix>.*-)?(?:gcc(?:-ar|-nm|-ranlib)?|g\+\+|cpp)")
_TARGETS = {
    "": "",
    "arm-none-eabi-": "-arm-none-eabi",
    "riscv64-unknown-elf-": "-riscv64-unknown-elf",
    "xtensa-lx106-elf-": "-xtensa-lx106",
    "avr-": "-avr",
}
_PACKAGES = {
    **{name: name for name in ("cmake", "make", "gperf", "xxd", "openocd", "dfu-util", "perl")},
    "ninja": "ninja-build",
    "python": "python-is-python3",
    "python3": "python3",
    "dtc": "device-tree-compiler",
    "srec_cat": "srecord",
    "gdb-multiarch": "gdb-multiarch",
}
"""Debian's, of programs that builds run after linking or before compiling."""


def lacking_tool(log: str, needed_for: str) -> ToolMissing | None:
    """The last program that a build did not find, if that is what ended it."""
    called = _not_found(log)
    if called is None:
        return None
    name = printable(called)
    package = _package(called)
    if package is None:
        install = "its package is not known here; or mend the script of the build that names it"
    elif "/" not in called:
        install = f"sudo apt-get install -y {package}"
    else:  # In a folder in which a package may not put it.
        install = f"sudo apt-get install -y {package}, if that brings it where it is looked for"
    return ToolMissing(name, needed_for=needed_for, install=install)


def _not_found(log: str) -> str | None:
    names = [match[match.lastgroup or 0] for match in _NO_FILE.finditer(log)]
    if names and _package(names[-1]):
        return names[-1]
    if _ENDED.search(log):
        said = [match[match.lastgroup or 0] for match in _SAID.finditer(log)]
        return said[-1] if said else None
    return None


def _package(called: str) -> str | None:
    """Debian's package of a program; None where that is not known."""
    tool = PurePosixPath(called).name
    for pattern, package in ((_BINUTILS, "binutils"), (_GCC, "gcc")):
        if found := pattern.fullmatch(tool):
            target = _TARGETS.get(found["prefix"] or "")
            return None if target is None else f"{package}{target}"
    return _PACKAGES.get(tool)
