"""Values of options that pytest takes for paths of tests, and so for where the project lies.

pytest looks for rootdir and ini file before it loads plugins. An option of a plugin is then unknown
to it, and the word behind it a path of tests, if there is such a file or folder. No hook comes
before that (pytest 9: `Config.parse` calls `determine_setup` first), so it is seen afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness import settings
from harness.errors import WrongUse
from harness.inifile import find_ini
from harness.text import printable


def refuse_moved(config: pytest.Config, args: Sequence[str]) -> None:
    """Refuse a command line of which pytest took an option's value for a path of tests.

    Only where that moved rootdir away from the current folder, or lost the project's ini file.

    Args:
        args: those of the command line, and what pytest reads before it.

    Raises:
        pytest.UsageError: says what to write instead.
    """
    known = config.known_args_namespace
    if known.rootdir or known.inifilename:
        return
    folder = config.invocation_params.dir
    taken = list(_taken(folder, args))
    if not taken or not _moved(config, folder):
        return
    option, value = taken[0]
    raise pytest.UsageError(
        f"{option} {printable(value)}: pytest takes the path for one of tests, and "
        f"{printable(str(config.rootpath))} for the project's folder (rootdir). Write it with `=`: "
        f"{option}={printable(value)}"
    )


def _taken(folder: Path, args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options of ours with the words behind them that are paths here."""
    flags = {
        flag
        for setting in settings.SETTINGS
        if setting.kind is not settings.TRUTH
        for flag in setting.pytest_flags
    }
    for option, value in zip(args, args[1:], strict=False):
        if option in flags and not value.startswith("-") and _exists(folder / value):
            yield option, value


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _moved(config: pytest.Config, folder: Path) -> bool:
    if not folder.is_relative_to(config.rootpath):
        return True
    return config.inipath is None and _has_ini(folder)


def _has_ini(folder: Path) -> bool:
    try:
        return find_ini(folder).path is not None
    except WrongUse:  # It is there, and pytest will say what is wrong with it.
        return True
