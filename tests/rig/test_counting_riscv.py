"""QEMU counts the instructions of functions of a RISC-V: of assembly, counted by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.firmware.functions import code_map
from harness.firmware.toolchain import RISCV
from harness.measure.counts import InvokeCounts
from tests.fakes.counted import counted_invokes, named

EMULATOR = load_registry()["qemu-rv32"].emulator
assert EMULATOR is not None
TOOLS = (RISCV.gcc, EMULATOR.program)
# Never skipped where CI runs: .ci/run installs them, and without them that is an error.
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)) and not os.environ.get("CI"),
    reason=f"{' or '.join(TOOLS)} is not installed",
)

# Each function's instructions are counted in the comment behind it.
FIRMWARE = """
.option arch, +zicsr
.macro function name
.global \\name
.type \\name,@function
\\name:
.endm

function reset
  la sp, stack
  la t0, traps
  addi t0, t0, 1                // Vectored.
  csrw mtvec, t0
  li s0, 0x10000000             // The UART.
  li t0, 'r'
  sb t0, (s0)
again:                          // An invoke for each byte that comes.
  lbu t0, 5(s0)
  andi t0, t0, 1
  beqz t0, again
  lbu s1, (s0)
  jal ra, _ZN7runtime6InvokeEv
  sb s1, (s0)
  j again

.balign 64
function traps
.option push
.option norvc
  .rept 7
  j silent
  .endr
  j tick                        // Of the timer.
.option pop
function silent
  j silent

function _ZN7runtime6InvokeEv   // 20
  addi sp, sp, -16
  sw ra, (sp)
  li a0, 3
  jal ra, recursive
  jal tail_a                    // Compressed.
  jal t0, save                  // As of -msave-restore.
.option push
.option norelax
.option norvc
  call device                   // 2: AUIPC and JALR
.option pop
  li a0, 1
  jal switch
  jal ping
  lla a0, far                   // 2
  jalr a0                       // Compressed.
  jal interrupted
  jal falls
  jal tail_b
  lw ra, (sp)
  addi sp, sp, 16
  ret

function recursive              // 8 + 8 + 7, the last without the call
  addi sp, sp, -16
  sw ra, (sp)
  addi a0, a0, -1
  beqz a0, 1f                   // To where a call of itself returns to.
  jal ra, recursive
1: lw ra, (sp)
  addi sp, sp, 16
  ret

function tail_a                 // 2
  nop
  j tail_b
function tail_b                 // 1
  ret

function falls                  // 1, and goes on into the next
  nop
function fallen                 // 2
  nop
  ret

function save                   // 2
  nop
  jr t0

function device                 // 5: an access to a device, within a block
  lbu t0, 5(s0)
  nop
  lbu t0, 5(s0)
  nop
  ret

function switch                 // 7: a jump by a table is no return
  la t0, table                  // 2
  lw t0, 4(t0)
  jr t0
  nop
1: beqz a0, 2f
  li a0, 0
  ret
2: j 2b
.balign 4
table: .word 0, 1b

function ping                   // 3 + 3: it and `pong` jump to each other, then it returns
  li a0, 2
ping_again:
  addi a0, a0, -1
  bnez a0, pong
  ret
function pong                   // 1
  j ping_again

function far                    // 4: `deeper` leaves two functions at once
  addi sp, sp, -16
  sw ra, (sp)
  mv a5, sp
  jal deep
  nop
function deep                   // 1
  jal ra, deeper
  nop
function deeper                 // 4
  mv sp, a5
  lw ra, (sp)
  addi sp, sp, 16
  ret

function interrupted            // 15, and 2 for each turn
  la t2, ticked                 // 2
  sw zero, (t2)
  li t0, 0x02004000             // CLINT: when the timer is due.
  li t1, 0x0200c000             // Its time is at -8.
  lw a0, -8(t1)
  addi a0, a0, 20
  sw zero, 4(t0)
  sw a0, (t0)
  li a0, 128
  csrw mie, a0
  csrsi mstatus, 8
1: lw a0, (t2)
  beqz a0, 1b
  csrw mie, zero
  csrci mstatus, 8
  ret
function tick                   // 8, and it calls tail_b
  addi sp, sp, -16
  sw ra, (sp)
  csrw mie, zero
  sw t2, (t2)
  jal tail_b
  lw ra, (sp)
  addi sp, sp, 16
  mret

.bss
.balign 16
ticked: .word 0
.space 252
stack:
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counted")
    source, made = folder / "firmware.S", folder / "firmware.elf"
    source.write_text(FIRMWARE)
    flags = ("-march=rv32imac", "-mabi=ilp32", "-nostdlib", "-static", "-mcmodel=medany")
    placed = ("-Wl,-Ttext=0x80000000", "-Wl,-Tbss=0x80400000", "-Wl,-e,reset")
    subprocess.run([RISCV.gcc, *flags, *placed, source, "-o", made], check=True)
    return made


@pytest.fixture(scope="module")
def invokes(elf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[InvokeCounts, ...]:
    return counted_invokes(EMULATOR, elf, tmp_path_factory.mktemp("plugins"))


def test_calls_of_all_kinds_are_counted_along_their_paths(elf, invokes) -> None:
    found = named(elf, invokes[0])
    looped = found.pop("interrupted")
    assert looped[0] == 1 and looped[1] > 15 and looped[1] % 2 == 1
    assert found == {
        "": (1, 20),
        "recursive": (1, 8),
        "recursive recursive": (1, 8),
        "recursive recursive recursive": (1, 7),
        "tail_a": (1, 2),
        "tail_a tail_b": (1, 1),
        "save": (1, 2),
        "device": (1, 5),
        "switch": (1, 7),
        "ping": (1, 6),
        "ping pong": (1, 1),
        "far": (1, 4),
        "far deep": (1, 1),
        "far deep deeper": (1, 4),
        "interrupted traps": (1, 1),
        "interrupted traps tick": (1, 8),
        "interrupted traps tick tail_b": (1, 1),
        "falls": (1, 1),
        "falls fallen": (1, 2),
        "tail_b": (1, 1),
    }


def test_each_invoke_is_counted_by_itself(elf, invokes) -> None:
    assert [counts.number for counts in invokes] == [0, 1]
    first, second = (named(elf, counts) for counts in invokes)
    for found in (first, second):
        found.pop("interrupted")  # It takes as long as the interrupt lets it wait.
    assert first == second


def test_instructions_are_told_with_how_often_their_branch_was_taken(elf, invokes) -> None:
    begins = code_map(elf).address_of("recursive")
    assert begins is not None
    found = [
        (at.address - begins, at.opcode, at.mnemonic, at.count, at.taken)
        for at in invokes[0].code
        if 0 <= at.address - begins < 18
    ]
    assert found == [
        (0, 0x1141, "addi", 3, 0),
        (2, 0xC006, "sw", 3, 0),
        (4, 0x157D, "addi", 3, 0),
        (6, 0xC119, "beqz", 3, 1),
        (8, 0xFF9FF0EF, "jal", 2, 2),
        (12, 0x4082, "lw", 3, 0),
        (14, 0x0141, "addi", 3, 0),
        (16, 0x8082, "ret", 3, 3),
    ]


def test_exceptions_begin_at_jumps_to_what_returns_from_one(elf) -> None:
    code = code_map(elf)
    assert code.handlers == (code.address_of("traps") + 4 * 7,)


def test_one_function_for_all_traps_is_where_they_begin(tmp_path) -> None:
    source, made = tmp_path / "direct.S", tmp_path / "direct.elf"
    source.write_text(
        ".type early,@function\nearly: ret\n.balign 4\n.type trap,@function\n"
        "trap: nop\nbeqz a0, 1f\n.option norvc\nj trap\n1: mret\n"
    )
    flags = ("-march=rv32imac", "-mabi=ilp32", "-nostdlib", "-Wl,-Ttext=0", "-Wl,-e,0")
    subprocess.run([RISCV.gcc, *flags, source, "-o", made], check=True)
    assert code_map(made).handlers == (4,)
