"""Compiler and flags of a build, as firmware/provenance.py reports them."""

import re
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes.sources import changed_sources, copied_sources

from harness.board.registry import load_registry
from harness.firmware.build import Builder, Firmware
from harness.firmware.toolchain import ARM_GCC, gcc_version
from harness.model.resolve import resolve_model
from harness.project import find_project

PROJECT = find_project()
QEMU_M4 = load_registry()["qemu-m4"]
SINE = resolve_model("sine", PROJECT.artifacts)


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return Builder(PROJECT).build(QEMU_M4, "aot", SINE)


def test_a_build_names_its_compiler_and_what_changes_its_code(firmware: Firmware) -> None:
    assert firmware.compiler == f"{ARM_GCC} {gcc_version()}"
    flags = firmware.flags.split()
    assert {"-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-O2", "-std=c11"} <= set(flags)
    assert flags.index("C:") < flags.index("-std=c11") < flags.index("C++:")


def test_paths_names_warnings_and_debugging_are_no_flags_of_the_code(firmware: Firmware) -> None:
    assert "/" not in firmware.flags and "\n" not in firmware.flags
    assert firmware.build_id not in firmware.flags and QEMU_M4.id not in firmware.flags
    assert not {"-g", "-Wall", "-Werror"} & set(firmware.flags.split())


def test_another_clone_has_the_same_compiler_and_flags(firmware: Firmware, tmp_path: Path) -> None:
    other = Builder(copied_sources(tmp_path)).build(QEMU_M4, "aot", SINE)
    assert (other.compiler, other.flags) == (firmware.compiler, firmware.flags)


def test_another_optimization_is_another_set_of_flags(firmware: Firmware, tmp_path: Path) -> None:
    script, changed = "firmware/platform/builder/main.py", '"-O1", "-Wno-psabi", "-DNDEBUG"'
    project = changed_sources(tmp_path, script, '"-O2"', changed)
    other = Builder(project).build(QEMU_M4, "aot", SINE)
    assert other.flags.split()[-1] == "-DNDEBUG"
    assert other.flags.split()[:-1] == [
        "-O1" if word == "-O2" else word for word in firmware.flags.split()
    ]


def test_the_generated_model_is_compiled_to_the_standard_of_the_sources(tmp_path: Path) -> None:
    """As on Arduino cores, which compile their own sources to another one."""
    flags = "\nflags = -Wall"
    newer = flags.replace("=", "= -std=gnu++20")
    project = changed_sources(tmp_path, "platformio.ini", flags, newer)
    elf = Builder(project).build(QEMU_M4, "aot", SINE).elf
    assert {standard(elf, name) for name in ("main.cpp", "model_aot.cpp")} == {"-std=gnu++20"}


def standard(elf: Path, source: str) -> str:
    """The standard that a source was compiled to, as the debug information has it."""
    with elf.open("rb") as file:
        tops = [unit.get_top_DIE() for unit in ELFFile(file).get_dwarf_info().iter_CUs()]
        named = [
            top
            for top in tops
            if top.attributes["DW_AT_name"].value.endswith(f"/{source}".encode())
        ]
        producer = str(named[0].attributes["DW_AT_producer"].value)
    return re.findall(r"-std=\S+", producer)[-1]


def test_a_build_that_was_kept_still_says_how_it_was_made(firmware: Firmware) -> None:
    again = Builder(PROJECT).build(QEMU_M4, "aot", SINE)
    assert (again.compiler, again.flags) == (firmware.compiler, firmware.flags)
