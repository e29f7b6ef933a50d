"""A32 code in firmware for a Cortex-M, in tiny files of Debian's assembler and linker."""

import subprocess
from pathlib import Path

import pytest

from harness.errors import AlienCode, Where
from harness.firmware.instructions import refuse_a32
from harness.firmware.toolchain import ARM_GCC

WHERE = Where(board="nano33ble", model="sine")
MAIN = "{syntax}.cpu cortex-m4\n.thumb\n.type main,%function\n.global main\nmain: bl helper\nb .\n"
OTHER = ".cpu {cpu}\n.{kind}\n{section}\n.type helper,%function\n.global helper\nhelper: bx lr\n"
SYNTAX = ".syntax unified\n"


def linked(folder: Path, *, cpu: str, kind: str, section: str = "", main: str = MAIN) -> Path:
    """A file of a `main` for Cortex-M4 and a `helper` for another CPU."""
    objects = []
    other = SYNTAX + OTHER.format(cpu=cpu, kind=kind, section=section)
    for name, source in (("main", main.format(syntax=SYNTAX)), ("other", other)):
        text, made = folder / f"{name}.s", folder / f"{name}.o"
        text.write_text(source)
        subprocess.run([ARM_GCC, "-c", text, "-o", made], check=True)
        objects.append(made)
    elf = folder / "firmware.elf"
    linker = ARM_GCC.replace("gcc", "ld")
    subprocess.run([linker, "-e", "main", *objects, "-o", elf], check=True)
    return elf


def test_a32_code_in_it_is_refused_by_name(tmp_path: Path) -> None:
    elf = linked(tmp_path, cpu="arm7tdmi", kind="arm")
    with pytest.raises(AlienCode) as caught:
        refuse_a32(elf, where=WHERE)
    assert caught.value.functions == ["helper"]
    said = str(caught.value)
    assert "A32 code, which no Cortex-M executes: helper (board nano33ble, model sine)" in said
    assert "build_unflags = -mfloat-abi=soft" in said


@pytest.mark.parametrize(("cpu", "kind"), [("cortex-m0", "thumb"), ("arm7tdmi", "thumb")])
def test_t32_code_is_not_whatever_cpu_it_was_for(tmp_path: Path, cpu: str, kind: str) -> None:
    refuse_a32(linked(tmp_path, cpu=cpu, kind=kind), where=WHERE)


def test_a32_code_is_no_fault_where_the_cpu_has_it(tmp_path: Path) -> None:
    main = MAIN.replace("cortex-m4", "arm926ej-s").replace("bl helper", "nop")
    refuse_a32(linked(tmp_path, cpu="arm7tdmi", kind="arm", main=main), where=WHERE)


def test_a_mark_that_no_code_follows_is_none(tmp_path: Path) -> None:
    """An assembler leaves marks in data too, and at the end of a section."""
    elf = linked(tmp_path, cpu="arm7tdmi", kind="arm", section='.section .rodata,"a"')
    refuse_a32(elf, where=WHERE)


def test_marks_without_names_are_told_by_address_and_only_the_first(tmp_path: Path) -> None:
    elf = linked(tmp_path, cpu="arm7tdmi", kind="arm", section="nop\n.word 1\n" * 7)
    with pytest.raises(AlienCode, match=r"0x0000[0-9a-f]{4}, .* and \d more") as caught:
        refuse_a32(elf, where=WHERE)
    assert len(caught.value.functions) == 8
    assert caught.value.functions[-1] == "helper"


def test_an_elf_without_symbols_is_let_pass(tmp_path: Path) -> None:
    elf = linked(tmp_path, cpu="arm7tdmi", kind="arm")
    subprocess.run([ARM_GCC.replace("gcc", "strip"), elf], check=True)
    refuse_a32(elf, where=WHERE)
