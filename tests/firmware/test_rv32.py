"""Code that a RISC-V does not have: gas says which core has each instruction."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes.numbered import numbers_at

from harness.errors import CoreLacks, RigError, Where
from harness.firmware.instructions import features_of, refuse_for_core, uses_beyond
from harness.firmware.rv32 import named
from harness.firmware.toolchain import RISCV

# Never skipped where CI runs: .ci/run installs it, and without it that is an error.
pytestmark = pytest.mark.skipif(
    shutil.which(RISCV.gcc) is None and not os.environ.get("CI"),
    reason=f"{RISCV.gcc} is not installed",
)
WHERE = Where(board="qemu-rv32", model="sine")

# One of each form that harness/firmware/rv32.py tells apart, for gas to say which core has it; none
# that gas would compress.
LINES = """
lui a0, 0x12345 | auipc a0, 1 | jal t0, 1f | jalr t1, a1 | beq a0, a1, 1f | bgeu a0, a1, 1f
lb a0, (a1) | lhu a0, (a1) | lw a0, 2000(a1) | sb a0, (a1) | sh a0, (a1) | sw a0, 2000(a1)
addi a0, a1, 1 | slti a0, a1, 1 | sltiu a0, a1, 1 | xori a0, a1, 1 | ori a0, a1, 1 | andi a0, a1, 1
slli a0, a1, 3 | srli a0, a1, 3 | srai a0, a1, 3 | add a0, a1, a2 | sub a0, a1, a2 | sll a0, a1, a2
slt a0, a1, a2 | sltu a0, a1, a2 | xor a0, a1, a2 | srl a0, a1, a2 | sra a0, a1, a2 | or a0, a1, a2
and a0, a1, a2 | mul a0, a1, a2 | mulh a0, a1, a2 | mulhsu a0, a1, a2 | mulhu a0, a1, a2
div a0, a1, a2 | divu a0, a1, a2 | rem a0, a1, a2 | remu a0, a1, a2 | fence | ecall | mret | wfi
lr.w a0, (a1) | lr.w.aq a0, (a1) | sc.w a0, a1, (a2) | amoswap.w a0, a1, (a2)
amoadd.w.aqrl a0, a1, (a2) | amoxor.w a0, a1, (a2) | amoand.w a0, a1, (a2) | amoor.w a0, a1, (a2)
amomin.w a0, a1, (a2) | amomax.w a0, a1, (a2) | amominu.w a0, a1, (a2) | amomaxu.w a0, a1, (a2)
c.addi4spn a0, sp, 16 | c.lw a0, (a1) | c.sw a0, (a1) | c.nop | c.addi a0, 1 | c.jal 1f | c.li a0, 1
c.addi16sp sp, 32 | c.lui a0, 1 | c.srli a0, 1 | c.srai a0, 1 | c.andi a0, 1 | c.sub a0, a1
c.xor a0, a1 | c.or a0, a1 | c.and a0, a1 | c.j 1f | c.beqz a0, 1f | c.bnez a0, 1f | c.slli a0, 1
c.lwsp a0, 4(sp) | c.jr a0 | c.mv a0, a1 | c.ebreak | c.jalr a0 | c.add a0, a1 | c.swsp a0, 4(sp)
c.flw fa0, (a1) | c.fsw fa0, (a1) | c.flwsp fa0, 4(sp) | c.fswsp fa0, 4(sp) | c.fld fa0, (a1)
c.fsd fa0, (a1) | c.fldsp fa0, 8(sp) | c.fsdsp fa0, 8(sp) | flw fa0, 2000(a1) | fsw fa0, 2000(a1)
fld fa0, 2000(a1) | fsd fa0, 2000(a1) | flh fa0, (a1) | fsh fa0, (a1) | fadd.s fa0, fa1, fa2
fsub.s fa0, fa1, fa2 | fmul.s fa0, fa1, fa2 | fdiv.s fa0, fa1, fa2 | fsqrt.s fa0, fa1
fsgnj.s fa0, fa1, fa2 | fmin.s fa0, fa1, fa2 | feq.s a0, fa1, fa2 | fcvt.w.s a0, fa1
fcvt.s.w fa0, a1 | fmv.x.w a0, fa1 | fmv.w.x fa0, a1 | fclass.s a0, fa1 | fmadd.s fa0, fa1, fa2, fa3
fmsub.s fa0, fa1, fa2, fa3 | fnmsub.s fa0, fa1, fa2, fa3 | fnmadd.s fa0, fa1, fa2, fa3
fadd.d fa0, fa1, fa2 | fcvt.d.w fa0, a1 | fmadd.d fa0, fa1, fa2, fa3 | fcvt.s.d fa0, fa1
fadd.h fa0, fa1, fa2 | fcvt.h.w fa0, a1 | fmadd.h fa0, fa1, fa2, fa3 | vsetvli a0, a1, e8, m1
vadd.vv v0, v1, v2 | vle8.v v0, (a0) | vse32.v v0, (a0) | vlse16.v v0, (a0), a1
sh1add a0, a1, a2 | sh2add a0, a1, a2 | sh3add a0, a1, a2 | clz a0, a1 | ctz a0, a1 | cpop a0, a1
orc.b a0, a1 | rev8 a0, a1 | rori a0, a1, 3
rol a0, a1, a2 | ror a0, a1, a2 | andn a0, a1, a2 | orn a0, a1, a2 | xnor a0, a1, a2
min a0, a1, a2 | minu a0, a1, a2 | max a0, a1, a2 | maxu a0, a1, a2 | bset a0, a1, a2
bclr a0, a1, a2 | binv a0, a1, a2 | bext a0, a1, a2 | bseti a0, a1, 3 | bclri a0, a1, 3
binvi a0, a1, 3 | bexti a0, a1, 3 | clmul a0, a1, a2 | clmulr a0, a1, a2 | clmulh a0, a1, a2
cbo.zero (a0) | cbo.clean (a0)
"""
MNEMONICS = [one.strip() for line in LINES.split("\n") for one in line.split("|") if one.strip()]
ALL = "rv32imafdcv_zba_zbb_zbc_zbs_zfh_zicbom_zicboz"
CORES = (
    *("rv32i", "rv32im", "rv32imc", "rv32imac", "rv32imafc", "rv32imafdc", "rv32imac_zba_zbb_zbs"),
    *("rv32imafc_zfh", "rv32imafdcv", "rv32imf_zbc_zicbom_zicboz", ALL),
)


def assembled(folder: Path, core: str, lines: list[str]) -> tuple[list[str], Path]:
    """Those lines that gas accepts for the core, and what it makes of them, a function for each."""
    source, made = folder / "forms.s", folder / "forms.o"
    block = ".type f{0},@function\nf{0}: {1}\n1: slli a3, a4, 1\n"
    source.write_text("".join(block.format(*numbered) for numbered in enumerate(lines)))
    made.unlink(missing_ok=True)
    command = [RISCV.gcc, f"-march={core}", "-mabi=ilp32", "-c", source, "-o", made]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    refused = {(int(found[1]) - 2) // 3 for found in re.finditer(r"\.s:(\d+): Error", said)}
    return [line for number, line in enumerate(lines) if number not in refused], made


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every line, assembled for the core that has most."""
    accepted, made = assembled(tmp_path_factory.mktemp("forms"), ALL, MNEMONICS)
    assert accepted == MNEMONICS
    elf = made.with_suffix(".elf")
    linker = RISCV.gcc.replace("gcc", "ld")
    subprocess.run([linker, "-melf32lriscv", "-e", "f0", made, "-o", elf], check=True)
    return elf


@pytest.mark.parametrize("core", CORES)
def test_gas_refuses_the_same_instructions_for_a_core(
    core: str, forms: Path, tmp_path: Path
) -> None:
    accepted, _ = assembled(tmp_path, core, MNEMONICS)
    lacks = {MNEMONICS[number] for number in numbers_refused(forms, core)}
    assert lacks == {*MNEMONICS} - {*accepted}


def numbers_refused(elf: Path, core: str) -> set[int]:
    """Of the functions f0, f1 ... that hold something which the core does not have."""
    with elf.open("rb") as file:
        binary = ELFFile(file)
        uses = uses_beyond(binary, features_of(core) or frozenset())
        return numbers_at(binary, (address for address, _, _ in uses))


def linked(folder: Path, source: str, *flags: str, suffix: str = "c") -> Path:
    text, elf = folder / f"main.{suffix}", folder / "main.elf"
    text.write_text(source)
    command = [RISCV.gcc, "-mabi=ilp32", "-O2", "-nostdlib", "-Wl,-e,main", *flags]
    subprocess.run([*command, text, "-o", elf], check=True)
    return elf


DOT = """
int bits(unsigned x) { return __builtin_popcount(x); }
int main(int n, int *a) { for (int i = 0; i < n; i++) a[i] = bits(a[i]) * n; return n; }
"""


def test_what_was_compiled_for_a_larger_core_is_refused_by_instruction_and_function(
    tmp_path,
) -> None:
    elf = linked(tmp_path, DOT, "-march=rv32imac_zbb", "-fno-inline")
    refuse_for_core(elf, "rv32imac_zbb", where=WHERE)
    with pytest.raises(CoreLacks) as caught:
        refuse_for_core(elf, "rv32imac", where=WHERE)
    assert caught.value.found == [("cpop", "Zbb", "bits")]
    said = str(caught.value)
    assert "a rv32imac does not have: cpop (of Zbb) in bits (board qemu-rv32" in said
    with pytest.raises(CoreLacks, match=r"mul \(of M\) in main"):
        refuse_for_core(elf, "rv32iac_zbb", where=WHERE)


def test_floats_of_an_fpu_that_is_not_there_are_refused(tmp_path) -> None:
    elf = linked(
        tmp_path, "float main(float a, float b) { return a * b + a / b; }", "-march=rv32imafc"
    )
    with pytest.raises(CoreLacks) as caught:
        refuse_for_core(elf, "rv32imac", where=WHERE)
    names = {name: has for name, has, _ in caught.value.found}
    assert {"fmadd.s", "fdiv.s"} <= names.keys() and set(names.values()) == {"F"}


def test_data_between_code_is_no_instruction(tmp_path) -> None:
    source = ".global main\nmain: nop\nj 1f\n.word 0x60251513\n1: nop\n"
    elf = linked(tmp_path, source, "-march=rv32imac", suffix="s")
    refuse_for_core(elf, "rv32imac", where=WHERE)


def test_code_without_marks_is_looked_at_whole(tmp_path) -> None:
    """As older assemblers leave it; `strip` takes its function's name too."""
    elf = linked(tmp_path, DOT, "-march=rv32imac_zbb", "-fno-inline")
    subprocess.run([RISCV.gcc.replace("gcc", "strip"), elf], check=True)
    with pytest.raises(CoreLacks, match=r"cpop \(of Zbb\) in 0x000"):
        refuse_for_core(elf, "rv32imac", where=WHERE)


@pytest.mark.parametrize("core", ["rv32", "rv32xyz!", "rv32e", "cortex-m4f"])
def test_a_core_that_is_not_known_is_said(tmp_path, core: str) -> None:
    with pytest.raises(RigError, match=r"is not known\.\nIt may be .*rv32imac"):
        refuse_for_core(tmp_path / "none.elf", core, where=WHERE)


@pytest.mark.parametrize("core", ["lx6", "rv64imac", "cortex-a7", "cortex-m85"])
def test_a_core_of_another_kind_is_not_checked(tmp_path, core: str) -> None:
    refuse_for_core(tmp_path / "none.elf", core, where=WHERE)


def test_what_no_extension_has_is_told_by_its_bits() -> None:
    assert named(0x8800707F, 4) == ("0x8800707f", "no RV32")
    assert named(0x0000_0000_001F, 6) == ("0x00000000001f", "no RV32")
    # Gas makes other instructions of them where a core lacks these.
    bits = (0x60451513, 0x60551513, 0x0805C533)
    assert [named(code, 4) for code in bits] == [
        (name, "Zbb") for name in ("sext.b", "sext.h", "zext.h")
    ]
    assert named(0x0000000B, 4)[1] == "a vendor's extension"
