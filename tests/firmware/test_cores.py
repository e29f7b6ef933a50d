"""On the emulated cores: faults and uses of a heap are named, and garbage at the wire does no harm.

By default one board of each port is taken; with HIL_EVERY_CORE=1 every emulated board, for longer.
HIL_FUZZ_SEED chooses other garbage.
"""

import os
import random
import re

import pytest
from fakes.spoilt import NOWHERE, NOWHERE_RISCV, TELLS, Spoilt, last_words, named
from fakes.streams import random_streams

from harness.board.registry import Board, load_registry
from harness.errors import BoardStatus, HilError, LinkTimeout, PortLost, ProtocolError
from harness.firmware import toolchain
from harness.link.protocol import Hello
from harness.link.streams import ByteStream
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.emulated import check_tools
from harness.rig.open import OpenBoard, RigOptions, open_board

PROJECT = find_project()
REGISTRY = load_registry()
SINE = resolve_model("sine", PROJECT.artifacts)
EVERY = bool(os.environ.get("HIL_EVERY_CORE"))
SEED = int(os.environ.get("HIL_FUZZ_SEED", "16"))
LIVES = 200 if EVERY else 20
EMULATED = [board for board in REGISTRY.boards if board.attachment == "emulator"]
ARDUINO = "qemu-netduinoplus2"
"""Its core is fetched by PlatformIO, and may be missing."""
OURS = [board for board in EMULATED if board.id != ARDUINO]
FEW = ("qemu-m4", "qemu-microbit", "qemu-rv32")
"""One of each port."""


def lacking(board: Board) -> str:
    """What it would take to run the board here, if it cannot."""
    try:
        check_tools(board, PROJECT)
    except HilError as error:
        return error.what
    return ""


def taken(boards: list[Board]) -> pytest.MarkDecorator:
    """Each of the boards that is asked for. Those of `OURS` are never skipped where CI runs."""
    cases = []
    for board in boards:
        if not EVERY and board.id not in FEW:
            continue
        told = "" if os.environ.get("CI") and board in OURS else lacking(board)
        skip = pytest.mark.skipif(bool(told), reason=told)
        cases.append(pytest.param(board, id=board.id, marks=skip))
    return pytest.mark.parametrize("board", cases)


def test_the_few_are_boards_of_all_our_ports() -> None:
    assert {"qemu-m4", "qemu-microbit", "qemu-rv32"} <= {board.id for board in OURS}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory) -> Spoilt:
    return Spoilt(tmp_path_factory.mktemp("spoilt"))


ALLOCATES = {"m": "malloc", "f": "free", "n": "operator new[]"}
OF_A_CORE = {"n": "malloc"}
"""Its operators are its own, and jump there: the address is that of their caller."""
AT, AT_RISCV = f"0x{NOWHERE:08x}", f"0x{NOWHERE_RISCV:08x}"
RISCV = {
    "t": r"breakpoint mcause=0x00000003 mepc=0x8000\w{4} mtval=0x\w{8} sp=0x807f\w{4} ra=",
    "i": r"illegal instruction mcause=0x00000002 mepc=0x8000\w{4} mtval=0x00007053 ",
    "r": rf"load access fault mcause=0x00000005 mepc=0x8000\w{{4}} mtval={AT_RISCV} ",
    "w": rf"store access fault mcause=0x00000007 mepc=0x8000\w{{4}} mtval={AT_RISCV} ",
    "j": rf"instruction access fault mcause=0x00000001 mepc={AT_RISCV} ",
    "s": rf"store access fault mcause=0x00000007 .* sp={AT_RISCV} ra=0x8000",
}
REGISTERS = r" pc=0x\w{8} lr=0x\w{8} xpsr=0x\w{8} r0=0x\w{8}$"
ARM = {  # With the bits of CFSR that the architecture has for each.
    "t": rf"HardFault \(UsageFault\) .* cfsr=0x00010000 hfsr=0x40000000 .*{REGISTERS}",
    "r": rf"HardFault \(BusFault\) .* cfsr=0x00008200 .* bfar={AT} .*{REGISTERS}",
    "w": rf"HardFault \(BusFault\) .* cfsr=0x00008200 .* bfar={AT} .*{REGISTERS}",
    "j": rf"HardFault \(BusFault\) .* cfsr=0x00000100 .* pc={AT} ",
    "s": r"HardFault \(BusFault\) .* sp=0x3effff\w\w$",
}
ARMV6 = {  # Which has no register that tells the cause.
    **dict.fromkeys("trw", rf"HardFault ipsr=0x00000003 .*{REGISTERS}"),
    "j": "HardFault ipsr=0x00000003 ",
    "s": r"HardFault ipsr=0x00000003 .* sp=0x3effff\w\w$",
}


def on_riscv(board: Board) -> bool:
    return board.toolchain == toolchain.RISCV.prefix


def faults_of(board: Board) -> dict[str, str]:
    if on_riscv(board):
        return RISCV
    if board.id == ARDUINO:
        return {**ARM, "a": ARM["t"]}
    return ARMV6 if (board.core or "").startswith("cortex-m0") else ARM


@taken(EMULATED)
def test_what_uses_a_heap_is_named_and_ends_it(spoilt: Spoilt, board: Board) -> None:
    elf = spoilt.elf(board)
    # Newlib's functions call one with a structure of its own.
    library = {"l": "malloc" if on_riscv(board) else "_malloc_r"}
    of_core = OF_A_CORE if board.id == ARDUINO else {}
    for told, name in {**ALLOCATES, **library, **of_core}.items():
        heap = re.escape(f"{name} called, but there is no heap; lr=0x") + r"\w{8}$"
        assert re.match(heap, named(last_words(board, elf, told)))


@taken(EMULATED)
def test_every_fault_is_named_and_ends_it(spoilt: Spoilt, board: Board) -> None:
    elf = spoilt.elf(board)
    for told, fault in faults_of(board).items():
        # One of them where time does not count.
        said = named(last_words(board, elf, told, counted=told != "t"))
        assert re.match(fault, said), (told, said)


@taken(EMULATED)
def test_a_board_is_back_after_a_fault(spoilt: Spoilt, board: Board) -> None:
    with open_board(board, spoilt.sine, spoilt.project, RigOptions()) as opened:
        before = opened.dut.hello
        for told in "tm":
            with pytest.raises(PortLost, match="it said: firmware fault: ") as caught:
                wire(opened).write(TELLS + told.encode())
                opened.dut.infer(opened.checks.inputs[:1])
            step = opened.recover_in_run(caught.value)[-1]
            assert str(step) == "start the emulator anew: it answers"
        assert opened.dut.hello == before
        assert opened.comparison().mismatches == 0


def wire(opened: OpenBoard) -> ByteStream:
    return opened.dut.link._stream


def garbage(rng: random.Random) -> list[bytes]:
    """What a host may send in the life of a board: requests, text, damage, or no sense."""
    if rng.random() < 0.2:
        return [rng.randbytes(rng.choice((1, 30, 300, 1500))) for _ in range(rng.randrange(1, 4))]
    (life,) = random_streams(rng, 1)
    # The other steps say what board it is, and when.
    return [bytes.fromhex(step) for step in life.split() if re.fullmatch(r"([0-9a-f]{2})+", step)]


def greeted(opened: OpenBoard) -> Hello:
    """Its HELLO once it is done with the garbage: the answer to a request of that may come late,
    with the number that ours has, and a busy machine takes seconds for 3000 bytes."""
    for quiet_s in (0.02, 0.2, 2.0):
        try:
            opened.dut.link.resync(quiet_s)
            return opened.dut.greet()
        except (BoardStatus, LinkTimeout, ProtocolError):
            continue
    opened.dut.link.resync(5.0)
    return opened.dut.greet()


@taken(EMULATED)
def test_a_board_answers_rightly_after_any_garbage(board: Board) -> None:
    rng = random.Random(SEED)
    with open_board(board, SINE, PROJECT, RigOptions()) as opened:
        hello, inputs = opened.dut.hello, opened.checks.inputs[:8]
        expected = opened.dut.infer(inputs).samples
        for life in range(LIVES):
            pieces = garbage(rng)
            print(f"HIL_FUZZ_SEED={SEED}, life {life}: {[piece.hex() for piece in pieces]}")
            for piece in pieces:
                wire(opened).write(piece)
                wire(opened).read(0)  # The board's answers, or it would wait for a reader.
            assert greeted(opened) == hello
            assert opened.dut.infer(inputs).samples.tobytes() == expected.tobytes()
        assert opened.comparison().mismatches == 0
        memory = opened.dut.memory()
        assert memory is not None and memory.stack_used_bytes < memory.stack_bytes
