"""The emulated RISC-V: its counter counts instructions."""

import os
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import load_registry
from harness.errors import CoreLacks, Where
from harness.firmware import build
from harness.firmware.build import Builder, build_id
from harness.firmware.platformio import Job
from harness.firmware.toolchain import ARM, RISCV
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.qemu import QemuProcess

PROJECT = find_project()
BOARD = load_registry()["qemu-rv32"]
SINE = resolve_model("sine", PROJECT.artifacts)
WHERE = Where(board=BOARD.id)
assert BOARD.emulator is not None
TOOLS = (RISCV.gcc, BOARD.emulator.program)
# Never skipped where CI runs: .ci/run installs them, and without them that is an error.
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)) and not os.environ.get("CI"),
    reason=f"{' or '.join(TOOLS)} is not installed",
)

TURNS = (1, 2, 3, 10, 1000, 99_999, 40_000_000)
"""The last takes more than the low half of the counter holds."""

COUNTING = """
.option arch, +zicsr
  li s0, 0x10000000             # The UART.
  la s1, turns
next:
  lw s2, (s1)
  beqz s2, end
  addi s1, s1, 4
  csrr s3, mcycleh
  csrr s4, mcycle
1: addi s2, s2, -1              # Two instructions in each turn.
  bnez s2, 1b
  csrr s5, mcycle
  csrr s6, mcycleh
  mv a0, s4
  call send
  mv a0, s3
  call send
  mv a0, s5
  call send
  mv a0, s6
  call send
  j next
end: j end
send:
  li t0, 4
1: lbu t1, 5(s0)
  andi t1, t1, 0x20
  beqz t1, 1b
  sb a0, (s0)
  srli a0, a0, 8
  addi t0, t0, -1
  bnez t0, 1b
  ret
.align 2
turns: .word {turns}, 0
"""


def counts_of(elf: Path) -> list[int]:
    """Nanoseconds by mcycle, from its first reading to its second, for each of TURNS."""
    assert BOARD.emulator is not None
    size = 16 * len(TURNS)
    with QemuProcess(BOARD.emulator, elf, where=WHERE) as process:
        received = b""
        while len(received) < size and (more := process.stream.read(30)):
            received += more
    pairs = struct.iter_unpack("<QQ", received)
    return [after - before for before, after in pairs]


def test_mcycle_counts_128_ns_for_every_instruction(tmp_path: Path) -> None:
    source, elf = tmp_path / "counting.S", tmp_path / "counting.elf"
    source.write_text(COUNTING.format(turns=", ".join(map(str, TURNS))))
    flags = ("-march=rv32imac", "-mabi=ilp32", "-nostdlib", "-Wl,-Ttext=0x80000000")
    subprocess.run([RISCV.gcc, *flags, "-Wl,-e,0x80000000", source, "-o", elf], check=True)
    # The loop, and the second reading itself.
    assert counts_of(elf) == [128 * (2 * turns + 1) for turns in TURNS]


def test_an_invoke_takes_as_many_instructions_at_every_start_and_repeat() -> None:
    counts = set()
    for _ in range(2):
        with open_board(BOARD, SINE, PROJECT, RigOptions()) as opened:
            measured = opened.dut.measure(opened.checks.inputs[:1], 500)
            ns = opened.declared.ns_per_instruction
            counts |= set(measured.timer.instructions(measured.ticks, ns).tolist())
            # Each tick is an instruction, so that no rounding hides one.
            assert measured.ticks.min() - measured.timer.read_ticks in counts
    assert len(counts) == 1


def test_firmware_for_a_larger_core_is_refused_when_it_is_built() -> None:
    builder = Builder(PROJECT)
    with pytest.raises(CoreLacks, match=r"a rv32iac does not have: .*mul \(of M\) in "):
        builder.build(replace(BOARD, core="rv32iac"), "aot", SINE)


LENT = """
#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
static_assert(sizeof(std::size_t) == 4 && sizeof(std::intptr_t) == 4 && sizeof(long) == 4);
static_assert(std::numeric_limits<float>::is_iec559);
int Clamped(float value) {
  return std::min<int>(std::max(std::lround(value), -128l), std::numeric_limits<int8_t>::max());
}
"""


def test_arms_cpp_headers_serve_for_tflite_micro(tmp_path: Path) -> None:
    """As platform/builder/main.py takes them for the environment qemu-rv32-tflm."""
    lender, taker = (gcc.replace("gcc", "g++") for gcc in (ARM.gcc, RISCV.gcc))
    asked = subprocess.run(
        [lender, "-xc++", "-E", "-v", os.devnull], capture_output=True, text=True, check=True
    )
    folders = re.findall(r"^ (\S*/c\+\+/\S*)$", asked.stderr, re.MULTILINE)
    assert folders
    source, made = tmp_path / "lent.cpp", tmp_path / "lent.o"
    source.write_text(LENT)
    flags = ["-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs", "-std=c++17", "-O2"]
    headers = [word for folder in folders for word in ("-isystem", folder)]
    strict = ("-fno-exceptions", "-fno-rtti", "-Wall", "-Werror", "-c")
    subprocess.run([taker, *flags, *headers, *strict, source, "-o", made], check=True)
    # All of it is inline: nothing of a library of Arm's is needed.
    listed = [RISCV.gcc.replace("gcc", "nm"), "-u", made]
    symbols = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    assert symbols.split() == ["U", "lroundf"]


def test_the_lenders_version_is_part_of_the_build_id(monkeypatch) -> None:
    job = Job(board=BOARD, runtime="tflm", artifact=SINE)
    versions = {RISCV.prefix: "12.2.0", ARM.prefix: "12.2.1"}
    monkeypatch.setattr(build, "gcc_version", lambda prefix, *_: versions[prefix])
    before = build_id(PROJECT, job)
    assert build_id(PROJECT, job) == before
    versions[ARM.prefix] = "12.3.1"
    assert build_id(PROJECT, job) != before
