"""What a run with board tests begins with, loaded when the first of them is collected.

Every pytest in whose environment the plugin is installed loads this file: it imports only what
takes no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.plugin.options import parse_options

if TYPE_CHECKING:
    from harness.plugin.reporting import Reporting
    from harness.plugin.state import RunState

BOARD_ID = "_hil_board_id"
MODEL_NAME = "_hil_model_name"
RUNTIME = "_hil_runtime"

Names = dict[str, tuple[str, ...]]
"""Boards, models and runtimes that tests run on, by the fixture that each is a parameter of."""

_NAMES = pytest.StashKey[Names]()
_STATE = pytest.StashKey["RunState"]()
REPORTING = "harness.plugin.reporting"
_UNPARSED: Names = {BOARD_ID: ("?",), MODEL_NAME: ("?",), RUNTIME: ()}
"""For options that are wrong: `state_of` says so, if tests on boards are left to run."""


def names_of(config: pytest.Config) -> Names:
    """What tests on boards are to be parametrized with; the registry may know none of it."""
    if _NAMES not in config.stash:
        try:
            options = parse_options(config)
        except pytest.UsageError:
            config.stash[_NAMES] = _UNPARSED
        else:
            config.stash[_NAMES] = {
                BOARD_ID: options.boards,
                MODEL_NAME: options.models,
                RUNTIME: options.runtimes,
            }
    return config.stash[_NAMES]


def model_ids(models: tuple[str, ...]) -> list[str]:
    """How models are named in a test's id: a file without its folder."""
    return [Path(model).stem for model in models]


def parameter(item: pytest.Item, name: str) -> str | None:
    """A test's parameter; None where it has none of this name."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get(name) if callspec else None
    return value if isinstance(value, str) else None


def board_of(item: pytest.Item) -> str | None:
    """The id of the board that a test runs on; None for a test without one."""
    return parameter(item, BOARD_ID)


def state_of(config: pytest.Config) -> RunState:
    """The run's state, made when it is first asked for.

    Raises:
        pytest.UsageError: a board, runtime, model, baseline or rig file that is none.
    """
    if _STATE not in config.stash:
        from harness.plugin.state import new_state

        config.stash[_STATE] = new_state(config)
    return config.stash[_STATE]


def reporting_of(session: pytest.Session) -> Reporting:
    """The run's reporting, begun when tests on boards are known to be left to run.

    Raises:
        pytest.UsageError: as of `state_of`.
    """
    manager = session.config.pluginmanager
    found: Reporting | None = manager.get_plugin(REPORTING)
    if found is None:
        from harness.plugin.boards import BoardTests
        from harness.plugin.junit import JUnitFile
        from harness.plugin.reporting import Reporting

        state = state_of(session.config)
        state.counts.failed_elsewhere = session.testsfailed > 0
        junit = JUnitFile(state.counts)
        found = Reporting(state, junit)
        manager.register(junit, "harness.plugin.junit")
        manager.register(BoardTests(state), "harness.plugin.boards")
        manager.register(found, REPORTING)
    return found
