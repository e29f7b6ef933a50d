"""Where a report is to be written, looked at before anything is measured for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.files import refuse_foreign, refuse_overwriting

TITLE = "Hardware-in-the-loop report"
_LOOKED_AT = 1 << 16
"""Bytes of a file in which the title of a report stands."""


def check_output(output: Path | None, option: str, inputs: Iterable[Path]) -> None:
    """Refuse a file that is no report, or one that the report is made of.

    Args:
        option: that named it.

    Raises:
        WrongUse: it is either.
    """
    if output is None:
        return
    refuse_overwriting(output, option, inputs)
    refuse_foreign(output, option, "report", _is_report)


def _is_report(path: Path) -> bool:
    """Whether it may be overwritten: an earlier report, or nothing yet."""
    try:
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT)
    except OSError:
        return True  # Writing will say what is wrong with it.
    return not begin or TITLE.encode() in begin
