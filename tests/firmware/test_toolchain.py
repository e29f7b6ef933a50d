from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.errors import RigError, ToolMissing
from harness.firmware.toolchain import (
    ARM,
    TOOLCHAINS,
    gcc_version,
    scons_package_version,
    seed_scons,
)
from harness.project import find_project


@pytest.mark.parametrize(
    "scons, package",
    # The packages that PlatformIO's registry holds for these releases of SCons.
    [("4.11.1", "4.41101.0"), ("4.8.1", "4.40801.0"), ("4.5.2", "4.40502.0")],
)
def test_scons_package_has_platformios_own_version(scons: str, package: str) -> None:
    assert scons_package_version(scons) == package


def test_installed_scons_is_the_one_platformio_asks_for() -> None:
    # In a process of its own: PlatformIO's import starts more than a test should.
    code = (
        "from platformio.dependencies import get_core_dependencies as asked;"
        "print(asked()['tool-scons'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"~{scons_package_version(version('scons'))}"


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_scons_is_seeded_once_and_runs(tmp_path: Path) -> None:
    folder = seed_scons(tmp_path)
    assert folder == tmp_path / "packages" / "tool-scons"
    for name in (".piopm", "package.json"):
        described = json.loads((folder / name).read_text())
        assert described["name"] == "tool-scons"
        assert described["version"] == scons_package_version(version("scons"))
    done = subprocess.run(
        [sys.executable, "-B", folder / "scons.py", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and version("scons") in done.stdout
    before = snapshot(tmp_path)
    assert seed_scons(tmp_path) == folder and snapshot(tmp_path) == before


def test_seeded_scons_of_another_version_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "tool-scons"
    folder.mkdir(parents=True)
    (folder / ".piopm").write_text('{"version": "4.40801.0"}')
    (folder / "old").write_text("")
    seed_scons(tmp_path)
    assert (folder / "SCons").is_dir() and not (folder / "old").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["tool-scons"]


def test_missing_compiler_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(tmp_path))
    gcc_version.cache_clear()
    with pytest.raises(ToolMissing) as caught:
        gcc_version()
    assert "arm-none-eabi-gcc not found; firmware for emulated boards needs it" in str(caught.value)
    assert "sudo apt-get install -y gcc-arm-none-eabi" in str(caught.value)


def test_the_builder_and_the_harness_mean_the_same_toolchains() -> None:
    platform = find_project().firmware / "platform"
    described = json.loads((platform / "toolchains.json").read_text())
    assert described.keys() == TOOLCHAINS.keys()
    for name, toolchain in TOOLCHAINS.items():
        assert described[name]["folder"] == toolchain.folder
        assert set(described[name]["packages"].split()) < set(toolchain.packages)
    for board in load_registry().boards:
        file = platform / "boards" / f"{board.id}.json"
        if file.is_file():
            build = json.loads(file.read_text())["build"]
            assert build.get("toolchain", "arm-none-eabi") == board.toolchain, board.id


def test_missing_compiler_for_risc_v_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_RISCV_GCC_DIR", str(tmp_path))
    gcc_version.cache_clear()
    with pytest.raises(ToolMissing, match="install -y gcc-riscv64-unknown-elf picolibc-riscv64"):
        gcc_version("riscv64-unknown-elf")
    gcc_version.cache_clear()


def test_compiler_is_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcc = tmp_path / "arm-none-eabi-gcc"
    gcc.write_text('#!/bin/sh\n[ "$1" = -dumpfullversion ] && echo 12.2.1\n')
    gcc.chmod(0o755)
    monkeypatch.setenv("HIL_ARM_GCC_DIR", os.fspath(tmp_path))
    gcc_version.cache_clear()
    assert gcc_version() == "12.2.1"
    gcc_version.cache_clear()


@pytest.mark.parametrize("program", ["junk", "#!/bin/sh\nexit 3\n", "#!/bin/sh\n"])
def test_compiler_that_does_not_run_is_named(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcc = tmp_path / "arm-none-eabi-gcc"
    gcc.write_text(program)
    gcc.chmod(0o755)
    monkeypatch.setenv("HIL_ARM_GCC_DIR", os.fspath(tmp_path))
    gcc_version.cache_clear()
    with pytest.raises(RigError, match="arm-none-eabi-gcc does not run") as caught:
        gcc_version()
    assert "apt-get install -y gcc-arm-none-eabi" in str(caught.value)
    assert ARM.missing() == ARM.libraries
