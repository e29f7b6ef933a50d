"""The stack's mark on the emulated board: that it is true, and not only plausible."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.sources import changed_sources, lend_packages

from harness.board.registry import Board, load_registry
from harness.errors import ToolMissing, Where
from harness.firmware.build import Builder, Firmware
from harness.firmware.elf import elf_sections
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.protocol import BoardMemory
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.emulated import check_tools
from harness.rig.qemu import QemuProcess

PROJECT = find_project()
REGISTRY = load_registry()
SINE = resolve_model("sine", PROJECT.artifacts)
PAINT = 0xCCCCCCCC
NETDUINOPLUS2_RAM_END = 0x20020000
BOARDS = ["qemu-m4"]
if os.environ.get("HIL_EVERY_CORE"):
    BOARDS.append("qemu-netduinoplus2")  # Its stack begins where the core's heap ends.


@pytest.fixture(scope="module", params=BOARDS)
def board(request: pytest.FixtureRequest) -> Board:
    found = REGISTRY[request.param]
    try:
        check_tools(found, PROJECT)
    except ToolMissing as error:
        pytest.skip(error.what)
    return found


@pytest.fixture(scope="module")
def firmware(board: Board) -> Firmware:
    return Builder(PROJECT).build(board, "aot", SINE)


@contextmanager
def running(board: Board, firmware: Firmware) -> Iterator[tuple[QemuProcess, Dut]]:
    where = Where(board=board.id, model=SINE.name)
    assert board.emulator is not None
    with QemuProcess(board.emulator, firmware.elf, where=where) as qemu:
        dut = Dut(Link(qemu.stream, where=where))
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
    sections = {area.name: area for area in elf_sections(firmware.elf)}
    if own := sections.get(".stack"):
        begin, end = own.address, own.address + own.size_bytes
    else:
        begin, end = sections["._user_heap_stack"].address, NETDUINOPLUS2_RAM_END
    dump = folder / "stack.bin"
    qemu.qmp("pmemsave", {"val": begin, "size": end - begin, "filename": str(dump)})
    return struct.unpack(f"<{(end - begin) // 4}I", dump.read_bytes())


def test_the_mark_is_where_the_paint_ends_in_the_boards_memory(board, firmware, tmp_path) -> None:
    with running(board, firmware) as (qemu, dut):
        infer(dut)
        memory = mark(dut)
        words = stack_words(qemu, firmware, tmp_path)
    untouched = next(index for index, word in enumerate(words) if word != PAINT)
    assert memory.stack_bytes == 4 * len(words)
    assert memory.stack_used_bytes == 4 * (len(words) - untouched)
    assert 0 < memory.stack_used_bytes < memory.stack_bytes


def test_the_mark_grows_with_what_runs_and_a_reset_begins_anew(board, firmware) -> None:
    with running(board, firmware) as (_, dut):
        greeted = mark(dut)
        infer(dut)
        inferred = mark(dut)
        dut.reset()
        assert mark(dut) == greeted
    assert greeted.stack_used_bytes < inferred.stack_used_bytes


def test_two_runs_of_the_same_have_the_same_mark(board, firmware) -> None:
    marks = []
    for _ in range(2):
        with running(board, firmware) as (_, dut):
            infer(dut)
            marks.append(mark(dut))
    assert marks[0] == marks[1]


def test_a_deeper_model_is_seen_as_that_much_deeper(board, firmware, tmp_path) -> None:
    deep = 4096
    call = "kAotModel.infer();"
    frame = (
        f"[[maybe_unused]] volatile uint8_t deep[{deep}];\n  deep[0] = 0;\n  {call}\n  deep[1] = 0;"
    )
    project = changed_sources(tmp_path, "firmware/src/runtime/aot.cpp", call, frame)
    lend_packages(project)
    deeper = Builder(project).build(board, "aot", SINE)
    used = []
    for built in (firmware, deeper):
        with running(board, built) as (_, dut):
            infer(dut)
            used.append(mark(dut).stack_used_bytes)
    # What is deepest without the model may be something else, by less than its own frame.
    assert deep - 512 <= used[1] - used[0] <= deep + 64
