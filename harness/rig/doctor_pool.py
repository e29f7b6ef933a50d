"""Checks of a pool: labgrid's client, its coordinator, the places of the rig file's boards."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.board.place import PlaceSpec
from harness.errors import PoolError, ToolMissing
from harness.pool.answers import Place, parse_places
from harness.pool.hold import Pool
from harness.pool.labgrid import CLIENT, VERSION, install_command
from harness.process import run_told
from harness.rig.doctor import Finding
from harness.text import listed, printable

_FORK = "pyserial-labgrid"
_ASKS_S = 20.0
_VERSION_OF = "import importlib.metadata as m; print(m.version('labgrid'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    """What was seen of a pool.

    `program` is labgrid's client, None where there is none, and `version` of labgrid, empty where
    that is not known. `places` is None where the coordinator was not asked, or did not answer:
    `problem` says why, `cure` what to do. `fork` says that labgrid's pyserial is in the
    environment of the harness.
    """

    program: str | None = None
    version: str = ""
    places: tuple[Place, ...] | None = None
    problem: str = ""
    cure: str = ""
    fork: bool = False


def look_at_pool(pool: Pool, *, used: bool) -> PoolSeen:
    """See what there is; the coordinator is asked only where the pool is `used`."""
    fork = _has_fork()
    try:
        labgrid = pool.labgrid()
    except ToolMissing as error:
        return PoolSeen(problem=error.what, cure=error.install, fork=fork)
    seen = PoolSeen(
        program=str(labgrid.program), version=_version_beside(labgrid.program), fork=fork
    )
    if not used:
        return seen
    try:
        places = parse_places(labgrid.call("-v", "places", timeout_s=_ASKS_S))
    except PoolError as error:
        return PoolSeen(
            program=seen.program,
            version=seen.version,
            problem=error.what,
            cure=error.hint,
            fork=fork,
        )
    return PoolSeen(program=seen.program, version=seen.version, places=places, fork=fork)


def pool_findings(seen: PoolSeen, *, used: bool) -> Iterator[Finding]:
    """The points of a pool, needed where the rig file has boards of one."""
    yield Finding(
        point="labgrid",
        ok=seen.program is not None,
        detail=f"{seen.version or 'of unknown version'}, {seen.program}"
        if seen.program
        else f"{CLIENT} not found",
        cure=install_command(),
        needed=used,
    )
    yield Finding(
        point="labgrid coordinator",
        ok=seen.places is not None,
        detail=_coordinator(seen),
        cure=seen.cure if seen.program else "",
        needed=used,
    )
    yield Finding(
        point="pyserial",
        ok=not seen.fork,
        detail=f"{_FORK} has taken its place" if seen.fork else "is the real one",
        cure=f"pip uninstall -y {_FORK} labgrid && pip install --force-reinstall pyserial; "
        f"labgrid has its own environment: {install_command()}",
    )


def _coordinator(seen: PoolSeen) -> str:
    if seen.places is None:
        return seen.problem or f"not asked: no board of the rig is a place; tried with {VERSION}"
    free = sum(not place.holder for place in seen.places)
    return f"{len(seen.places)} places, {free} free"


def place_finding(point: str, wanted: PlaceSpec, seen: PoolSeen) -> Finding:
    """Whether the pool has a place for a board, and who holds it."""
    if seen.places is None:
        return Finding(point=point, ok=False, detail="the pool was not asked", cure="see labgrid")
    fitting = [place for place in seen.places if place.fits(wanted)]
    if not fitting:
        names = listed([printable(place.name, 60) for place in seen.places], 20) or "none"
        return Finding(
            point=point,
            ok=False,
            detail=f"the pool has no place {wanted}",
            cure=f"its places: {names}; docs/pool.md says how one is made",
        )
    told = [place.told(datetime.now()) for place in fitting]
    return Finding(point=point, ok=True, detail=f"place {listed(told, 5)}")


def _has_fork() -> bool:
    try:
        importlib.metadata.version(_FORK)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _version_beside(program: Path) -> str:
    """Of labgrid in the environment of its client; empty where that has no Python of its own."""
    python = program.resolve().with_name("python")
    if not python.exists():
        return ""
    try:
        status, said = run_told([str(python), "-I", "-c", _VERSION_OF], timeout_s=_ASKS_S)
    except subprocess.TimeoutExpired:
        return ""
    return "" if status else printable(said, 40)
