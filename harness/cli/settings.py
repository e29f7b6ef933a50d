"""The settings of `hil`: declared from the table, and looked for where pytest looks, too."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import WrongUse
from harness.settings import ALL_EMULATED, LIST, MODEL, SETTINGS, TRUTH, Setting, Sources


def settings_of(command: str) -> tuple[Setting[Any], ...]:
    """Those that a command takes."""
    return tuple(setting for setting in SETTINGS if command in setting.commands)


def takes_several(command: str, setting: Setting[Any]) -> bool:
    """Whether a command takes a list of a setting where that is one; `hil flash` does of models."""
    return command in ("bench", "evaluate") or (command == "flash" and setting is MODEL)


def add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """Declare the settings of a command.

    Each may also be spelled as pytest's option of it, which the help does not repeat.
    """
    parser.set_defaults(command=command)
    for setting in settings_of(command):
        several = takes_several(command, setting)
        declare = partial(parser.add_argument, dest=setting.name, **_how(setting, several=several))
        declare(setting.hil_flag, help=setting.help_of(hil=True, several=several))
        for alias in set(setting.pytest_flags) - {setting.hil_flag}:
            declare(alias, help=argparse.SUPPRESS)


def _how(setting: Setting[Any], *, several: bool) -> Mapping[str, Any]:
    if setting.kind is TRUTH:
        return {"action": "store_const", "const": "true"}
    if setting.kind is not LIST:
        return {"metavar": setting.metavar}
    if several:
        return {"metavar": setting.metavar, "action": "extend", "nargs": "+"}
    return {"metavar": setting.metavar, "action": "append"}


def sources_of(options: argparse.Namespace) -> Sources:
    """Where the settings of the parsed command are looked for.

    Raises:
        WrongUse: the ini file cannot be read.
    """
    from harness.inifile import find_ini  # 0.02 s

    ini = find_ini(Path.cwd())
    return Sources(
        given=vars(options),
        ini=ini.values,
        ini_folder=ini.folder,
        environment=os.environ,
        hil=True,
        known=settings_of(options.command),
    )


def refuse_several(sources: Sources, *settings: Setting[tuple[str, ...]]) -> None:
    """Hold a command to one board, model or runtime.

    Raises:
        WrongUse: several are set.
    """
    for setting in settings:
        if len(items := sources[setting]) > 1:
            raise WrongUse(
                f"this command takes one {setting.name}, {sources.said(setting).source} names "
                f"{len(items)}: {', '.join(items)}"
            )
        if ALL_EMULATED in items:
            raise WrongUse(
                f"this command takes one {setting.name}, {ALL_EMULATED} is several",
                hint=f"hil bench --board {ALL_EMULATED} measures all of them.",
            )
