"""Checks for a bench rig with real boards: the machine is looked at once, then judged.

The points are those of docs/rig.md.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.board.ports import find_port, in_bootloader
from harness.board.registry import Board, Registry
from harness.board.rigfile import Plugged, RigFile, load_rig
from harness.board.runtimes import TFLM
from harness.board.udev import INSTALL_RULES, RULES_FILE, SERIAL_GROUP, names_usb, udev_rules
from harness.errors import BoardNotFound, RigError
from harness.pool.hold import Pool
from harness.project import Project
from harness.rig.doctor import Finding
from harness.rig.doctor_machine import Fleet, Machine, look
from harness.rig.doctor_meters import meter_findings
from harness.rig.doctor_pool import place_finding, pool_findings
from harness.rig.power_switches import INSTALL_UHUBCTL
from harness.text import printable

RIG_FILE_VARIABLE = "HIL_RIG"
_MODEM_MANAGER = "ModemManager"
_RUNNER = "Runner.Listener"


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


def _install_rules(fleet: Fleet) -> str:
    """The command that installs the rules, with the rig file where that has boards of its own."""
    if not fleet.file.own:
        return INSTALL_RULES
    path = shlex.quote(printable(str(fleet.file.path)))
    return INSTALL_RULES.replace("hil udev", f"hil udev --rig {path}", 1)


def _rules_are_current(fleet: Fleet, machine: Machine) -> bool:
    return machine.rules == udev_rules(fleet.registry, fleet.file.own)


def _udev_rules(fleet: Fleet, machine: Machine) -> Finding:
    current = _rules_are_current(fleet, machine)
    stale = "not installed" if machine.rules is None else f"{RULES_FILE} is of another version"
    return Finding(
        point="udev rules",
        ok=current,
        detail=str(RULES_FILE) if current else stale,
        cure=_install_rules(fleet),
        needed=bool(fleet.attached),
    )


def _modem_manager(fleet: Fleet, machine: Machine) -> Finding:
    running = _MODEM_MANAGER in machine.processes
    told = _rules_are_current(fleet, machine)
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
        cure=f"{_install_rules(fleet)}, or: sudo systemctl disable --now {_MODEM_MANAGER}",
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
        "sudo udevadm control --reload\nThen plug the boards in again.",
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
        cure="put it on this machine and name its folder: --hil-tflm=DIR or HIL_TFLM",
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
