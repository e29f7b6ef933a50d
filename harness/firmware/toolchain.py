"""Finds the cross compiler, and installs the SCons that PlatformIO needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import RigError, ToolMissing
from harness.locks import held
from harness.process import answer_of

_SCONS = "tool-scons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A cross compiler of the system. firmware/platform/toolchains.json says how it is used.

    `packages` are Debian's: compiler, libraries and the QEMU for its boards. `libraries` are the
    files that those packages bring, `folder` is the variable that names another place for it.
    """

    prefix: str
    folder: str
    packages: tuple[str, ...]
    libraries: tuple[str, ...]

    @property
    def gcc(self) -> str:
        """Name of the compiler."""
        return f"{self.prefix}-gcc"

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"sudo apt-get install -y {' '.join(self.packages)}"

    def found(self) -> str | None:
        """Path of the compiler, in the folder that the variable names or $PATH."""
        return shutil.which(self.gcc, path=os.environ.get(self.folder))

    def missing(self) -> tuple[str, ...]:
        """Those of `libraries` that the compiler does not find; all where there is no compiler."""
        gcc = self.found()
        return tuple(name for name in self.libraries if gcc is None or not _finds(gcc, name))


def _finds(gcc: str, library: str) -> bool:
    found = answer_of([gcc, f"-print-file-name={library}"])
    return found is not None and Path(found.strip()).is_absolute()


ARM = Toolchain(
    prefix="arm-none-eabi",
    folder="HIL_ARM_GCC_DIR",
    packages=(
        "gcc-arm-none-eabi",
        "libnewlib-arm-none-eabi",
        "libstdc++-arm-none-eabi-newlib",
        "qemu-system-arm",
    ),
    libraries=("libc.a", "libstdc++.a"),
)
RISCV = Toolchain(
    prefix="riscv64-unknown-elf",
    folder="HIL_RISCV_GCC_DIR",
    packages=("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf", "qemu-system-misc"),
    libraries=("picolibc.specs",),
)
TOOLCHAINS = {toolchain.prefix: toolchain for toolchain in (ARM, RISCV)}
ARM_GCC = ARM.gcc


FIRMWARE = "firmware for emulated boards"
CPP_HEADERS = "TFLite Micro on a RISC-V, for the headers of its C++ library,"
"""What a compiler is for that lends another its headers."""


@lru_cache
def gcc_version(prefix: str = ARM.prefix, needed_for: str = FIRMWARE) -> str:
    """Version of a compiler of TOOLCHAINS, as found in its folder or $PATH.

    Raises:
        ToolMissing: it is not installed.
        RigError: it is, and does not run.
    """
    toolchain = TOOLCHAINS[prefix]
    gcc = toolchain.found()
    if gcc is None:
        raise ToolMissing(toolchain.gcc, needed_for=needed_for, install=toolchain.install)
    version = answer_of([gcc, "-dumpfullversion"])
    if not version:
        raise RigError(
            f"{gcc} does not run: it does not say its version",
            hint=f"Try it by hand: {gcc} -dumpfullversion\nInstall it anew: {toolchain.install}",
        )
    return version.strip()


@lru_cache
def require(prefix: str, needed_for: str = FIRMWARE) -> None:
    """See whether a compiler of TOOLCHAINS is installed, and its libraries.

    Raises:
        ToolMissing: one of them is not.
    """
    gcc_version(prefix, needed_for)
    toolchain = TOOLCHAINS[prefix]
    if missing := toolchain.missing():
        raise ToolMissing(
            f"{missing[0]} of {toolchain.gcc}", needed_for=needed_for, install=toolchain.install
        )


def scons_package_version(version: str) -> str:
    """Version of PlatformIO's SCons package: 4.41101.0 for SCons 4.11.1."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    return f"{major}.{4}{minor:02d}{patch:02d}.0"


def seed_scons(core_dir: Path) -> Path:
    """Install PlatformIO's SCons package from the Python package `scons`, without a network.

    PlatformIO would download it otherwise. Nothing is done if it is there already.

    Returns:
        The folder of the package.

    Raises:
        ToolMissing: the Python package is not installed.
        RigError: the folder cannot be written, or another process fills it for minutes.
    """
    version = importlib.metadata.version("scons")
    folder = core_dir / "packages" / _SCONS
    if _version_in(folder) == scons_package_version(version):
        return folder
    try:
        core_dir.mkdir(parents=True, exist_ok=True)
        with held(core_dir / "hil.lock", f"{core_dir} is being filled"):
            # Another process may have done it meanwhile.
            if _version_in(folder) != scons_package_version(version):
                _seed(folder, version, core_dir / f".{_SCONS}.part")
    except OSError as error:
        raise RigError(f"cannot install SCons in {core_dir}: {error.strerror or error}") from error
    return folder


def _seed(folder: Path, version: str, making: Path) -> None:
    spec = importlib.util.find_spec("SCons")
    if spec is None or spec.origin is None:
        raise ToolMissing("SCons", needed_for="PlatformIO", install="pip install scons")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    # With its compiled modules: to compile them takes as long as to build a small firmware.
    shutil.copytree(Path(spec.origin).parent, making / "SCons")
    (making / "scons.py").write_text("import SCons.Script\n\nSCons.Script.main()\n")
    described = {
        "name": _SCONS,
        "version": scons_package_version(version),
        "description": f"SCons {version}, from the Python package",
    }
    (making / "package.json").write_text(json.dumps(described))
    owned = {
        "type": "tool",
        "name": _SCONS,
        "version": described["version"],
        "spec": {
            "owner": "platformio",
            "id": None,
            "name": _SCONS,
            "requirements": None,
            "uri": None,
        },
    }
    (making / ".piopm").write_text(json.dumps(owned))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    making.rename(folder)


def _version_in(folder: Path) -> str | None:
    """Version of an installed package; None if there is none, or it is not whole."""
    try:
        return str(json.loads((folder / ".piopm").read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
