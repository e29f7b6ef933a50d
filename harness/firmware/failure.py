"""Turns the log of a failed build into an error that says what to do."""

from __future__ import annotations

import re

from harness.board.registry import Board
from harness.errors import (
    BuildFailed,
    HilError,
    MissingKernel,
    TooLarge,
    ToolMissing,
    Where,
)
from harness.firmware import tflm
from harness.firmware.fetch import library_missing, package_missing
from harness.firmware.lacking import lacking_tool
from harness.firmware.platformio import Job

FIRST_ERRORS = 5


_ERROR_LINE = re.compile(
    r"(error:|undefined reference|ld(\.bfd)?: .*(overflow|cannot|failed to merge)|fatal error"
    r"|Error: |^CMake Error|^\*\*\* )"
)
_CMAKE_SAYS = re.compile(r"^(CMake Error at .*:)\n\s*((?:^  \S.*\n)+)", re.MULTILINE)
"""CMake's error, whose text is a paragraph below the place."""
_KCONFIG_ABORTS = "Aborting due to Kconfig warnings"
_KCONFIG_WARNING = re.compile(r"\bwarning: ")


# What GNU ld says of a firmware that is too large, by what its linker script does about that.
_REGION = r"region [`'‘]?(?P<region>\w+)['’]?"
_OVERFLOW = re.compile(rf"{_REGION} overflowed(?: by (?P<bytes>\d+) bytes?)?")
_NO_ROOM = re.compile(rf"section .* will not fit in {_REGION}")
_BEYOND = re.compile(rf"address 0x(?P<end>\w+) of .* section .* is not within {_REGION}")
_BACKWARDS = re.compile(r"location counter backwards \(from (?P<end>\w+) to (?P<limit>\w+)\)")
_OVERLAP = re.compile(
    r"section \S+ [VL]MA \[(\w+),(\w+)\] overlaps section \S+ [VL]MA \[(\w+),(\w+)\]"
)
_FLASH_REGION = re.compile(r"CODE|FLASH|ROM|irom|drom", re.IGNORECASE)
_CORTEX_M_RAM = 0x20000000
"""Where RAM begins on a Cortex-M; flash lies below. From Arm's architecture manuals."""


_SIZE_CHECK = re.compile(
    r"The (?P<what>program|data) size \((?P<needed>\d+) bytes\) is greater than maximum allowed "
    r"\((?P<available>\d+) bytes\)"
)


_NO_METHOD = re.compile(r"has no member named ['‘](Add\w+)['’]")


_NO_KERNEL = re.compile(r"undefined reference to [`'‘]tflite::(?:\w+::)?Register_(?P<kind>\w+)\(")
"""What the linker says of a kernel that the resolver names and whose source the library lacks."""


_INSTALLING = re.compile(r"(?P<kind>\w+) Manager: Installing (?P<package>.+)")


_NOT_FETCHED = re.compile(r"HTTPClientError|InternetConnectionError|UnknownPackageError")


def first_errors(log: str) -> list[str]:
    """The first lines of a build log that report an error; its last lines if none does.

    CMake's have their paragraph on the same line. Where Zephyr's configuration ends with warnings,
    they say more than the error.
    """
    if _KCONFIG_ABORTS in log:
        log = _KCONFIG_WARNING.sub("error: ", log)
    log = _CMAKE_SAYS.sub(lambda found: f"{found[1]} {' '.join(found[2].split())}\n", log)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return [line for line in lines if _ERROR_LINE.search(line)][:FIRST_ERRORS] or lines[-5:]


def too_large(board: Board, where: Where, *, flash_bytes: int, ram_bytes: int) -> TooLarge | None:
    """The error for firmware that does not fit its board; None if it fits."""
    for memory, needed, available in (
        ("flash", flash_bytes, board.flash_bytes),
        ("RAM", ram_bytes, board.ram_bytes),
    ):
        if available is not None and needed > available:
            return TooLarge(where=where, memory=memory, needed=needed, available=available)
    return None


def explain_failure(log: str, job: Job, log_file: str) -> HilError:
    """The error that a failed build's log means.

    It is TooLarge, MissingKernel or ToolMissing where the log shows it, else BuildFailed.
    """
    for memory, excess in _excesses(log, job.board).items():
        available = job.board.flash_bytes if memory == "flash" else job.board.ram_bytes
        if available is not None:
            needed = available + excess if excess else None
            return TooLarge(where=job.where, memory=memory, needed=needed, available=available)
    checked = _SIZE_CHECK.search(log)
    if checked:
        return TooLarge(
            where=job.where,
            memory="flash" if checked["what"] == "program" else "RAM",
            needed=int(checked["needed"]),
            available=int(checked["available"]),
        )
    methods, kernels = set(_NO_METHOD.findall(log)), set(_NO_KERNEL.findall(log))
    missing = [
        name
        for name in (job.operators if job.library else ())
        if tflm.resolver_method(name) in methods or tflm.kernel_name(name) in kernels
    ]
    if missing:
        return MissingKernel(where=job.where, operators=tuple(missing), library=str(job.library))
    if tool := lacking_tool(log, f"firmware for {job.board.id}"):
        tool.where = job.where
        return tool
    if _NOT_FETCHED.search(log):
        lacking = _not_fetched(log, job)
        if lacking:
            return lacking
    return BuildFailed(where=job.where, first_errors=first_errors(log), log=log_file)


def _excesses(log: str, board: Board) -> dict[str, int]:
    """By how many bytes flash or RAM is exceeded, as the linker says; 0 where it gives no number.

    The linker may report one memory in several ways, of which only one gives the true number.
    """
    found: dict[str, int] = {}

    def add(memory: str, excess: int) -> None:
        found[memory] = max(found.get(memory, 0), excess)

    for match in _OVERFLOW.finditer(log):
        add(_memory_of_region(match["region"]), int(match["bytes"] or 0))
    for match in _NO_ROOM.finditer(log):
        add(_memory_of_region(match["region"]), 0)
    for match in _BEYOND.finditer(log):
        memory = _memory_of_region(match["region"])
        excess = int(match["end"], 16) - _CORTEX_M_RAM - (board.ram_bytes or 0)
        known = memory == "RAM" and 0 < excess < _CORTEX_M_RAM // 4
        add(memory, excess if known else 0)
    for match in _BACKWARDS.finditer(log):
        limit = int(match["limit"], 16)
        add(_memory_at(limit), int(match["end"], 16) - limit)
    for match in _OVERLAP.finditer(log):
        one, end_of_one, other, end_of_other = (int(group, 16) for group in match.groups())
        end = end_of_one if one < other else end_of_other
        add(_memory_at(max(one, other)), end + 1 - max(one, other))
    return found


def _memory_of_region(name: str) -> str:
    return "flash" if _FLASH_REGION.search(name) else "RAM"


def _memory_at(address: int) -> str:
    return "RAM" if address >= _CORTEX_M_RAM else "flash"


def _not_fetched(log: str, job: Job) -> ToolMissing | None:
    """The package that PlatformIO failed to download, as an error."""
    tried = [match for match in _INSTALLING.finditer(log)]
    if tried and tried[-1]["kind"] != "Library":
        return package_missing(tried[-1]["package"].strip(), job)
    if job.library and not job.library.folder:
        return library_missing(job)
    return None
