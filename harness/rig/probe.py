"""Boards that a debug probe flashes and resets, by pyOCD: what is run, and what its errors mean."""

from __future__ import annotations

import subprocess
import sys

from harness.board.registry import Board
from harness.errors import RigError, Where
from harness.process import run_told

INSTALL_PYOCD = "pip install 'tinyml-hil[probe]'"

_MISSING = f"pyOCD is not installed: {INSTALL_PYOCD}"
_NO_PROBE = (
    "No debug probe was found. Plug in the board's debug port and run `pyocd list`. A J-Link, as "
    "on Nordic's kits, is seen only where SEGGER's J-Link software is installed beside pyOCD; "
    "every probe needs permission for USB."
)
_OTHER_PROBE = (
    "There is no probe with this board's serial number. `pyocd list` shows those that there are; "
    "the rig file says which one is the board's."
)
_LOCKED = "The chip is locked against debugging. `pyocd erase --chip --mass` frees and empties it."
_ABSENT = "No module named pyocd"
_MEANINGS = (
    (_ABSENT, _MISSING),
    ("No available debug probes", _NO_PROBE),
    ("No connected debug probes", _NO_PROBE),
    ("No connected debug probe matches", _OTHER_PROBE),
    ("APPROTECT", _LOCKED),
)
"""What pyOCD 0.46 says, and what to do."""


def probe_uid(serial_number: str) -> str:
    """The id by which pyOCD knows a probe, by its USB serial number: a J-Link's has no zeros before
    it. A part of an id is enough for pyOCD.
    """
    return serial_number.lstrip("0")


def advice(said: str) -> str:
    """What to do about an error of pyOCD's; empty if it is none that is known."""
    return next((meaning for text, meaning in _MEANINGS if text in said), "")


def reset_command(target: str, serial_number: str | None) -> list[str]:
    """pyOCD's command line that resets a board, through the only probe if its own is not known."""
    command = [sys.executable, "-m", "pyocd", "reset", "--no-wait", "--target", target]
    return [*command, "--uid", probe_uid(serial_number)] if serial_number else command


def reset(board: Board, serial_number: str | None, *, timeout_s: float, where: Where) -> None:
    """Reset a board through its probe.

    Raises:
        RigError: pyOCD is not installed, finds no probe, fails, or takes longer than `timeout_s`.
    """
    assert board.probe is not None, "the board has a probe"
    command = reset_command(board.probe, serial_number)
    try:
        status, said = run_told(command, timeout_s=timeout_s)
    except subprocess.TimeoutExpired as error:
        what = f"pyOCD took longer than {timeout_s:g} s to reset the board"
        raise RigError(what, where=where) from error
    if status:
        last = said.splitlines()[-1] if said else f"status {status}"
        if _ABSENT in said:
            last = "it is not installed"
        raise RigError(f"pyOCD did not reset the board: {last}", where=where, hint=advice(said))
