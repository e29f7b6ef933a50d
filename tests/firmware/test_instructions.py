"""Code that a Cortex-M does not have, in tiny files of Debian's assembler and linker."""

import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes.numbered import numbers_at

from harness.board.registry import load_registry
from harness.errors import AlienCode, CoreLacks, Where
from harness.firmware.instructions import features_of, refuse_a32, refuse_for_core, uses_beyond
from harness.firmware.t32 import CORES
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


# One of each form that harness/firmware/t32.py tells apart, for gas to say which core has it. Not
# VMAXNM and VCVTA, which it lets pass for any core, against the manual (DDI 0403, A7.7).
LINES = """
adds r0, r1 | cbz r0, 1f; nop | nop | it eq; moveq r0, r1 | bxns lr | blxns r1 | bl 1f | b.w 1f
msr primask, r0 | mrs r0, primask | dsb | dmb | isb | clrex | beq.w 1f | 1: le lr, 1b
dls lr, r1 | wls lr, r1, 1f; nop | 1: letp lr, 1b | dlstp.8 lr, r1 | wlstp.8 lr, r1, 1f; nop
vctp.8 r1 | sg | tt r0, r1 | tbb [r0, r1] | tbh [r0, r1, lsl #1] | lda r0, [r1] | ldaexb r0, [r1]
stl r0, [r1] | stlex r0, r1, [r2] | ldrexb r0, [r1] | strexh r0, r1, [r2] | ldrex r0, [r1]
strex r0, r1, [r2] | clrm {r0, r1} | ldm.w r0, {r1, r9} | stmdb r0!, {r1, r9} | push.w {r1, r9}
ldrd r0, r1, [r2] | strd r0, r1, [r2, #8]! | csel r0, r1, r2, eq | csinc r0, r1, r2, eq
csinv r0, r1, r2, eq | csneg r0, r1, r2, eq | lsll r0, r1, #3 | asrl r0, r1, r2 | uqshl r0, #3
pkhbt r0, r1, r2 | pkhtb r0, r1, r2, asr #2 | and.w r0, r1, r2 | bic.w r0, r1, r9, lsl #1
orn r0, r1, r2 | mov.w r0, r9 | mvn.w r0, r9 | teq r0, r1 | tst.w r0, r9 | cmn.w r0, r9
cmp.w r0, r9 | add.w r0, r1, r9 | adc.w r0, r1, r9 | sbc.w r0, r1, r9 | rsb r0, r1, r2
movs.w r0, r9 | lsl.w r0, r1, #3 | rrx r0, r1 | add.w r0, r1, #256 | orr r0, r1, #255
mov.w r0, #0xff00ff00 | cmp.w r9, #3 | rsb r0, r1, #255 | addw r0, r1, #4095 | movw r0, #4660
subw r0, r1, #4095 | movt r0, #4660 | ssat16 r0, #3, r1 | usat16 r0, #3, r1 | ssat r0, #3, r1
ssat r0, #3, r1, asr #2 | usat r0, #3, r1 | sbfx r0, r1, #3, #4 | bfi r0, r1, #3, #4
bfc r0, #3, #4 | ubfx r0, r1, #3, #4 | strb.w r0, [r9] | ldrb.w r0, [r9, #1] | strh.w r0, [r9]
ldrh.w r0, [r9] | str.w r0, [r9], #4 | ldr.w r0, [r9, r1, lsl #2] | ldrsb.w r0, [r9]
ldrsh.w r0, [r9, #300] | pld [r0] | ldr.w r0, [pc, #8] | lsl.w r0, r1, r2 | lsrs.w r0, r1, r9
asr.w r0, r1, r2 | ror.w r0, r1, r2 | sxth.w r0, r9 | uxtb.w r0, r9, ror #8 | uxth.w r0, r9
sxtb.w r0, r9 | sxtb16 r0, r1 | uxtb16 r0, r1 | sxtah r0, r1, r2 | uxtah r0, r1, r2
sxtab16 r0, r1, r2 | uxtab16 r0, r1, r2 | sxtab r0, r1, r2 | uxtab r0, r1, r2 | rev.w r0, r9
rev16.w r0, r9 | rbit r0, r1 | revsh.w r0, r9 | clz r0, r1 | qadd r0, r1, r2 | qdadd r0, r1, r2
qsub r0, r1, r2 | qdsub r0, r1, r2 | sel r0, r1, r2 | sadd8 r0, r1, r2 | qadd16 r0, r1, r2
shasx r0, r1, r2 | usub8 r0, r1, r2 | uqsub16 r0, r1, r2 | uhsax r0, r1, r2 | mul r0, r1, r2
mla r0, r1, r2, r3 | mls r0, r1, r2, r3 | smulbb r0, r1, r2 | smuad r0, r1, r2
smulwb r0, r1, r2 | smusdx r0, r1, r2 | smmulr r0, r1, r2 | usad8 r0, r1, r2
smlatt r0, r1, r2, r3 | smlad r0, r1, r2, r3 | smlawt r0, r1, r2, r3 | smlsd r0, r1, r2, r3
smmla r0, r1, r2, r3 | smmls r0, r1, r2, r3 | usada8 r0, r1, r2, r3 | smull r0, r1, r2, r3
sdiv r0, r1, r2 | umull r0, r1, r2, r3 | udiv r0, r1, r2 | smlal r0, r1, r2, r3
smlalbt r0, r1, r2, r3 | smlald r0, r1, r2, r3 | smlsldx r0, r1, r2, r3 | umlal r0, r1, r2, r3
umaal r0, r1, r2, r3 | vadd.i32 q0, q1, q2 | vldrb.8 q0, [r0] | vmladav.s8 r0, q0, q1
vaddva.s32 r0, q1 | vstrw.32 q0, [r0] | vmov.i32 q0, #1 | vqdmulh.s32 q0, q1, q2
vpst; vaddt.i8 q0, q0, q0 | vadd.f16 s0, s1, s2 | vlstm r0 | vlldm r0
vselge.f32 s0, s1, s2 | vselge.f64 d0, d1, d2 | vadd.f64 d0, d1, d2 | vcvt.f64.f32 d0, s0
vadd.f32 s0, s1, s2 | vldr d0, [r0] | vpush {d8} | vmov d0, r0, r1 | vmrs apsr_nzcv, fpscr
vcvt.s32.f32 s0, s0 | vfma.f32 s0, s1, s2 | vmov s0, r0 | mcr p0, 0, r0, c0, c0, 0
cpsid i | wfi | yield | sev | blx r0 | rev r0, r1 | sxtb r0, r1 | ldr r0, [r1] | svc #1 | bkpt #1
"""
MNEMONICS = [one.strip() for line in LINES.split("\n") for one in line.split("|") if one.strip()]
OPTIONS = {
    "cortex-m0": ["-mfloat-abi=soft"],
    "cortex-m0plus": ["-mfloat-abi=soft"],
    "cortex-m1": ["-mfloat-abi=soft"],
    "cortex-m3": ["-mfloat-abi=soft"],
    "cortex-m4": ["-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
    "cortex-m7": ["-mfloat-abi=hard", "-mfpu=fpv5-d16"],
    "cortex-m33": ["-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"],
    "cortex-m35p": ["-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"],
    "cortex-m55": ["-mfloat-abi=hard"],
}


def assembled(folder: Path, core: str, lines: list[str]) -> tuple[list[str], Path]:
    """Those lines that gas accepts for the core, and what it makes of them, a function for each."""
    source, made = folder / "forms.s", folder / "forms.o"
    head = ".syntax unified\n.thumb\n"
    block = ".thumb_func\n.type f{0},%function\nf{0}: {1}; 1: nop\n"
    blocks = [block.format(number, line) for number, line in enumerate(lines)]
    source.write_text(head + "".join(blocks))
    made.unlink(missing_ok=True)
    command = [ARM_GCC, f"-mcpu={core}", "-mthumb", *OPTIONS[core], "-c", source, "-o", made]
    said = subprocess.run(command, capture_output=True, text=True)
    before, at = head.count("\n"), 3
    refused = {
        (int(found[1]) - before - 1) // at
        for found in re.finditer(r"\.s:(\d+): Error", said.stderr)
    }
    return [line for number, line in enumerate(lines) if number not in refused], made


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every line, assembled for the core that has most."""
    accepted, made = assembled(tmp_path_factory.mktemp("forms"), "cortex-m55", MNEMONICS)
    assert accepted == MNEMONICS
    elf = made.with_suffix(".elf")
    subprocess.run([ARM_GCC.replace("gcc", "ld"), "-e", "f0", made, "-o", elf], check=True)
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
        uses = uses_beyond(binary, CORES[core])
        return numbers_at(binary, (address for address, _, _ in uses))


def test_what_a_core_lacks_is_refused_by_instruction_and_function(tmp_path: Path) -> None:
    elf = linked(tmp_path, cpu="cortex-m4", kind="thumb", section="smlad r0, r1, r2, r3")
    refuse_for_core(elf, "cortex-m4", where=WHERE)
    refuse_for_core(elf, None, where=WHERE)
    other = Where(board="qemu-m3", model="sine")
    with pytest.raises(CoreLacks) as caught:
        refuse_for_core(elf, "cortex-m3", where=other)
    assert [found[0] for found in caught.value.found] == ["smlad"]
    said = str(caught.value)
    assert "a cortex-m3 does not have: smlad (of the DSP extension) in main (board qemu-m3" in said


def test_data_between_code_is_no_instruction(tmp_path: Path) -> None:
    elf = linked(tmp_path, cpu="cortex-m0", kind="thumb", section="nop\n.word 0xfb213002\n")
    refuse_for_core(elf, "cortex-m0plus", where=WHERE)


def test_every_boards_core_is_one_that_is_checked_but_for_xtensa() -> None:
    for board in load_registry().boards:
        other = board.attachment == "virtual" or "Xtensa" in board.mcu
        assert other or (board.core and features_of(board.core)), board.id
