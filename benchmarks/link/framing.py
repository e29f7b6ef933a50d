"""How much of a UART's bytes is payload: arithmetic, and bytes counted on the wire.

    python -m benchmarks.link.framing

Payload is inputs, outputs and each sample's ticks as packed; the rest is delimiters, COBS, CRC,
number, op, count and the head of the ticks. The last column is what ticks of four bytes would take.
"""

import numpy as np

from benchmarks.opened import opened
from harness.link.protocol import pack_ticks

BAUD = 115_200
BITS_PER_BYTE = 10  # 8N1
TICKS_HEAD = 5


def wire_bytes(request: int, reply: int) -> int:
    """Most bytes of a request and a reply with bodies of these sizes.

    A frame adds two delimiters, four CRC bytes, number, op, and one COBS byte per begun 254.
    """
    stuffed = (request + 6, reply + 6)
    return sum(size + (size + 253) // 254 + 2 for size in stuffed)


def main() -> None:
    with opened("qemu-m4") as board:
        dut = board.dut
        taken, given = dut.hello.input_bytes, dut.hello.output_bytes
        for count in (1, 8, 48, 64, 128, 256, dut.hello.max_infer):
            samples = np.resize(np.arange(-128, 128), count).astype(np.int8)
            before = dut.link.stats
            _, ticks = dut._infer_once(count, samples.tobytes())
            counted = dut.link.stats - before
            width = (len(pack_ticks(ticks)) - TICKS_HEAD) // count
            payload = count * (taken + given + width)
            most = wire_bytes(2 + count * taken, 2 + TICKS_HEAD + count * (given + width))
            plain = wire_bytes(2 + count * taken, 2 + count * (given + 4))
            on_wire = counted.sent_bytes + counted.received_bytes
            rate = count * BAUD / BITS_PER_BYTE / on_wire
            print(
                f"batch {count:3}: payload {payload:4} B; wire {most:4} B at most, {on_wire:4} B "
                f"counted; {payload / on_wire:6.1%} payload; {rate:5.0f} samples/s at {BAUD} baud; "
                f"unpacked {plain:4} B, {plain / on_wire:.2f} times"
            )


if __name__ == "__main__":
    main()
