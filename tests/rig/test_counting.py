"""QEMU counts the instructions of functions: of assembly, counted by hand, and of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness.board.registry import Emulator, load_registry
from harness.errors import RigError, ToolMissing, Where, WrongUse
from harness.firmware.disassembly import disassembled, named_by
from harness.firmware.functions import MOST_NAME, code_map
from harness.firmware.toolchain import ARM_GCC, RISCV
from harness.measure.counts import InvokeCounts
from harness.measure.kinds import OTHER, kind_of
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.counting import INVOKE, compiled_plugin, counting, plugin_version
from harness.rig.open import RigOptions, open_board
from harness.rig.qemu import installed_qemu
from tests.fakes.counted import counted_invokes, named

PROJECT = find_project()
# Never skipped where CI runs: .ci/run installs them, and without them that is an error.
NEEDS_RISCV = pytest.mark.skipif(
    not all(map(shutil.which, (RISCV.gcc, "qemu-system-riscv32"))) and not os.environ.get("CI"),
    reason="the compiler or the emulator of a RISC-V is not installed",
)
EMULATOR = Emulator(machine="mps2-an386", icount_shift=7)
WHERE = Where(board="qemu-m4")
# Where code lies, where the UART does and what it needs: baud rate, enable, "a byte is here", data.
MACHINES = {
    "mps2-an386": ("0", "UART=0x40004000,RATE=16,CTRL=8,ON=3,FULL=30,STATE=4,DATA=0"),
    "netduinoplus2": (
        "0x08000000",
        "UART=0x40011000,RATE=8,CTRL=12,ON=0x200c,FULL=26,STATE=0,DATA=4",
    ),
}

# Each function's instructions are counted in the comment behind it.
FIRMWARE = """
.syntax unified
.cpu cortex-m4
.thumb
.macro function name
.global \\name
.thumb_func
.type \\name,%function
\\name:
.endm

.word 0x20010000, reset + 1, silent + 1, silent + 1
.fill 11, 4, 0
.word tick + 1

function reset
  ldr r4, =UART
  movs r0, #16
  str r0, [r4, #RATE]
  movw r0, #ON
  str r0, [r4, #CTRL]
  movs r0, #'r'
  str r0, [r4, #DATA]           // Ready: a byte that came before it listened would be lost.
again:                          // An invoke for each byte that comes.
  ldr r0, [r4, #STATE]
  lsls r0, #FULL
  bpl again
  ldr r5, [r4, #DATA]
  bl _ZN7runtime6InvokeEv
  str r5, [r4, #DATA]
  b again
.ltorg
function silent
  b .

function _ZN7runtime6InvokeEv   // 15
  push {r4, lr}
  movs r0, #3
  bl recursive
  bl tail_a
  bl device
  movs r0, #1
  bl switch
  bl ping
  ldr r3, =far + 1
  blx r3
  bl interrupted
  bl falls
  bl tail_b
  bl edge
  pop {r4, pc}
.ltorg

function recursive              // 5 + 5 + 4, the last without the call
  push {r4, lr}
  subs r0, #1
  beq 1f                        // To where a call of itself returns to.
  bl recursive
1: pop {r4, pc}

function tail_a                 // 2
  nop
  b tail_b
function tail_b                 // 1
  bx lr

function falls                  // 1, and goes on into the next
  nop
function fallen                 // 2
  nop
  bx lr

function device                 // 6: an access to a device, within a block
  ldr r1, =UART
  nop
  ldr r2, [r1, #4]
  nop
  ldr r2, [r1, #4]
  bx lr
.ltorg

function switch                 // 6: a jump by a table is no return
  ldr r2, =table
  ldr.w r2, [r2, r0, lsl #2]
  mov pc, r2
  nop
1: cmp r0, #0
  it ne
  bxne lr
  b .
.align 2
table: .word 0, 1b
.ltorg

function ping                   // 3 + 3: it and `pong` jump to each other, then it returns
  movs r0, #2
ping_again:
  subs r0, #1
  bne pong
  bx lr
function pong                   // 1
  b ping_again

function far                    // 3: `deeper` leaves two functions at once
  push {r4, r5, r6, lr}
  mov r6, sp
  bl deep
  nop
function deep                   // 1
  b deeper
function deeper                 // 3
  mov sp, r6
  ldr.w lr, [sp, #12]
  pop {r4, r5, r6, pc}

function interrupted            // 9, and 3 for each turn
  ldr r1, =0xe000e010
  ldr r2, =ticked
  movs r0, #0
  str r0, [r2]
  movs r0, #100
  str r0, [r1, #4]
  movs r0, #7
  str r0, [r1]
1: ldr r0, [r2]
  cmp r0, #0
  beq 1b
  bx lr
.ltorg
function tick                   // 6, and it jumps to tail_b, which ends the exception
  ldr r0, =0xe000e010
  movs r1, #0
  str r1, [r0]
  ldr r0, =ticked
  str r0, [r0]
  b tail_b
.ltorg

.balign 1024
.space 1018
function edge                   // 4: QEMU looks beyond the second, for what crosses a page
  nop
  nop
  movw r0, #1
  bx lr

.bss
ticked: .word 0
"""


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory, machine: str) -> Path:
    folder = tmp_path_factory.mktemp("counted")
    source, made = folder / "firmware.S", folder / "firmware.elf"
    source.write_text(FIRMWARE)
    code, device = MACHINES[machine]
    defined = [f"-Wa,--defsym,{symbol}" for symbol in device.split(",")]
    placed = (
        *defined,
        f"-Wl,-Ttext={code}",
        "-Wl,-Tbss=0x20000000",
        "-Wl,-e,reset",
        "-nostdlib",
        "-static",
    )
    subprocess.run([ARM_GCC, "-mcpu=cortex-m4", *placed, source, "-o", made], check=True)
    return made


@pytest.fixture(scope="module")
def invokes(
    elf: Path, machine: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[InvokeCounts, ...]:
    """Two in a row, by a plugin whose path QEMU would cut at the comma."""
    folder = tmp_path_factory.mktemp("plugins, ours")
    return counted_invokes(replace(EMULATOR, machine=machine), elf, folder)


def test_calls_of_all_kinds_are_counted_along_their_paths(elf, invokes) -> None:
    found = named(elf, invokes[0])
    looped = found.pop("interrupted")
    assert looped[0] == 1 and looped[1] > 9 and (looped[1] - 9) % 3 == 0
    assert found == {
        "": (1, 15),
        "edge": (1, 4),
        "recursive": (1, 5),
        "recursive recursive": (1, 5),
        "recursive recursive recursive": (1, 4),
        "tail_a": (1, 2),
        "tail_a tail_b": (1, 1),
        "device": (1, 6),
        "switch": (1, 6),
        "ping": (1, 6),
        "ping pong": (1, 1),
        "far": (1, 3),
        "far deep": (1, 1),
        "far deep deeper": (1, 3),
        "interrupted tick": (1, 6),
        "interrupted tick tail_b": (1, 1),
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


def test_addresses_and_paths_agree_on_every_function(elf, invokes) -> None:
    functions = code_map(elf).functions
    by_path = Counter[int | None]()
    for path in invokes[0].paths:
        by_path[path.function] += path.instructions
    for index, function in enumerate(functions):
        inside = range(function.address, function.end)
        counted = sum(at.count for at in invokes[0].code if at.address in inside)
        assert counted == by_path[index], function.name


def test_instructions_are_told_with_how_often_their_branch_was_taken(elf, invokes) -> None:
    begins = code_map(elf).address_of("recursive")
    assert begins is not None
    found = [
        (at.address - begins, at.size, at.mnemonic, at.operands, at.count, at.taken)
        for at in invokes[0].code
        if 0 <= at.address - begins < 12
    ]
    assert found == [
        (0, 2, "push", "{r4, lr}", 3, 0),
        (2, 2, "subs", "r0, #1", 3, 0),
        (4, 2, "beq", f"#{begins + 10:#x}", 3, 1),
        (6, 4, "bl", f"#{begins:#x}", 2, 2),
        (10, 2, "pop", "{r4, pc}", 3, 3),
    ]


def test_where_a_page_ends_instructions_are_as_long_as_elsewhere(elf, invokes) -> None:
    begins = code_map(elf).address_of("edge")
    assert begins is not None and begins % 1024 == 1018
    found = [(at.size, at.taken) for at in invokes[0].code if 0 <= at.address - begins < 10]
    assert found == [(2, 0), (2, 0), (4, 0), (2, 1)]


def test_vector_table_and_symbols_are_what_is_looked_for(elf) -> None:
    code = code_map(elf)
    assert len(code.handlers) == 2  # of NMI and HardFault, which are one, and SysTick
    assert code.address_of("absent") is None
    assert all(one.end <= other.address for one, other in pairwise(code.functions))
    names = [function.name for function in code.functions]
    assert names[:3] == ["reset", "silent", INVOKE]


BOARDS = ("qemu-m0", "qemu-microbit", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55")


@pytest.mark.parametrize("board", [*BOARDS, pytest.param("qemu-rv32", marks=NEEDS_RISCV)])
def test_counts_are_those_of_the_boards_counter_to_the_instruction(board: str) -> None:
    """Between its two readings lie the call itself and one instruction that keeps the result."""
    declared = load_registry()[board]
    sine = resolve_model("sine", PROJECT.artifacts)
    with open_board(declared, sine, PROJECT, RigOptions(runtime="aot", functions=True)) as opened:
        for number in (1, 2):  # The first was the cold one.
            answered = opened.dut.infer(opened.checks.inputs[number : number + 1])
            counts = opened.counter.read()
            timed = opened.dut.timer.instructions(answered.ticks, declared.ns_per_instruction)
            assert counts.number == number
            assert counts.instructions == int(timed[0]) - 2
            assert counts.by_mnemonic().total() == counts.instructions
        assert opened.firmware is not None
        code = named_by(disassembled(opened.firmware.elf), counts.code)
        assert {at.mnemonic for at in code if kind_of(at.mnemonic) == OTHER} <= NO_KIND


# IT, and what no function of an invoke should need: all else has a kind.
NO_KIND = {"it", "itt", "ite", "ittt", "itte", "itee", "ittet", "itttt", "nop", "nop.w"}


def test_only_qemu_counts() -> None:
    sine = resolve_model("sine", PROJECT.artifacts)
    options = RigOptions(functions=True)
    with pytest.raises(WrongUse, match="counted by QEMU only, which this board is not"):
        with open_board(load_registry()["virtual"], sine, PROJECT, options):
            pytest.fail("opened")
    options = RigOptions(functions=True, port="/dev/ttyACM0")
    with pytest.raises(WrongUse, match="and no port"):
        with open_board(load_registry()["qemu-m4"], sine, PROJECT, options):
            pytest.fail("opened")


def test_without_a_compiler_the_package_is_named(tmp_path, monkeypatch) -> None:
    qemu = installed_qemu(EMULATOR)
    plugin_version(qemu)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="C compiler.*\n.*apt-get install gcc libc6-dev"):
        compiled_plugin(tmp_path / "none", qemu)


def test_a_plugin_that_is_not_whole_any_more_is_compiled_again(tmp_path) -> None:
    qemu = installed_qemu(EMULATOR)
    made = compiled_plugin(tmp_path, qemu)
    whole = made.read_bytes()
    assert compiled_plugin(tmp_path, qemu) == made
    made.write_bytes(whole[:-1])
    assert compiled_plugin(tmp_path, qemu).read_bytes() == whole


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_the_compiler_said_is_shown(tmp_path, monkeypatch) -> None:
    qemu = installed_qemu(EMULATOR)
    script(tmp_path / "cc", "echo 'stdio.h: No such \033[31m file' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RigError, match="stdio.h: No such .x1b.31m file") as caught:
        compiled_plugin(tmp_path / "none", qemu)
    assert "libc6-dev" in str(caught.value) and not list(tmp_path.glob("none/*"))


@pytest.mark.parametrize(
    ("said", "needs"),
    [
        ("echo 'plugin interface not enabled in this build' >&2; exit 1", "not enabled in this"),
        ("echo 'QEMU emulator version 9.2.0 (Debian)'", "QEMU before 9.0 .this is version 9.2.0"),
    ],
)
def test_a_qemu_that_cannot_load_the_plugin_is_named(tmp_path, said: str, needs: str) -> None:
    with pytest.raises(ToolMissing, match=f"{needs}.*\n.*Debian 12's QEMU 7.2 loads plugins"):
        plugin_version(script(tmp_path / "qemu", said))


def test_firmware_without_symbols_is_refused(elf, tmp_path) -> None:
    bare = tmp_path / "bare.elf"
    subprocess.run([ARM_GCC.replace("gcc", "strip"), elf, "-o", bare], check=True)
    with pytest.raises(RigError, match="no symbol _ZN7runtime6InvokeEv"):
        with counting(bare, tmp_path, installed_qemu(EMULATOR), where=WHERE):
            pytest.fail("counting")


def test_before_any_invoke_there_are_no_counts(elf) -> None:
    folder = PROJECT.state / "plugins"
    with counting(elf, folder, installed_qemu(EMULATOR), where=WHERE) as counter:
        with pytest.raises(RigError, match="not whole"):
            counter.read()


def test_names_of_a_foreign_elf_are_bounded(tmp_path) -> None:
    source, made = tmp_path / "foreign.s", tmp_path / "foreign.elf"
    name = "\x1b[31mred" + "x" * 10_000
    source.write_text(
        f'.syntax unified\n.thumb\n.type "{name}",%function\n.global "{name}"\n"{name}": bx lr\n'
    )
    placed = ("-mcpu=cortex-m4", "-nostdlib", "-Wl,-Ttext=0", "-Wl,-e,0")
    subprocess.run([ARM_GCC, *placed, source, "-o", made], check=True)
    (function,) = code_map(made).functions
    assert function.name.startswith("\x1b[31m") and len(function.name) == MOST_NAME
