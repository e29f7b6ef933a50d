"""How pytest-xdist hands out tests: those of one board to one worker, others to whoever is free."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScheduling, LoadScopeScheduling

from harness.plugin.start import (
    BOARD_ID,
    MODEL_NAME,
    REPORTING,
    Names,
    model_ids,
    names_of,
    reporting_of,
)

if TYPE_CHECKING:
    from harness.plugin.state import RunState

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


def has_board_test(nodeids: Iterable[str], names: Names) -> bool:
    """Whether a test's id has a board and a model beside each other, as those of our fixtures."""
    # As pytest writes them into an id.
    models = [id_.encode("unicode_escape").decode() for id_ in model_ids(names[MODEL_NAME])]
    pairs = [f"-{board}-{model}" for board, model in product(names[BOARD_ID], models)]
    found = (_PARAMETERS.search(nodeid) for nodeid in nodeids)
    return any(pair in f"-{match[1]}" for match in found if match for pair in pairs)


def node_collected(node: Any, nodeids: Sequence[str]) -> None:
    """Begin to report where a worker found board tests, and give each board to one worker.

    Raises:
        pytest.UsageError: the options of the run are wrong; it ends.
    """
    config = node.config
    if not has_board_test(nodeids, names_of(config)):
        return
    manager = config.pluginmanager
    first = not manager.has_plugin(REPORTING)
    reporting = reporting_of(manager.get_plugin("session"))
    reporting.add_worker(node.gateway)
    if first:
        _schedule_by_board(manager.get_plugin("dsession"), config)
        _say(reporting.pytest_report_collectionfinish(config), config)


def _schedule_by_board(controller: Any, config: pytest.Config) -> None:
    """Replace the scheduler of --dist=load; another one was asked for, and stays.

    It is there before tests are collected, and a run without board tests keeps it.
    """
    if type(controller.sched) is LoadScheduling:
        scheduler = BoardScheduling(config, controller.log, names_of(config)[BOARD_ID])
        for node in controller.sched.nodes:
            scheduler.add_node(node)
        controller.sched = scheduler


def _say(lines: Sequence[str], config: pytest.Config) -> None:
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and lines:
        # Below the line of the workers' states, which xdist rewrites on a terminal.
        for line in ("", *lines) if terminal.isatty else lines:
            terminal.write_line(line)


def workers_for(rig: RunState) -> int | None:
    """A worker for each real board, since those take turns at waiting, and for emulated ones as
    many as there are cores, which they keep busy. None where one board was asked for.
    """
    boards = [rig.registry[board_id] for board_id in rig.options.boards]
    if len(boards) == 1:
        return None
    emulated = sum(board.emulated for board in boards)
    return len(boards) - emulated + min(emulated, os.cpu_count() or 1)
