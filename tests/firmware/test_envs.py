"""platformio.ini against the registry, and the envs whose PlatformIO platform is at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from platformio.project.config import ProjectConfig

from harness.board.registry import Board, load_registry
from harness.firmware.build import Builder
from harness.model.resolve import resolve_model
from harness.project import find_project

PROJECT = find_project()
CONFIG = ProjectConfig(str(PROJECT.root / "platformio.ini"))
ENVS = {
    env: (board, runtime) for board in load_registry().boards for runtime, env in board.env.items()
}
PLATFORMS = {env: CONFIG.get(f"env:{env}", "platform") for env in ENVS}
ARDUINO = [env for env in ENVS if not PLATFORMS[env].startswith("symlink:")]


def test_every_env_is_some_boards_and_every_boards_env_is_there() -> None:
    assert sorted(CONFIG.envs()) == sorted(ENVS)
    assert {runtime for _, runtime in ENVS.values()} == {"aot", "tflm"}


@pytest.mark.parametrize("env", ENVS)
def test_an_env_builds_its_board_and_runtime(env: str) -> None:
    board, runtime = ENVS[env]
    flags = " ".join(CONFIG.get(f"env:{env}", "build_src_flags"))
    sources = " ".join(CONFIG.get(f"env:{env}", "build_src_filter"))
    assert f'HIL_BOARD=\\"{board.kind}\\"' in flags
    assert re.findall(r"\+<runtime/(\w+)", sources)[:1] == [runtime]


@pytest.mark.parametrize("env", ARDUINO)
def test_what_an_env_takes_from_elsewhere_is_pinned(env: str) -> None:
    assert re.fullmatch(r"\w+@\d+\.\d+\.\d+", PLATFORMS[env])
    libraries = CONFIG.get(f"env:{env}", "lib_deps")
    assert len(libraries) == (1 if ENVS[env][1] == "tflm" else 0)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@\d+\.\d+\.\d+", library) for library in libraries)


@pytest.mark.parametrize("env", [env for env in ARDUINO if PLATFORMS[env].startswith("ststm32@")])
def test_on_stm32_the_linker_traps_what_it_traps_on_boards_without_a_core(env: str) -> None:
    builder = (PROJECT.firmware / "platform" / "builder" / "main.py").read_text()
    names = re.findall(r'"(\w+)"', re.findall(r"^ALLOCATORS = (.*)", builder, re.M)[0])
    flags = " ".join(CONFIG.get(f"env:{env}", "build_flags"))
    trapped = re.findall(r"--wrap=(\w+)", flags)
    assert len(names) == 5
    assert sorted(trapped) == sorted([*names, *(f"_{name}_r" for name in names)])


@pytest.mark.parametrize("board", load_registry().boards, ids=lambda board: board.id)
def test_usb_ids_are_lower_case_hex_pairs(board: Board) -> None:
    for pair in (*board.usb, *board.bootloader_usb):
        assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", pair)
    assert bool(board.touch_baud) == bool(board.bootloader_usb)


@pytest.mark.parametrize("env", [env for env in ARDUINO if ENVS[env][1] == "aot"])
def test_the_env_builds_where_its_platform_is_installed(env: str) -> None:
    name, _, version = PLATFORMS[env].partition("@")
    installed = PROJECT.state / "platformio" / "platforms" / name / ".piopm"
    if not Path(installed).is_file():
        pytest.skip(f"PlatformIO's platform {name} {version} is not in {installed.parent.parent}")
    board, runtime = ENVS[env]
    firmware = Builder(PROJECT).build(board, runtime, resolve_model("sine", PROJECT.artifacts))
    assert board.flash_bytes is not None and board.ram_bytes is not None
    assert 0 < firmware.flash_bytes < board.flash_bytes
    assert 0 < firmware.ram_bytes < board.ram_bytes
