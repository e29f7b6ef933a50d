"""The ini file of pytest in the current project: `hil` obeys its `hil_*` keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import iniconfig

from harness import toml
from harness.errors import RigError, WrongUse

_ALWAYS_MEANT = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
"""Files that pytest takes also where they say nothing."""
_NAMES = (*_ALWAYS_MEANT, "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class IniFile:
    """What pytest's ini file at `path` says, by key, and the folder that it lies in."""

    path: Path | None = None
    folder: Path = Path()
    values: Mapping[str, object] = field(default_factory=dict)


def find_ini(start: Path) -> IniFile:
    """The file that `pytest` run in `start` reads; an empty one where there is none.

    Files and their order are those of pytest's documentation, section "Configuration file formats".

    Raises:
        WrongUse: a file cannot be read.
    """
    for folder in (start, *start.parents):
        for name in _NAMES:
            values = _read(folder / name) if (folder / name).is_file() else None
            if values is not None:
                return IniFile(path=folder / name, folder=folder, values=values)
    return IniFile(folder=start)


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        values = _toml(path) if path.suffix == ".toml" else _ini(path)
    except RigError as error:
        raise WrongUse(error.what) from error
    except (OSError, UnicodeDecodeError, iniconfig.ParseError) as error:
        raise WrongUse(f"cannot read {path}: {error}") from error
    return {} if values is None and path.name in _ALWAYS_MEANT else values


def _ini(path: Path) -> Mapping[str, object] | None:
    section = "tool:pytest" if path.name == "setup.cfg" else "pytest"
    sections = iniconfig.IniConfig(path)
    return dict(sections[section].items()) if section in sections else None


def _toml(path: Path) -> Mapping[str, object] | None:
    document = toml.load(path, str(path))
    if path.name != "pyproject.toml":
        return document.get("pytest")
    table: dict[str, Any] = document.get("tool", {}).get("pytest", {})
    return table.get("ini_options", table or None)
