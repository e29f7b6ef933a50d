"""Who uploads firmware to a board: PlatformIO, pyOCD, or the command that the board names."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from harness.board.own import filled
from harness.board.ports import SerialPort
from harness.board.registry import Board
from harness.errors import FlashFailed, RigError, Where
from harness.firmware.build import Firmware
from harness.names import PORT_RULE, SERIAL_RULE, is_port, is_serial_number
from harness.process import run
from harness.project import Project
from harness.rig.flash import PlatformioUploader, Uploader, upload_failed
from harness.rig.probe import probe_uid
from harness.text import printable


def uploader_for(board: Board, project: Project) -> Uploader:
    """The board's own command, else pyOCD for firmware that is not ours, else PlatformIO."""
    if board.flash is not None or board.build is not None:
        return CommandUploader(project)
    return PlatformioUploader(project)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    command: list[str]
    folder: Path


class CommandUploader:
    """Uploads by a command, which no shell reads."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __call__(
        self, board: Board, firmware: Firmware, port: SerialPort, timeout_s: float
    ) -> None:
        upload = upload_by(board, firmware.elf, port)
        place = self._project.state / "upload"
        place.mkdir(parents=True, exist_ok=True)
        log = place / f"{board.id}.log"
        try:
            status = run(upload.command, log, folder=upload.folder, timeout_s=timeout_s)
        except TimeoutExpired:
            what = f"took longer than {timeout_s:g} s"
            raise upload_failed(board, port, what, log) from None
        if status:
            raise upload_failed(board, port, f"ended with status {status}", log)


def upload_by(board: Board, elf: Path, port: SerialPort) -> _Upload:
    """The command that uploads an ELF file to the board at a port, and its folder.

    Raises:
        RigError: the port or the serial number is none that may be in a command; or the command
            names the serial number, which is not known; or the project's folder is not there.
        FlashFailed: nothing says how the board is flashed.
    """
    where = Where(board=board.id, port=port.path)
    folder = Path(board.home, board.build.project if board.build else ".").absolute()
    if not folder.is_dir():
        raise RigError(f"cannot upload from {printable(str(folder))}: no such folder", where=where)
    serial_number = _serial_number(board, port, where)
    values = {
        "project": str(folder),
        "elf": str(elf.absolute()),
        "port": _port(port, where),
        "serial_number": serial_number,
        "probe_uid": probe_uid(serial_number),
    }
    if board.flash is not None:
        return _Upload(command=filled(board.flash.command, values), folder=folder)
    if board.probe is None:
        raise FlashFailed(
            "nothing says how the board is flashed",
            phase="upload",
            where=where,
            hint="Give it `flash`, a command, or `probe`, pyOCD's name of its chip: see "
            "docs/boards.md. Or flash it yourself and take --flash never.",
        )
    command = [sys.executable, "-m", "pyocd", "load", "--no-wait", "--target", board.probe]
    uid = ["--uid", values["probe_uid"]] if serial_number else []
    return _Upload(command=[*command, *uid, values["elf"]], folder=folder)


def _port(port: SerialPort, where: Where) -> str:
    if not is_port(port.path):
        raise RigError(
            f"the port {printable(port.path)!r} cannot be given to an uploader",
            where=where,
            hint=f"It must be {PORT_RULE}. Name the port by another link to it.",
        )
    return port.path


def _serial_number(board: Board, port: SerialPort, where: Where) -> str:
    """Of the board's port; empty where it is not known and not needed."""
    found = port.serial_number or ""
    if found and not is_serial_number(found):
        raise RigError(
            f"the serial number {printable(found, 40)!r} cannot be given to an uploader: it must "
            f"be {SERIAL_RULE}",
            where=where,
        )
    if not found and board.flash is not None and board.flash.needs_serial_number:
        raise RigError(
            "the board's upload command names its USB serial number, which is not known",
            where=where,
            hint="A port without one needs a command that names {port}, or nothing.",
        )
    return found
