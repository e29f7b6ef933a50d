"""A bench rig as it is found: the boards of its rig file, and what this machine has."""

from __future__ import annotations

import grp
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.board.lock import user_name
from harness.board.ports import Listing, list_serial_ports
from harness.board.registry import Board, Registry
from harness.board.rigfile import Plugged, RigFile
from harness.board.udev import RULES_FILE, brltty_rules
from harness.errors import RigError
from harness.firmware.fetch import registry_answers
from harness.firmware.platformio import pio_environment
from harness.pool.hold import Pool
from harness.project import Project
from harness.rig.doctor_meters import MeterSeen, look_at_meters
from harness.rig.doctor_pool import PoolSeen, look_at_pool
from harness.rig.power_switches import UHUBCTL

_REACH_S = 2.0
_LISTS_S = 120.0
"""For PlatformIO to list the packages of a few environments, which takes it a second."""
_TFLM_MARK = Path("tensorflow/lite/micro/micro_interpreter.h")
# PlatformIO is asked, since only a platform's own code knows what it adds for a framework.
_PACKAGES_SCRIPT = """
import json, sys
from platformio.platform.exception import UnknownPlatform
from platformio.platform.factory import PlatformFactory
from platformio.project.config import ProjectConfig

absent = []
for env in sys.argv[1:]:
    if ProjectConfig.get_instance().get(f"env:{env}", "platform").startswith("symlink://"):
        continue
    try:
        platform = PlatformFactory.from_env(env, targets=["upload"])
    except UnknownPlatform as error:
        absent.append(f"{env}: {error}")
        continue
    for name, options in platform.packages.items():
        if not options.get("optional") and platform.get_package(name) is None:
            absent.append(f"{env}: {name}")

print(json.dumps(absent))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was seen of this machine.

    `shut` are the paths of ports that this user may not open. `rules` is the text of the installed
    udev rules, `brltty` of those that give USB devices to a braille display's program, by file.
    `processes` are the names of running processes, `programs` of installed
    power-cycle programs. `answering` are the rig file's ports that are there.
    `absent_packages` are PlatformIO's for this rig's boards, `online` whether it could fetch them
    (not asked without boards), `tflm` where TFLite Micro's sources are, `pool` what was seen
    of a pool, and `meters` what each meter of the rig file said.
    """

    user: str
    groups: frozenset[str]
    ports: Listing
    shut: frozenset[str]
    rules: str | None
    brltty: Mapping[Path, str]
    processes: frozenset[str]
    programs: frozenset[str]
    answering: frozenset[str]
    absent_packages: tuple[str, ...]
    online: bool
    tflm: str | None
    pool: PoolSeen = PoolSeen()
    meters: tuple[MeterSeen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A rig file's boards, each with what the registry knows of it."""

    file: RigFile
    registry: Registry

    @property
    def boards(self) -> list[tuple[Plugged, Board]]:
        """All boards of the rig file, in its order, each with its registry entry."""
        known = self.file.extend(self.registry)
        return [(plugged, known[plugged.id]) for plugged in self.file.boards]

    @property
    def real(self) -> list[tuple[Plugged, Board]]:
        """Boards that are neither emulated nor virtual, here or behind a URL."""
        return [(plugged, board) for plugged, board in self.boards if not board.emulated]

    @property
    def attached(self) -> list[tuple[Plugged, Board]]:
        """Boards on a port of this machine."""
        return [
            (plugged, board)
            for plugged, board in self.real
            if "://" not in (plugged.port or "") and plugged.pooled is None
        ]

    @property
    def uses_pool(self) -> bool:
        """Whether a board is a place of a pool."""
        return any(board.pooled is not None for board in self.file.boards)

    @property
    def envs(self) -> list[str]:
        """PlatformIO environments that its firmware is built with."""
        return sorted({env for _, board in self.boards for env in board.env.values()})

    @property
    def power_programs(self) -> dict[str, str]:
        """By board, the program that switches its power."""
        return {
            board.id: UHUBCTL if board.power else _program(board.power_cycle or "")
            for board in self.file.boards
            if board.power or board.power_cycle
        }


def _program(command: str) -> str:
    """What a shell's command line starts, as far as its words tell."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # Quotes that are not closed: the shell will say so.
        words = command.split()
    return next((word for word in words if "=" not in word), command)


def _groups() -> Iterator[str]:
    for number in {os.getegid(), *os.getgroups()}:
        try:
            yield grp.getgrgid(number).gr_name
        except KeyError:
            continue


def _processes() -> Iterator[str]:
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            yield comm.read_text().strip()
        except OSError:  # ended meanwhile
            continue


def answers(port: str) -> bool:
    """Whether a path exists, or a server listens behind a URL."""
    if "://" not in port:
        return os.path.exists(port)
    try:
        url = urlsplit(port)
        socket.create_connection((url.hostname or "", url.port or 0), timeout=_REACH_S).close()
    except (OSError, ValueError):
        return False
    return True


def _read_rules() -> str | None:
    try:
        return RULES_FILE.read_text()
    except OSError:
        return None


def find_packages(project: Project, envs: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Packages that PlatformIO environments lack, and whether its registry can be reached."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PACKAGES_SCRIPT, *envs],
            cwd=project.root,
            env=pio_environment(project, project.state / "doctor", project.state / "doctor"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LISTS_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RigError(f"PlatformIO does not list its packages within {_LISTS_S:g} s") from error
    if done.returncode:
        raise RigError("PlatformIO cannot list its packages", hint=done.stderr.strip()[-500:])
    absent = json.loads(done.stdout.splitlines()[-1])
    return tuple(absent), bool(envs) and registry_answers()


def find_tflm(given: Path | None, project: Project) -> str | None:
    """Folder with TFLM's sources: the one given, else one of an earlier build; None if none."""
    libraries = project.state.glob("build/*/pio/libdeps/*/*")
    for folder in [given] if given else sorted(libraries):
        if any((root / _TFLM_MARK).is_file() for root in (folder, folder / "src")):
            return str(folder)
    return None


def look(fleet: Fleet, project: Project, tflm: Path | None, pool: Pool) -> Machine:
    """Collect what `judge_machine` needs to know; changes nothing."""
    absent, online = find_packages(project, fleet.envs)
    named = {board.port for board in fleet.file.boards if board.port}
    listing = list_serial_ports()
    return Machine(
        user=user_name(),
        groups=frozenset(_groups()),
        ports=listing,
        shut=frozenset(p.path for p in listing if not os.access(p.path, os.R_OK | os.W_OK)),
        rules=_read_rules(),
        brltty=brltty_rules(),
        processes=frozenset(_processes()),
        programs=frozenset(name for name in fleet.power_programs.values() if shutil.which(name)),
        answering=frozenset(port for port in named if answers(port)),
        absent_packages=absent,
        online=online,
        tflm=find_tflm(tflm, project),
        pool=look_at_pool(pool, used=fleet.uses_pool),
        meters=look_at_meters(fleet.file.boards),
    )
