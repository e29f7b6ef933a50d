"""What a failed build means, in the words of the real linker."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.linking import BSS, MBED_REST, STACK, link, script

from harness.board.registry import load_registry
from harness.errors import BuildFailed, MissingKernel, TooLarge
from harness.firmware.failure import explain_failure
from harness.firmware.platformio import Job
from harness.firmware.swap import plan_swap
from harness.firmware.tflm_library import Library
from harness.model.resolve import resolve_model
from harness.project import find_project

PROJECT = find_project()
NANO = load_registry()["nano33ble"]
RAM, FLASH = 262_144, 983_040
JOB = Job(board=NANO, runtime="tflm", artifact=resolve_model("sine", PROJECT.artifacts))
VARIABLES = 62 * 4 + 4
"""Beside the arena: vectors and a counter."""

FIXED_STACK = """
  .stack ORIGIN(RAM) + LENGTH(RAM) - 0x400 (NOLOAD) : { . += 0x400; } > RAM
"""
UNALIGNED = BSS.replace(" . = ALIGN(8);", "")
PLACED = BSS.replace(".bss :", ".bss ALIGN(4) (NOLOAD) :")
LOADED_APART = script(BSS).replace("AT(__etext)", "AT(0x80000)")


def explained(log: str) -> TooLarge:
    error = explain_failure(log, JOB, "build.log")
    assert isinstance(error, TooLarge), error
    return error


@pytest.mark.parametrize(
    "said, linker_script, arena, needed",
    [
        ("cannot move location counter backwards", script(BSS + MBED_REST), 300_000, 1024),
        ("cannot move location counter backwards", script(BSS + MBED_REST), 261_200, 1024),
        ("will not fit in region `RAM'", script(BSS), 300_000, 0),
        ("region `RAM' overflowed by 1 byte\n", script(UNALIGNED), RAM - VARIABLES + 1, 0),
        (r".stack VMA .* overlaps section .bss VMA", script(BSS + FIXED_STACK), 261_200, 1024),
        # The stack lies within the region, so that it is said to overflow by nothing.
        ("region `RAM' overflowed by 0 bytes", script(BSS + FIXED_STACK), 300_000, 1024),
        (r"address 0x200494\w\w of .* is not within region `RAM'", script(PLACED), 300_000, 0),
    ],
)
def test_an_arena_too_large_for_ram_is_told_in_bytes(
    said: str, linker_script: str, arena: int, needed: int, tmp_path: Path
) -> None:
    elf, log = link(tmp_path, linker_script, arena=arena)
    assert not elf.exists() and re.search(said, log), log
    error = explained(log)
    assert (error.memory, error.available) == ("RAM", RAM)
    assert error.needed is not None
    # The sections are aligned to 8 bytes, but where the stack does not begin behind them.
    assert 0 <= error.needed - (arena + VARIABLES + needed) < 8


@pytest.mark.parametrize(
    "said, linker_script, weights",
    [
        ("region `FLASH' overflowed", script(BSS + MBED_REST), 1_000_000),
        ("section .data LMA .* overlaps section .text LMA", LOADED_APART, 500_000),
    ],
)
def test_weights_too_large_for_flash_are_told_in_bytes(
    said: str, linker_script: str, weights: int, tmp_path: Path
) -> None:
    elf, log = link(tmp_path, linker_script, weights=weights)
    assert not elf.exists() and re.search(said, log), log
    error = explained(log)
    assert (error.memory, error.available) == ("flash", FLASH)
    room = FLASH if "AT(__etext)" in linker_script else 0x80000 - 0x10000
    assert error.needed is not None
    assert 0 < error.needed - FLASH - (weights - room) < 200  # The rest of the code.


def test_both_memories_full_is_told_of_the_first(tmp_path: Path) -> None:
    _, log = link(tmp_path, script(BSS), arena=300_000, weights=1_000_000)
    assert explained(log).memory == "flash"


def test_the_emulated_boards_own_script_leads_to_the_bytes(tmp_path: Path) -> None:
    platform = PROJECT.firmware / "platform"
    sections = (platform / "sections.ld").read_text()
    text = (platform / "mps2.ld").read_text().replace("INCLUDE sections.ld", sections)
    board = load_registry()["qemu-m4"]
    assert board.ram_bytes is not None
    for arena in (board.ram_bytes - 100, board.ram_bytes + 100):  # Into the stack, and over it.
        _, log = link(tmp_path, text.replace("ENTRY(ResetHandler)", ""), arena=arena)
        error = explain_failure(log, replace(JOB, board=board), "build.log")
        assert isinstance(error, TooLarge) and error.memory == "RAM", log
        assert error.needed is not None
        assert 0 <= error.needed - (arena + VARIABLES + STACK) < 16


def test_a_nano_33_bles_own_words_are_understood() -> None:
    log = (
        "arm-none-eabi/bin/ld:/x/linker_script.ld:138 cannot move location counter backwards "
        "(from 20054570 to 2003fc00)\ncollect2: error: ld returned 1 exit status\n"
    )
    error = explained(log)
    assert (error.memory, error.needed, error.available) == ("RAM", 0x54970, RAM)
    assert "takes 346480 bytes of RAM, the board has 262144: 84336 too many" in str(error)


@pytest.mark.parametrize(
    "log, memory",
    [
        ("ld: region RAM overflowed", "RAM"),  # ASSERT in the script of mbed's RP2040
        ("ld: a.elf section `.text' will not fit in region `FLASH'", "flash"),
        ("ld: address 0x3ffe0010 of a.elf section `.bss' is not within region `dram0'", "RAM"),
    ],
)
def test_what_the_linker_does_not_number_is_not_made_up(log: str, memory: str) -> None:
    error = explained(log)
    assert error.memory == memory and error.needed is None
    assert f"does not fit into the board's {error.available} bytes of {memory}" in str(error)


def test_a_memory_of_unknown_size_leaves_what_the_linker_said() -> None:
    job = replace(JOB, board=replace(NANO, ram_bytes=None))
    error = explain_failure("ld: region `RAM' overflowed by 8 bytes", job, "build.log")
    assert isinstance(error, BuildFailed) and "overflowed by 8 bytes" in str(error)


def test_a_kernel_that_one_of_several_models_needs_is_named() -> None:
    models = [resolve_model(name, PROJECT.artifacts) for name in ("sine", "fashion_cnn-8")]
    library = Library(name="tflm", version="1", cannot=())
    job = replace(JOB, library=library, swap=plan_swap(models, arena_bytes=1000))
    assert job.artifact.model == "sine"
    log = "operators_tflm.cpp:34: undefined reference to `tflite::Register_CONV_2D()'\n"
    error = explain_failure(log, job, "build.log")
    assert isinstance(error, MissingKernel)
    assert error.operators == ("CONV_2D",)
