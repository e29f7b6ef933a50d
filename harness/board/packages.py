"""Boards that installed distributions bring, by the entry point group `tinyml_hil.boards`.

An entry point is a mapping of ids to tables, as boards.toml has them, or the path of such a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from harness import toml
from harness.bounded import LOADING_S, bounded
from harness.errors import RigError
from harness.terminal import say
from harness.text import printable, reason_of

GROUP = "tinyml_hil.boards"
MOST_SAID = 300
"""Characters of a distribution's own error that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """Tables of boards of one distribution. `folder` is that of its file; None for a mapping.

    `fault` says why it has none: it cannot be loaded.
    """

    distribution: str
    version: str
    tables: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    fault: str = ""

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"boards of distribution {self.distribution}"


def packaged_boards() -> tuple[Packaged, ...]:
    """What the distributions bring, in the order of their names.

    One that cannot be loaded has a fault: it must not break the others.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (_distribution(point), point))
    return tuple(map(_loaded, points))


def _loaded(point: EntryPoint) -> Packaged:
    try:
        with bounded(LOADING_S):
            return _load(point)
    # Whatever a module of a stranger raises as it is imported, `sys.exit` included.
    except (Exception, SystemExit) as error:
        reason = reason_of(error, MOST_SAID)
        return _packaged(point, fault=reason)


def _packaged(point: EntryPoint, **given: Any) -> Packaged:
    version = printable(point.dist.version if point.dist else "", 40)
    return Packaged(distribution=_distribution(point), version=version, **given)


@cache
def leave_out(name: str, reason: str) -> None:
    """Say, once in a process, that something of a distribution is left out, and why."""
    say(f"{name} left out: {reason}")


def _distribution(point: EntryPoint) -> str:
    return printable(point.dist.name if point.dist else point.name, 60)


def _load(point: EntryPoint) -> Packaged:
    found = point.load()
    if isinstance(found, Mapping):
        return _packaged(point, tables=dict(found))
    if isinstance(found, str | Path):
        path = Path(found)
        tables = toml.load(path, str(path))
        return _packaged(point, tables=tables, folder=path.parent)
    raise RigError(f"{point.value} must be a mapping of tables or a file's path, not {type(found)}")
