"""The stack's mark on the emulated board: that it is true, and not only plausible."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.sources import changed_sources

from harness.board.registry import load_registry
from harness.errors import Where
from harness.firmware.build import Builder, Firmware
from harness.firmware.elf import elf_sections
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.protocol import BoardMemory
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.qemu import QemuProcess

PROJECT = find_project()
BOARD = load_registry()["qemu-m4"]
SINE = resolve_model("sine", PROJECT.artifacts)
WHERE = Where(board=BOARD.id, model=SINE.name)
PAINT = 0xCCCCCCCC


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return Builder(PROJECT).build(BOARD, "aot", SINE)


@contextmanager
def running(firmware: Firmware) -> Iterator[tuple[QemuProcess, Dut]]:
    assert BOARD.emulator is not None
    with QemuProcess(BOARD.emulator, firmware.elf, where=WHERE) as qemu:
        dut = Dut(Link(qemu.stream, where=WHERE))
        dut.greet()
        yield qemu, dut


def mark(dut: Dut) -> BoardMemory:
    memory = dut.memory()
    assert memory is not None
    return memory


def infer(dut: Dut) -> None:
    assert SINE.goldens is not None
    dut.infer(SINE.goldens.inputs[:2])


def stack_words(qemu: QemuProcess, firmware: Firmware, folder: Path) -> tuple[int, ...]:
    """The stack as QEMU sees it, lowest address first."""
    area = next(area for area in elf_sections(firmware.elf) if area.name == ".stack")
    dump = folder / "stack.bin"
    arguments = {"val": area.address, "size": area.size_bytes, "filename": str(dump)}
    qemu.qmp("pmemsave", arguments)
    return struct.unpack(f"<{area.size_bytes // 4}I", dump.read_bytes())


def test_the_mark_is_where_the_paint_ends_in_the_boards_memory(firmware, tmp_path) -> None:
    with running(firmware) as (qemu, dut):
        infer(dut)
        memory = mark(dut)
        words = stack_words(qemu, firmware, tmp_path)
    untouched = next(index for index, word in enumerate(words) if word != PAINT)
    assert memory.stack_bytes == 4 * len(words)
    assert memory.stack_used_bytes == 4 * (len(words) - untouched)
    assert 0 < memory.stack_used_bytes < memory.stack_bytes


def test_the_mark_grows_with_what_runs_and_a_reset_begins_anew(firmware) -> None:
    with running(firmware) as (_, dut):
        greeted = mark(dut)
        infer(dut)
        inferred = mark(dut)
        dut.reset()
        assert mark(dut) == greeted
    assert greeted.stack_used_bytes < inferred.stack_used_bytes


def test_two_runs_of_the_same_have_the_same_mark(firmware) -> None:
    marks = []
    for _ in range(2):
        with running(firmware) as (_, dut):
            infer(dut)
            marks.append(mark(dut))
    assert marks[0] == marks[1]


def test_a_deeper_model_is_seen_as_that_much_deeper(firmware, tmp_path) -> None:
    deep = 4096
    call = "kAotModel.infer();"
    frame = (
        f"[[maybe_unused]] volatile uint8_t deep[{deep}];\n  deep[0] = 0;\n  {call}\n  deep[1] = 0;"
    )
    project = changed_sources(tmp_path, "firmware/src/runtime/aot.cpp", call, frame)
    deeper = Builder(project).build(BOARD, "aot", SINE)
    used = []
    for built in (firmware, deeper):
        with running(built) as (_, dut):
            infer(dut)
            used.append(mark(dut).stack_used_bytes)
    # What is deepest without the model may be something else, by less than its own frame.
    assert deep - 512 <= used[1] - used[0] <= deep + 64
