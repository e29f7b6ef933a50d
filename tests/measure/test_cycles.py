"""Costs of instruction sequences, against the examples and tables of Arm's manuals."""

from __future__ import annotations

import pytest

from harness.measure.cores import (
    ACCUMULATE,
    BRANCH,
    CALL,
    CORES,
    DATA,
    DIVIDE,
    FLOAT,
    FLOAT_ACCUMULATE,
    FLOAT_DIVIDE,
    IT,
    JUMP,
    LOAD,
    LONG_MULTIPLY,
    MULTIPLE,
    MULTIPLY,
    STORE,
    SYSTEM,
    TABLE,
    class_of,
    core_of,
)
from harness.measure.counts import Executed
from harness.measure.cycles import estimate_cycles

M4, M3, M0, M7 = (CORES[f"Cortex-{name}"] for name in ("M4", "M3", "M0+", "M7"))
WIDE = (".w", "ldrd", "strd", "smlad", "sdiv", "v", "bl ", "tbb")


def listing(*lines: str, at: int = 0x100, count: int = 1) -> list[Executed]:
    """Instructions one behind the other; a `>` before one says that it is left each time."""
    made = []
    for line in lines:
        text = line.lstrip(">")
        size = 4 if any(word in f"{text} " for word in WIDE) else 2
        taken = count if line != text else 0
        made.append(Executed(address=at, size=size, opcode=0, text=text, count=count, taken=taken))
        at += size
    return made


def cycles(*lines: str, core=M4, **options) -> float:
    return estimate_cycles(listing(*lines), core, **options).total


@pytest.mark.parametrize(
    "lines, expected",
    [
        # DDI 0439B, 3.3.3, "normally three cycles total" and so on.
        (("ldr r0, [r1]", "ldr r1, [r2]"), 3),
        (("ldr r0, [r1, r2]", "str r0, [r3, #20]"), 3),
        (("ldr r0, [r1, r2]", "str r1, [r3, r2]"), 3),
        (("ldr r0, [r1, r5]", "ldr r1, [r2]", "ldr r2, [r3, #4]"), 4),
        (("ldr r0, [r1]", "ldr r2, [r0]"), 4),  # The address is the first one's result.
        (("str r0, [r1, #4]",), 1),
        (("str r0, [r1, r2]",), 2),
        (("adds r1, #4", "ldr r0, [r1]"), 4),  # No forwarding to an address.
        (("adds r3, #4", "ldr r0, [r1]"), 3),
        ((">ldr.w pc, [r0]",), 5),
        ((">tbb [pc, r0]",), 6),
        # Table 3-1: 1 + N, and P for the program counter.
        (("push {r4, r5, lr}",), 4),
        ((">pop {r4, r5, pc}",), 7),
        (("ldm.w r0!, {r1, r2, r3, r4}",), 5),
        (("ldrd r0, r1, [r2]",), 3),
        # 1, or 1 + P.
        (("bne #0x200",), 1),
        ((">bne #0x200",), 2),
        ((">bl #0x200",), 2),
        ((">bx lr",), 3),
        (("smlad r0, r1, r2, r3", "mul r0, r1, r2", "mla r0, r1, r2, r3"), 3),
        (("smlal r0, r1, r2, r3",), 1),
        (("sdiv r0, r1, r2",), 7),
        # Table 7-1.
        (("vmul.f32 s0, s1, s2", "vmla.f32 s3, s4, s5", "vdiv.f32 s6, s7, s8"), 1 + 3 + 14),
        (("vldr s0, [r0]", "vldr s1, [r0, #4]"), 3),
        (("vldmia.w r0!, {s0-s3}",), 5),
        (("vpush {d8-d10}",), 7),
        (("cmp r0, r1", "it eq", "mov r0, r1"), 2),  # The IT is folded.
        (("cmp.w r0, #256", "it eq", "mov r0, r1"), 3),
    ],
)
def test_a_cortex_m4_as_its_manual_says(lines, expected: float) -> None:
    assert cycles(*lines) == expected


@pytest.mark.parametrize(
    "lines, expected",
    [
        (("ldr r0, [r1]", "ldr r2, [r3]"), 4),
        (("str r0, [r1]",), 2),
        (("push {r4, lr}",), 3),
        ((">pop {r4, pc}",), 5),  # 3 + N
        ((">bl #0x200",), 3),
        ((">bx lr",), 2),
        ((">bne #0x200", "bne #0x200"), 3),
        (("muls r0, r1, r0",), 1),
    ],
)
def test_a_cortex_m0_plus_as_its_manual_says(lines, expected: float) -> None:
    assert cycles(*lines, core=M0) == expected


def test_a_cortex_m3_multiplies_slower() -> None:
    assert cycles("mla r0, r1, r2, r3", core=M3) == 2
    assert cycles("smull r0, r1, r2, r3", core=M3) == 4


@pytest.mark.parametrize(
    "lines, expected",
    [
        (("adds r0, #1", "adds r1, #1"), 1),
        (("adds r0, #1", "adds r1, r0"), 2),
        (("adds r0, #1", "adds r1, #1", "adds r2, #1"), 2),
        (("ldr r0, [r1]", "ldr r2, [r3]"), 2),
        (("ldr r0, [r1]", "adds r2, #1"), 1),
        (("ldr r0, [r1]", "adds r2, r0"), 3),
        (("mul r0, r1, r2", "mul r3, r4, r5"), 2),
    ],
)
def test_two_neighbours_share_a_cycle_of_a_cortex_m7(lines, expected: float) -> None:
    assert cycles(*lines, core=M7) == expected


def test_a_branch_to_a_wide_instruction_across_two_words_takes_one_more() -> None:
    loop = listing("nop", "add.w r0, r0, #1", ">bne #0x102", at=0x100)
    assert estimate_cycles(loop, M4).total == 1 + 1 + 3
    aligned = listing("add.w r0, r0, #1", ">bne #0x104", at=0x104)
    assert estimate_cycles(aligned, M4).total == 1 + 2


def test_what_does_not_follow_is_no_neighbour() -> None:
    apart = listing("ldr r0, [r1]") + listing("ldr r2, [r3]", at=0x200)
    assert estimate_cycles(apart, M4).total == 4


def test_every_execution_counts_and_only_taken_branches_go_elsewhere() -> None:
    (branch,) = listing("bne #0x200", count=10)
    taken = Executed(address=0x100, size=2, opcode=0, text=branch.text, count=10, taken=7)
    estimate = estimate_cycles([taken], M4)
    assert estimate.total == 17 and estimate.total_instructions == 10
    assert list(estimate.by_class()) == [(BRANCH, 10, 17.0)]


def test_flash_is_waited_for_where_the_direction_changes_and_for_literals() -> None:
    lines = ("ldr r0, [pc, #8]", "adds r0, #1", ">bne #0x200")
    estimate = estimate_cycles(listing(*lines), M4, wait_states=3)
    assert estimate.waiting == 6 and estimate.total == cycles(*lines) + 6


@pytest.mark.parametrize(
    "expected, mnemonics",
    [
        (DATA, "mov movs mov.w add subs.w cmp sxtb16 sxtab16 bic bics bfi lsl clz usat ssat"),
        (BRANCH, "b b.w bne bls ble blt bhs bcs cbz cbnz beq.w"),
        (CALL, "bl"),
        (JUMP, "bx blx"),
        (LOAD, "ldr ldr.w ldrb ldrsh.w ldrh ldrex vldr vldr.64"),
        (STORE, "str strb.w strh vstr strex"),
        (MULTIPLE, "push pop.w ldm stm.w ldmia stmdb ldrd strd vpush vpop vldmia vstmia"),
        (MULTIPLY, "mul muls smulbb smlabb smlad smuad smmul smmlar smlawb smlsd"),
        (ACCUMULATE, "mla mls"),
        (LONG_MULTIPLY, "smull umull smlal umlal smlalbb smlald umaal"),
        (DIVIDE, "sdiv udiv"),
        (FLOAT, "vadd.f32 vmul.f32 vcvt.s32.f32 vmov vcmp.f32 vmrs vneg.f32 vmax.f32 vmin"),
        (FLOAT_ACCUMULATE, "vmla.f32 vmls.f32 vfma.f32 vfms.f32 vnmla.f32 vfnma.f32"),
        (FLOAT_DIVIDE, "vdiv.f32 vsqrt.f32"),
        (IT, "it ite itt itete"),
        (TABLE, "tbb tbh"),
        (SYSTEM, "dmb dsb isb mrs msr cpsid"),
    ],
)
def test_instructions_and_what_they_cost_like(expected: str, mnemonics: str) -> None:
    assert {name: class_of(name) for name in mnemonics.split()} == dict.fromkeys(
        mnemonics.split(), expected
    )


@pytest.mark.parametrize(
    "mcu, core",
    [
        ("Cortex-M4F (mps2-an386)", "Cortex-M4"),
        ("RP2040 (Cortex-M0+)", "Cortex-M0+"),
        ("STM32F446RE (Cortex-M4F)", "Cortex-M4"),
        ("Cortex-M33 (mps2-an505)", "Cortex-M33"),
        ("Cortex-M3 (mps2-an385)", "Cortex-M3"),
        ("Cortex-M55 (mps3-an547)", None),
        ("ESP32 (Xtensa LX6)", None),
    ],
)
def test_a_boards_core_is_found_by_its_mcu(mcu: str, core: str | None) -> None:
    found = core_of(mcu)
    assert (found and found.name) == core


@pytest.mark.parametrize(
    "core, runs",
    [
        ("Cortex-M0+", "M0+"),
        ("Cortex-M3", "M0+ M3"),
        ("Cortex-M4", "M0+ M3 M4"),
        ("Cortex-M7", "M0+ M3 M4 M7"),
        ("Cortex-M33", "M0+ M3 M4 M33"),
    ],
)
def test_a_core_runs_the_code_of_those_that_it_extends(core: str, runs: str) -> None:
    found = [other.name for other in CORES.values() if CORES[core].runs_code_of(other)]
    assert found == [f"Cortex-{name}" for name in runs.split()]


def test_a_recursive_function_as_qemu_tells_of_it() -> None:
    """The instructions that tests/rig/test_counting.py has from QEMU, three calls deep."""
    told = [
        (0, 2, "push {r4, lr}", 3, 0),  # 3 * (1 + 2)
        (2, 2, "subs r0, #1", 3, 0),  # 3
        (4, 2, "beq #0x10a", 3, 1),  # 3 + P
        (6, 4, "bl #0x100", 2, 2),  # 2 * (1 + P)
        (10, 2, "pop {r4, pc}", 3, 3),  # 3 * (1 + 2 + P), where P is 3
    ]
    code = [
        Executed(address=0x100 + at, size=size, opcode=0, text=text, count=count, taken=taken)
        for at, size, text, count, taken in told
    ]
    estimate = estimate_cycles(code, M4)
    assert estimate.total == 9 + 3 + 4 + 4 + 18
    assert estimate.total_instructions == 14
