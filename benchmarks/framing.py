"""How much of a UART's bytes is payload: arithmetic, and bytes counted on the wire.

    python -m benchmarks.framing

Payload is inputs, outputs and tick counts; the rest is delimiters, COBS, CRC, number, op and count.
"""

import numpy as np

from benchmarks.opened import opened

BAUD = 115_200
BITS_PER_BYTE = 10  # 8N1


def overhead(count: int, input_bytes: int, output_bytes: int) -> tuple[int, int]:
    """Payload and wire bytes of one INFER of `count` samples, request and reply.

    A frame adds two delimiters, four CRC bytes, number, op, and one COBS byte per begun 254.
    """
    request, reply = count * input_bytes, count * (output_bytes + 4)
    wire = 0
    for body in (request + 2, reply + 2):
        stuffed = body + 2 + 4
        wire += stuffed + (stuffed + 253) // 254 + 2
    return request + reply, wire


def main() -> None:
    with opened("qemu-m4") as board:
        dut = board.dut
        sizes = (dut.hello.input_bytes, dut.hello.output_bytes)
        for count in (1, 8, 48, 64, 128, dut.hello.max_infer):
            samples = np.resize(np.arange(-128, 128), count).astype(np.int8)
            before = dut.link.stats
            sent = 0
            while sent < 100:
                dut._infer_once(count, samples.tobytes())
                sent += 1
            counted = dut.link.stats - before
            payload, wire = overhead(count, *sizes)
            on_wire = (counted.sent_bytes + counted.received_bytes) / sent
            seconds = on_wire * BITS_PER_BYTE / BAUD
            print(
                f"batch {count:3}: payload {payload:5} B, wire at most {wire:5} B by arithmetic, "
                f"{on_wire:7.1f} B counted: {payload / on_wire:6.1%} payload; "
                f"{count / seconds:6.0f} samples/s fit through {BAUD} baud"
            )


if __name__ == "__main__":
    main()
