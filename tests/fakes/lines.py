"""Lines between a link and a virtual board in memory, on simulated time."""

from collections.abc import Callable, Iterator

import numpy as np
from fakes.described import hello

from harness.errors import Where
from harness.link.dut import Dut
from harness.link.link import Link, LinkOptions
from harness.link.protocol import BASE_BAUD, Capability, Hello
from harness.link.speed import Line
from harness.link.virtual import VirtualBoard
from harness.model.tensor import TensorSpec

BITS = 10
"""Of a byte on a UART: start, eight of data, stop."""

IMAGE = TensorSpec(shape=(1, 784), dtype="int8", scale=1 / 255, zero_point=-128)
CLASSES = TensorSpec(shape=(1, 10), dtype="int8", scale=1 / 256, zero_point=-128)
"""What a classifier of Fashion-MNIST takes and gives."""


def classifier(rates: tuple[int, ...] = ()) -> Hello:
    """A board with that model and a UART of these rates."""
    kept = Capability.INFER | Capability.TENSORS | Capability.RESET
    return hello(
        capabilities=kept | (Capability.SPEED if rates else Capability(0)),
        rates=rates,
        max_payload=1024,
        inputs=(IMAGE,),
        outputs=(CLASSES,),
    )


class Uart:
    """A byte stream to a board's UART: every byte takes its time, at each end by that end's rate.

    `most_baud` is what the bridge between them carries: it takes a faster rate and goes on as it
    was. `rates_here` are those that this machine's port has; None for any.
    """

    def __init__(
        self,
        described: Hello,
        *,
        most_baud: int = 10_000_000,
        rates_here: tuple[int, ...] | None = None,
        breaks: bool = True,
    ) -> None:
        self.now = 0.0
        self.baud = BASE_BAUD
        self.damages: Callable[[bytes], bytes] = bytes
        self.board = VirtualBoard(
            described, self._invoke, ticks=lambda: int(self.now * 1e6), clock=lambda: self.now
        )
        self._most = most_baud
        self._here = rates_here
        self._breaks = breaks
        self._waiting = b""

    def _invoke(self, raw: bytes) -> bytes:
        return np.frombuffer(raw, dtype=np.int8)[: CLASSES.size_bytes].tobytes()

    @property
    def _bridge(self) -> int:
        return self.baud if self.baud <= self._most else BASE_BAUD

    def set_baud(self, baud: int) -> bool:
        if self._here is not None and baud not in self._here:
            return False
        self.baud = baud
        return True

    def write(self, data: bytes) -> None:
        for byte in data:
            self.now += BITS / self._bridge
            if self._bridge == self.board.baud:
                self._send(self.damages(bytes((byte,))))
            else:
                if byte == 0 and self._breaks and self.board.baud >= 2 * self._bridge:
                    self.board.line_break()
                self._send(bytes((byte ^ 0x5A,)))

    def _send(self, data: bytes) -> None:
        baud = self.board.baud
        reply = self.board.feed(data)
        self.now += len(reply) * BITS / baud
        alike = baud == self._bridge
        self._waiting += self.damages(reply) if alike else bytes(byte ^ 0xA5 for byte in reply)

    def read(self, timeout_s: float) -> bytes:
        self.now += 0 if self._waiting else timeout_s
        data, self._waiting = self._waiting, b""
        return data

    def close(self) -> None:
        self.closed_at = self.baud


class UsbEndpoint:
    """A byte stream to a board's own USB, with the fault of mbed's stack.

    The size of a packet is asked for when the next one may have come already: a shorter one cuts
    the full one before it to its own length.
    """

    def __init__(self, described: Hello) -> None:
        self.now = 0.0
        self.cut = 0
        self._board = VirtualBoard(
            described, lambda raw: raw[:10], ticks=lambda: 0, clock=lambda: self.now
        )
        self._waiting = b""

    def write(self, data: bytes) -> None:
        for packet in self._arriving([data[at : at + 64] for at in range(0, len(data), 64)]):
            self._waiting += self._board.feed(packet)

    def _arriving(self, packets: list[bytes]) -> Iterator[bytes]:
        for packet, following in zip(packets, [*packets[1:], packets[-1]], strict=True):
            self.cut += len(following) < len(packet)
            yield packet[: len(following)]

    def read(self, timeout_s: float) -> bytes:
        self.now += 0 if self._waiting else timeout_s
        data, self._waiting = self._waiting, b""
        return data

    def close(self) -> None:
        pass


def greeted(
    wire: Uart | UsbEndpoint, line: Line | None = None, options: LinkOptions | None = None
) -> Dut:
    """The board behind a line, after HELLO."""
    where = Where(board="nano", port="none")
    link = Link(wire, where=where, line=line, options=options, clock=lambda: wire.now)
    dut = Dut(link, clock=lambda: wire.now)
    dut.greet()
    return dut
