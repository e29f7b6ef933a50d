"""Checks for a bench rig with real boards: the machine is looked at once, then judged.

The points are those of docs/rig.md.
"""

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
from harness.board.ports import Listing, find_port, in_bootloader, list_serial_ports
from harness.board.registry import Board, Registry
from harness.board.rigfile import Plugged, RigFile, load_rig
from harness.board.runtimes import TFLM
from harness.board.udev import (
    INSTALL_RULES,
    RULES_FILE,
    SERIAL_GROUP,
    brltty_rules,
    names_usb,
    udev_rules,
)
from harness.errors import BoardNotFound, RigError
from harness.firmware.fetch import registry_answers
from harness.firmware.platformio import pio_environment
from harness.pool.hold import Pool
from harness.project import Project
from harness.rig.doctor import Finding
from harness.rig.doctor_meters import MeterSeen, look_at_meters, meter_findings
from harness.rig.doctor_pool import PoolSeen, look_at_pool, place_finding, pool_findings
from harness.rig.power_switches import INSTALL_UHUBCTL, UHUBCTL

RIG_FILE_VARIABLE = "HIL_RIG"
_MODEM_MANAGER = "ModemManager"
_RUNNER = "Runner.Listener"
_REACH_S = 2.0
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
            board.id: UHUBCTL if board.power else shlex.split(board.power_cycle or "")[0]
            for board in self.file.boards
            if board.power or board.power_cycle
        }


def _serial_permission(fleet: Fleet, machine: Machine) -> Finding:
    known = {
        usb_id for board in fleet.registry.boards for usb_id in (*board.usb, *board.bootloader_usb)
    }
    seen = [port.path for port in machine.ports if port.usb in known]
    shut = [path for path in seen if path in machine.shut]
    member = SERIAL_GROUP in machine.groups or machine.user == "root"
    if shut:
        detail = f"{machine.user} may not open {', '.join(shut)}"
    elif seen:
        detail = f"{machine.user} may open {', '.join(seen)}"
    else:
        detail = f"{machine.user} is {'' if member else 'not '}root or in group {SERIAL_GROUP}"
    return Finding(
        point="serial permission",
        ok=not shut and (bool(seen) or member),
        detail=detail,
        cure=f"sudo usermod -aG {SERIAL_GROUP} {machine.user}, then log in again",
        needed=bool(fleet.attached),
    )


def _udev_rules(fleet: Fleet, machine: Machine) -> Finding:
    current = machine.rules == udev_rules(fleet.registry)
    stale = "not installed" if machine.rules is None else f"{RULES_FILE} is of another version"
    return Finding(
        point="udev rules",
        ok=current,
        detail=str(RULES_FILE) if current else stale,
        cure=INSTALL_RULES,
        needed=bool(fleet.attached),
    )


def _modem_manager(fleet: Fleet, machine: Machine) -> Finding:
    running = _MODEM_MANAGER in machine.processes
    told = machine.rules == udev_rules(fleet.registry)
    if not running:
        detail = "not running"
    elif told:
        detail = "running; the udev rules keep it off the boards"
    else:
        detail = "running: it sends AT commands to new ports and holds them meanwhile"
    return Finding(
        point=_MODEM_MANAGER,
        ok=not running or told,
        detail=detail,
        cure=f"{INSTALL_RULES}, or: sudo systemctl disable --now {_MODEM_MANAGER}",
        needed=bool(fleet.attached),
    )


def _brltty(fleet: Fleet, machine: Machine) -> Finding:
    """Ubuntu's brltty takes common USB bridges for braille displays: their port vanishes."""
    ids = sorted({usb_id for _, board in fleet.attached for usb_id in board.usb})
    found = {
        path: [usb_id for usb_id in ids if names_usb(rules, usb_id)]
        for path, rules in machine.brltty.items()
    }
    taken = sorted({usb_id for usb_ids in found.values() for usb_id in usb_ids})
    masks = " ".join(f"/etc/udev/rules.d/{path.name}" for path in found if found[path])
    if taken:
        detail = f"its rules take {', '.join(taken)} for a braille display: the port vanishes"
    else:
        detail = "takes no board of the rig" if found else "not installed"
    return Finding(
        point="brltty",
        ok=not taken,
        detail=detail,
        cure="sudo apt-get remove -y brltty; or, where a braille display is used: "
        f"for rules in {masks}; do sudo ln -sf /dev/null $rules; done; "
        "sudo udevadm control --reload",
        needed=bool(taken),
    )


def _power_switching(fleet: Fleet, machine: Machine) -> Finding:
    programs = fleet.power_programs
    lacking = {board: name for board, name in programs.items() if name not in machine.programs}
    if lacking:
        detail = "; ".join(
            f"{name} not found, for board {board}" for board, name in lacking.items()
        )
    else:
        detail = ", ".join(sorted(set(programs.values()))) or "no board has power or power_cycle"
    return Finding(
        point="power switching",
        ok=bool(programs) and not lacking,
        detail=detail,
        cure=f"{INSTALL_UHUBCTL}, or correct power_cycle in the rig file",
        needed=bool(lacking),
    )


def _packages(fleet: Fleet, machine: Machine) -> Finding:
    absent = machine.absent_packages
    if not absent:
        detail = f"all there for {', '.join(fleet.envs) or 'no board of a rig'}"
    elif machine.online:
        detail = f"the first build fetches: {', '.join(absent)}"
    else:
        detail = f"no network to fetch: {', '.join(absent)}"
    return Finding(
        point="PlatformIO packages",
        ok=not absent or machine.online,
        detail=detail,
        cure="copy the state folder's platformio/ from a rig that has them",
    )


def _tflm(fleet: Fleet, machine: Machine) -> Finding:
    users = [
        board.id for _, board in fleet.boards if board.takes_firmware and TFLM in board.runtimes
    ]
    if machine.tflm:
        detail = machine.tflm
    elif machine.online:
        detail = "the first build fetches it"
    else:
        detail = f"not found, and no network; for {', '.join(users)}" if users else "not found"
    return Finding(
        point="TFLM library",
        ok=machine.tflm is not None or machine.online,
        detail=detail,
        cure="put it on this machine and name its folder: --hil-tflm DIR or HIL_TFLM",
        needed=bool(users),
    )


def _runner(fleet: Fleet, machine: Machine) -> Finding:
    running = _RUNNER in machine.processes
    return Finding(
        point="GitHub runner",
        ok=running,
        detail="running" if running else "not running: no nightly on this machine",
        cure="in the runner's folder: sudo ./svc.sh install $USER && sudo ./svc.sh start",
        needed=False,
    )


def _rig_file(file: RigFile) -> Finding:
    return Finding(
        point="rig file",
        ok=file.path is not None,
        detail=f"{file.path}: {len(file.boards)} boards" if file.path else "none given",
        cure=f"write one like docs/rig.example.toml; give it by --rig or ${RIG_FILE_VARIABLE}",
        needed=False,
    )


def _board(fleet: Fleet, plugged: Plugged, board: Board, machine: Machine) -> Finding:
    """Whether a board is there now, as the rig file describes it."""
    point = f"board {board.id}"
    if plugged.pooled is not None:
        return place_finding(point, plugged.pooled, machine.pool)
    try:
        port = find_port(board, plugged, machine.ports, neighbours=fleet.file.neighbours(board.id))
    except BoardNotFound as error:
        cure = f"{error.hint}\nOr plug it in: hil boards --watch shows what appears"
        return Finding(point=point, ok=False, detail=error.what, cure=cure)
    if port not in machine.ports and port.path not in machine.answering:
        return Finding(point=point, ok=False, detail=f"nothing at {port.path}", cure="plug it in")
    if in_bootloader(board, port):
        detail = f"in its bootloader on {port.path}"
        return Finding(point=point, ok=False, detail=detail, cure=f"hil flash --board {board.id}")
    return Finding(point=point, ok=True, detail=port.path)


def judge_machine(fleet: Fleet, machine: Machine) -> list[Finding]:
    """All checks of a rig; those for real boards are needed only if the rig file has some."""
    return [
        _serial_permission(fleet, machine),
        _udev_rules(fleet, machine),
        _modem_manager(fleet, machine),
        _brltty(fleet, machine),
        _power_switching(fleet, machine),
        _rig_file(fleet.file),
        *(_board(fleet, plugged, board, machine) for plugged, board in fleet.real),
        *meter_findings(machine.meters),
        *pool_findings(machine.pool, used=fleet.uses_pool),
        _packages(fleet, machine),
        _tflm(fleet, machine),
        _runner(fleet, machine),
    ]


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
        return Path(port).exists()
    url = urlsplit(port)
    try:
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
    done = subprocess.run(
        [sys.executable, "-c", _PACKAGES_SCRIPT, *envs],
        cwd=project.root,
        env=pio_environment(project, project.state / "doctor", project.state / "doctor"),
        capture_output=True,
        text=True,
    )
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


def examine_rig(
    path: Path | None,
    registry: Registry,
    project: Project,
    tflm: Path | None,
    pool: Pool | None = None,
) -> list[Finding]:
    """All checks of this machine as a rig; a rig file that cannot be read is one that failed."""
    broken: list[Finding] = []
    try:
        file = load_rig(path, registry)
    except RigError as error:
        cure = "correct it; docs/rig.example.toml shows every key"
        broken = [Finding(point="rig file", ok=False, detail=error.what, cure=cure)]
        file = RigFile()
    fleet = Fleet(file=file, registry=registry)
    findings = judge_machine(fleet, look(fleet, project, tflm, pool or Pool()))
    return [item for item in findings if not broken or item.point != "rig file"] + broken
