"""What the log of a failed build means."""

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
from harness.firmware.platformio import Job

FIRST_ERRORS = 5


_ERROR_LINE = re.compile(
    r"(error:|undefined reference|ld: .*(overflow|cannot)|fatal error|Error: |^\*\*\* )"
)


_OVERFLOW = re.compile(r"region `(?P<region>\w+)' overflowed by (?P<bytes>\d+) bytes")


_FLASH_REGION = re.compile(r"CODE|FLASH|ROM|irom|drom", re.IGNORECASE)


_SIZE_CHECK = re.compile(
    r"The (?P<what>program|data) size \((?P<needed>\d+) bytes\) is greater than maximum allowed "
    r"\((?P<available>\d+) bytes\)"
)


_NO_METHOD = re.compile(r"has no member named ['‘](Add\w+)['’]")


_INSTALLING = re.compile(r"(?P<kind>\w+) Manager: Installing (?P<package>.+)")


_NOT_FETCHED = re.compile(r"HTTPClientError|InternetConnectionError|UnknownPackageError")


def first_errors(log: str) -> list[str]:
    """The first lines of a build log that say what went wrong; its last lines if none do."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return [line for line in lines if _ERROR_LINE.search(line)][:FIRST_ERRORS] or lines[-5:]


def too_large(board: Board, where: Where, *, flash_bytes: int, ram_bytes: int) -> TooLarge | None:
    """The error for a firmware that does not fit its board; None for one that does."""
    for memory, needed, available in (
        ("flash", flash_bytes, board.flash_bytes),
        ("RAM", ram_bytes, board.ram_bytes),
    ):
        if available is not None and needed > available:
            return TooLarge(where=where, memory=memory, needed=needed, available=available)
    return None


def explain_failure(log: str, job: Job, log_file: str) -> HilError:
    """What a failed build's log says: too large, a kernel or library that is missing, or a bug."""
    board = job.board
    for match in _OVERFLOW.finditer(log):
        flash = _FLASH_REGION.search(match["region"]) is not None
        available = board.flash_bytes if flash else board.ram_bytes
        if available is not None:
            return TooLarge(
                where=job.where,
                memory="flash" if flash else "RAM",
                needed=available + int(match["bytes"]),
                available=available,
            )
    checked = _SIZE_CHECK.search(log)
    if checked:
        return TooLarge(
            where=job.where,
            memory="flash" if checked["what"] == "program" else "RAM",
            needed=int(checked["needed"]),
            available=int(checked["available"]),
        )
    methods = set(_NO_METHOD.findall(log))
    missing = [
        name
        for name in dict.fromkeys(job.artifact.operators)
        if tflm.resolver_method(name) in methods
    ]
    if missing and job.library:
        return MissingKernel(where=job.where, operators=tuple(missing), library=str(job.library))
    if _NOT_FETCHED.search(log):
        lacking = _not_fetched(log, job)
        if lacking:
            return lacking
    return BuildFailed(where=job.where, first_errors=first_errors(log), log=log_file)


def _not_fetched(log: str, job: Job) -> ToolMissing | None:
    """What PlatformIO was installing when the network failed it."""
    tried = [match for match in _INSTALLING.finditer(log)]
    if tried and tried[-1]["kind"] != "Library":
        return package_missing(tried[-1]["package"].strip(), job)
    if job.library and not job.library.folder:
        return library_missing(job)
    return None
