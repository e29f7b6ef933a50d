"""pytest plugin: `pytest --board ID`.

Every pytest in whose environment it is installed loads this file. Until a test that uses one of its
fixtures is collected, it says nothing and imports nothing that takes time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.plugin.options import pytest_addoption
from harness.plugin.start import (
    BOARD_ID,
    MODEL_NAME,
    RUNTIME,
    board_of,
    names_of,
    parameter,
    reporting_of,
    state_of,
)

__all__ = ["pytest_addoption"]

pytest_plugins = ["harness.plugin.fixtures"]

_MARKERS = (
    "hil: talks to a board; set on every test that uses the board fixture",
    "qemu: talks to an emulated board; set by itself",
    "network: needs a network; skipped with the reason where there is none",
    "hil_requires(*features): skip on boards without them. A feature is an attachment (emulator, "
    "sim, virtual, serial, url), a runtime (an id), a capability (infer, tensors, profile, "
    "reset, memory, state), `real` for a board that is not emulated or `counted` for one that "
    "counts instructions",
)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Say what to write instead, where pytest took an option's value for the tests' folder."""
    if any(arg.startswith(("--hil-", "--board")) for arg in args):
        from harness.plugin.rootdir import refuse_moved

        refuse_moved(early_config, args)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if config.getoption("board"):
        # Whoever names a board is told at once that it is none.
        state_of(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order tests by board, model and runtime, after those without a board.

    So a board is opened once for each model and runtime, and let go when its last test is over.
    """
    if any(board_of(item) is not None for item in items):
        named = {name: (None, *values) for name, values in names_of(config).items()}
        items.sort(
            key=lambda item: [
                named[name].index(parameter(item, name)) for name in (BOARD_ID, MODEL_NAME, RUNTIME)
            ]
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to report, if board tests are left to run."""
    worker = hasattr(session.config, "workerinput")
    if any(board_of(item) is not None for item in session.items):
        try:
            reporting_of(session)
        except pytest.UsageError:
            # Of a worker's ending nobody hears the reason: the controller finds the same.
            if not worker:
                raise


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means where the command line or the ini file asks for several boards."""
    if not (config.getoption("board") or config.getini("hil_board")):
        return None
    from harness.plugin.xdist import workers_for

    try:
        return workers_for(state_of(config))
    except pytest.UsageError:
        return None  # To be said when board tests are there to run.


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Begin to report in the controller, which collects nothing, if a worker found board tests."""
    if any("[" in nodeid for nodeid in ids):
        from harness.plugin.xdist import node_collected

        node_collected(node, ids)
