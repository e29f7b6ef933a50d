"""Makes `pytest --board ID` work from a checkout, and means by it: the board tests."""

from pathlib import Path

import pytest

pytest_plugins = ["harness.plugin"]

BOARD_TESTS = Path(__file__).parent / "harness" / "suite"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On a rig, `pytest --board ID` without paths runs the board tests only."""
    rig_run = config.getoption("board") and config.args_source is not config.ArgsSource.ARGS
    if rig_run and collection_path.is_file() and BOARD_TESTS not in collection_path.parents:
        return True
    return None
