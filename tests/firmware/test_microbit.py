"""The emulated micro:bit: its counter counts instructions, and faults are told from answers."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.board.registry import load_registry
from harness.errors import Where
from harness.link.streams import StreamClosed
from harness.measure.latency import Timer
from harness.rig.faultline import FaultLineStream
from harness.rig.qemu import QemuProcess

BOARD = load_registry()["qemu-microbit"]
WHERE = Where(board=BOARD.id)
assert BOARD.emulator is not None
NS = BOARD.ns_per_instruction
TURNS = (*range(1, 40), 1000, 99_999, 3_000_000)

COUNTING = """
.syntax unified
.cpu cortex-m0
.thumb
.word 0x20004000, reset + 1
.thumb_func
reset:
  ldr r0, =0x40002000           @ The UART: enabled, its transmitter started.
  movs r1, #4
  movs r2, #5
  lsls r2, r2, #8
  str r1, [r0, r2]
  movs r1, #1
  str r1, [r0, #8]
  ldr r4, =0x40008000           @ TIMER0: of 32 bits, started.
  movs r1, #3
  adds r2, #8
  str r1, [r4, r2]
  movs r1, #1
  str r1, [r4]
  ldr r6, =turns
next:
  ldr r7, [r6]
  adds r6, #4
  cmp r7, #0
  beq end
  movs r1, #1
  ldr r3, =0x540                @ Compare register 0, and 1 behind it.
  str r1, [r4, #0x40]           @ Capture 0.
1: subs r7, #1                  @ Two instructions in each turn.
  bne 1b
  str r1, [r4, #0x44]           @ Capture 1.
  ldr r5, [r4, r3]
  adds r3, #4
  ldr r3, [r4, r3]
  subs r5, r3, r5
  movs r7, #4
  ldr r2, =0x11c
  ldr r3, =0x51c
2: movs r1, #0
  str r1, [r0, r2]
  str r5, [r0, r3]
3: ldr r1, [r0, r2]
  cmp r1, #0
  beq 3b
  lsrs r5, r5, #8
  subs r7, #1
  bne 2b
  b next
end: b end
.pool
.align 2
turns: .word {turns}, 0
"""


def test_timer0_gives_the_exact_number_of_instructions(tmp_path: Path) -> None:
    """Ticks of 62.5 ns and instructions of 128 ns: rounding gives these, whatever the phase."""
    source, elf = tmp_path / "counting.S", tmp_path / "counting.elf"
    source.write_text(COUNTING.format(turns=", ".join(map(str, TURNS))))
    flags = ("-mcpu=cortex-m0", "-mthumb", "-nostdlib", "-Wl,-Ttext=0", "-Wl,-e,0")
    subprocess.run(["arm-none-eabi-gcc", *flags, source, "-o", elf], check=True)
    assert BOARD.emulator is not None and NS is not None
    received = b""
    with QemuProcess(BOARD.emulator, elf, where=WHERE) as process:
        while len(received) < 4 * len(TURNS) and (more := process.stream.read(30)):
            received += more
    ticks = np.frombuffer(received, "<u4")
    timer = Timer(hz=BOARD.clock_hz, step_ticks=1, read_ticks=0)
    # The loop, and the second capture itself.
    assert timer.instructions(ticks, NS).tolist() == [2 * turns + 1 for turns in TURNS]


FAULT = b"firmware fault: HardFault ipsr=0x00000003"


@pytest.mark.parametrize(
    "said, ended",
    [
        ((b"\0\0" + FAULT + b"\n",), True),
        ((b"y=0.5 us=\0" + FAULT[:9], FAULT[9:], b"\n"), True),
        ((b"\0\1\2\0\0" + FAULT, b"\n"), True),
        # What it echoes of a person's line, and a frame that holds such words.
        ((b"error not-a-number: " + FAULT + b"\n",), False),
        ((b"\0" + FAULT + b"\n\0",), False),
        ((FAULT + b"\n",), False),
        ((b"\0" + FAULT + b"\x1b[2J\n",), False),
    ],
)
def test_a_faults_line_ends_the_board_and_nothing_else_does(
    said: tuple[bytes, ...], ended: bool
) -> None:
    ours, theirs = socket.socketpair()
    told: list[str] = []
    stream = FaultLineStream(ours, lambda: "ended", told.append)
    with theirs:
        for piece in said[:-1]:
            theirs.sendall(piece)
            assert stream.read(1) == piece
        theirs.sendall(said[-1])
        if ended:
            with pytest.raises(StreamClosed, match="ended"):
                stream.read(1)
        else:
            assert stream.read(1) == said[-1]
    stream.close()
    assert told == ([FAULT.decode()] if ended else [])
