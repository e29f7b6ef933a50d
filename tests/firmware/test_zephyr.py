"""The library as a module of Zephyr: what can be held without Zephyr, and the whole where it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from harness import Verdict
from harness.board.registry import Board, load_registry
from harness.board.rigfile import load_rig
from harness.firmware.failure import first_errors
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.open import OpenBoard, open_board

PROJECT = find_project()
MODULE = PROJECT.firmware / "zephyr"
APPLICATION = Path(__file__).parents[1] / "outside" / "zephyr"
LISTS = """
set(HIL_MODEL_SOURCES "${HIL_MODEL_DIR}/model.cpp" "${HIL_MODEL_DIR}/kernels.c")
set(HIL_RUNTIME_SOURCES "${HIL_FIRMWARE_DIR}/src/runtime/aot.cpp")
"""
STAND_IN = """
cmake_minimum_required(VERSION 3.20)
set(CMAKE_C_COMPILER_FORCED TRUE)
set(CMAKE_CXX_COMPILER_FORCED TRUE)
project(stands_for_zephyr LANGUAGES C CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_library(zephyr_interface INTERFACE)
target_compile_options(zephyr_interface INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-std=c++11>)
add_custom_target(zephyr_generated_headers)
function(zephyr_append_cmake_library name)
endfunction()
function(zephyr_include_directories)
endfunction()
include(configuration.cmake)
add_subdirectory("${MODULE}" module)
"""
"""Zephyr's CMake as far as the module sees it. CMake knows no features of a forced compiler."""


def configured(folder: Path, **configuration: str) -> subprocess.CompletedProcess[str]:
    """What CMake says of the module in a project with a configuration."""
    model = folder / "model"
    model.mkdir()
    (model / "hil_model.cmake").write_text(LISTS + configuration.pop("lists", ""))
    for name in ("model.cpp", "kernels.c", "kernel.cc"):
        (model / name).touch()
    (folder / "CMakeLists.txt").write_text(STAND_IN)
    lines = [f"set(CONFIG_{name} {value})\n" for name, value in configuration.items()]
    (folder / "configuration.cmake").write_text("".join(lines))
    words = ["cmake", "-S", str(folder), "-B", str(folder / "out"), f"-DMODULE={MODULE}"]
    told = {"HIL_MODEL_DIR": str(model), "HIL_BOARD_ID": "board"}
    return subprocess.run(
        words, env={**os.environ, **told}, capture_output=True, text=True, timeout=60
    )


def test_the_module_names_files_that_are_there() -> None:
    build = YAML(typ="safe").load((MODULE / "module.yml").read_text())["build"]
    assert (PROJECT.firmware / build["cmake"] / "CMakeLists.txt").is_file()
    assert (PROJECT.firmware / build["kconfig"]).is_file()


def test_every_option_that_is_asked_for_is_declared() -> None:
    declared = set(re.findall(r"^config (\w+)$", (MODULE / "Kconfig").read_text(), re.MULTILINE))
    files = [MODULE / "CMakeLists.txt", MODULE / "port.c", APPLICATION / "hil.conf"]
    text = "".join(path.read_text() for path in files)
    assert set(re.findall(r"CONFIG_(TINYML_HIL\w*)", text)) == declared


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_an_older_cpp_of_the_application_is_not_the_librarys(tmp_path: Path) -> None:
    library = 'set(HIL_LIBRARY_SOURCES "${HIL_MODEL_DIR}/kernel.cc")'
    ports = {"TINYML_HIL_PORT": "y", "TINYML_HIL_FAULT": "y"}
    done = configured(tmp_path, TINYML_HIL="y", CPP="y", lists=library, **ports)
    assert done.returncode == 0, done.stderr
    commands = json.loads((tmp_path / "out" / "compile_commands.json").read_text())
    by_name = {Path(entry["file"]).name: entry["command"].split() for entry in commands}
    assert {"linked.cpp", "aot.cpp", "model.cpp", "kernels.c", "port.c", "fault.c"} <= set(by_name)
    for name, words in by_name.items():
        standards = [word for word in words if word.startswith("-std=")]
        assert standards == ([] if name.endswith(".c") else ["-std=c++11", "-std=gnu++17"]), name
    assert [name for name, words in by_name.items() if "-w" in words] == ["kernel.cc"]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize(
    "configuration, advice",
    [
        ({"MINIMAL_LIBC": "y", "CPP": "y"}, "CONFIG_REQUIRES_FULL_LIBC=y"),
        (
            {"MINIMAL_LIBCPP": "y", "CPP": "y", "lists": "set(HIL_LIBRARY_SOURCES a.cc)"},
            "set CONFIG_REQUIRES_FULL_LIBCPP=y",
        ),
    ],
)
def test_what_the_configuration_lacks_is_said(
    configuration: dict[str, str], advice: str, tmp_path: Path
) -> None:
    done = configured(tmp_path, TINYML_HIL="y", **configuration)
    assert done.returncode != 0
    assert advice in first_errors(done.stderr)[0]


def zephyr_board(board_id: str) -> Board:
    """A board of the application; the test is skipped where it cannot be built."""
    if shutil.which("west") is None or "ZEPHYR_BASE" not in os.environ:
        pytest.skip("needs Zephyr, west and their toolchain, and ZEPHYR_BASE")
    variant = os.environ.get("ZEPHYR_TOOLCHAIN_VARIANT", "zephyr")
    if variant != "zephyr" and (variant == "cross-compile") != (board_id == "zephyr-rv32"):
        pytest.skip(f"toolchain {variant} is for another core")
    registry = load_registry()
    return load_rig(APPLICATION / "rig.toml", registry).extend(registry)[board_id]


def counted(opened: OpenBoard, invokes: int) -> NDArray[np.int64]:
    """The instructions of so many invokes, by Zephyr's clock."""
    assert (ns := opened.declared.ns_per_instruction) is not None
    sample = opened.checks.inputs[:1]
    measured = opened.dut.measure(sample, invokes)
    return measured.timer.instructions(measured.ticks, ns)


@pytest.mark.parametrize(
    "board_id, instructions",
    [("zephyr-m3", 3970), ("zephyr-an385", 3970), ("zephyr-rv32", 4798)],
)
def test_an_application_of_zephyr_answers_with_the_goldens(
    board_id: str, instructions: int
) -> None:
    board = zephyr_board(board_id)
    with open_board(board, resolve_model("sine", PROJECT.artifacts)) as opened:
        compared = opened.comparison()
        assert (compared.samples, compared.verdict) == (256, Verdict.PASS), str(compared)
        assert set(counted(opened, 1000)) == {instructions}


@pytest.mark.parametrize("board_id", ["zephyr-m3", "zephyr-an385"])
def test_an_invoke_of_zephyr_that_outlasts_systick_loses_no_time(board_id: str) -> None:
    board = zephyr_board(board_id)
    with open_board(board, resolve_model("fashion_cnn-8", PROJECT.artifacts)) as opened:
        taken = counted(opened, 20)
        # What it takes on qemu-m3, whose counter has 32 bits, and a few interrupts of Zephyr.
        assert min(taken) >= 6_844_969 and max(taken) < 6_846_000, taken
