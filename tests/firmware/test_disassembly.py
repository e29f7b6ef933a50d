"""The names of instructions by objdump, also those that QEMU does not know."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.firmware.disassembly import disassembled, named_by
from harness.firmware.toolchain import ARM_GCC
from harness.measure.counts import Executed

LINES = (
    *("vldrb.u8 q0, [r3], #16", "vmlava.s8 r2, q0, q1", "vctp.16 r6", "vadd.f32 s0, s1, s2"),
    *("dls lr, r3", "push {r4, lr}", "smlad r0, r1, r2, r3", "vstrw.32 q5, [r2]", "bx lr"),
)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disassembled")
    source, made = folder / "a.s", folder / "a.elf"
    body = "\n".join(LINES)
    source.write_text(f".syntax unified\n.thumb\n.type f,%function\nf: {body}\n.word 0x2f20eef1\n")
    flags = ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-nostdlib", "-Wl,-Ttext=0", "-Wl,-e,0")
    subprocess.run([ARM_GCC, *flags, source, "-o", made], check=True)
    return made


def test_each_instruction_has_the_name_that_it_was_assembled_by(elf: Path) -> None:
    known = [text for _, (_, text) in sorted(disassembled(elf).items())]
    names = [text.split()[0] for text in known]
    assert [name.replace("vldrb.8", "vldrb.u8") for name in names[:-1]] == [
        line.split()[0] for line in LINES
    ]
    assert names[-1] == ".word"
    assert known[1] == "vmlava.s8 r2, q0, q1"


def test_what_was_executed_gets_the_name_of_what_lies_there(elf: Path) -> None:
    known = disassembled(elf)
    at = Executed(address=0, size=4, opcode=known[0][0], text=".byte 0xb3, 0xec", count=7, taken=0)
    other, elsewhere = replace(at, opcode=0xBF00), replace(at, address=0x1000)
    named, *rest = named_by(known, (at, other, elsewhere))
    assert (named.mnemonic, named.count) == ("vldrb.u8", 7)
    assert rest == [other, elsewhere]


def test_without_an_objdump_nothing_is_known(elf: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HIL_ARM_GCC_DIR", str(tmp_path))
    assert disassembled(elf) == {}
    gcc = tmp_path / ARM_GCC
    gcc.write_text("#!/bin/sh\n")
    gcc.chmod(0o755)
    assert disassembled(elf) == {}
    broken = tmp_path / ARM_GCC.replace("gcc", "objdump")
    broken.write_text("#!/bin/sh\necho 'supplied machine unknown' >&2; exit 1\n")
    broken.chmod(0o755)
    assert disassembled(elf) == {}
