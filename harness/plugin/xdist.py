"""How pytest-xdist hands out tests: those of one board to one worker, others to whoever is free."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

_PARAMETERS = re.compile(r"\[(.*)\]$", re.DOTALL)


def board_of(nodeid: str, boards: tuple[str, ...]) -> str | None:
    """The board in a test's id, such as `a` in `test_it.py::test_it[a-sine]`; None without one.

    The controller collects nothing and has only this text. A parameter of another fixture that
    reads like a board's id misleads it; then a test waits for the board's lock, and is right.
    """
    found = _PARAMETERS.search(nodeid)
    parameters = f"-{found[1]}-" if found else ""
    named = [board for board in boards if f"-{board}-" in parameters]
    return max(named, key=len, default=None)


# mypy sees no types: xdist is optional, and may be absent where this is checked.
class BoardScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Work units are boards; a test without a board is a unit of its own."""

    def __init__(self, config: pytest.Config, log: object, boards: tuple[str, ...]) -> None:
        super().__init__(config, log)
        self._boards = boards

    def _split_scope(self, nodeid: str) -> str:
        return board_of(nodeid, self._boards) or nodeid
