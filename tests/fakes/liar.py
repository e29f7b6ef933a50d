"""A board that answers wrongly from one of its answers on, in a way that is chosen by a seed."""

from __future__ import annotations

import random
import struct

from fakes.fakeboard import Bench

from harness.errors import Where
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.loading import Errand
from harness.link.protocol import (
    REPLY,
    Message,
    Op,
    decode_frame,
    encode_frame,
)

LIES = (
    *("number", "number", "number", "cut", "longer", "random", "op", "sequence", "error"),
    *("twice", "silent", "babble"),
)
_NUMBERS = (
    bytes(8),
    b"\xff" * 8,
    b"\xff\xff\xff\x7f" * 2,
    b"\0\0\0\x80" * 2,
    b"\0\0\xc0\x7f" * 2,  # NaN as a float32
    b"\0\0\x80\x7f" * 2,  # infinite
    b"\1" + bytes(7),
)
_TEXTS = (b"\0", b"\3\x1b[2", b"\2\xff\xfe", b"\4abcd")
_BABBLE = (b"\0", b"x" * 4096, b"temp=21\r\n", b"\xff\0\x13", encode_frame(Message(seq=9, op=0x85)))


class Liar:
    """A stream with the bench's board behind it, on a clock of its own.

    Args:
        lie: one of LIES; what becomes of every answer from `first` on, counted from 1.
    """

    def __init__(self, lie: str, first: int, rng: random.Random) -> None:
        self.now_s = 0.0
        self._lie = lie
        self._first = first
        self._rng = rng
        self._answers = 0
        self._waiting = self._babble = b""
        self.bench = Bench()
        for name, value in (("steps", "8"), ("stateful", "1"), ("marks", "1"), ("room", "1000")):
            self.bench.set(name, value)

    def dut(self, errand: Errand | None = None) -> Dut:
        link = Link(self, where=Where(board="nano", port="COM1"), clock=lambda: self.now_s)
        return Dut(link, errand=errand, clock=lambda: self.now_s)

    def write(self, data: bytes) -> None:
        self.bench.now_s = self.now_s
        answer = self.bench.board.feed(data)
        self._answers += bool(answer)
        self._waiting += self._spoilt(answer) if self._answers >= self._first else answer

    def read(self, timeout_s: float) -> bytes:
        data, self._waiting = self._waiting or self._babble, b""
        self.now_s += 0.001 if data else timeout_s
        return data

    def close(self) -> None:
        pass

    def _spoilt(self, answer: bytes) -> bytes:
        if self._lie == "babble":
            self._babble = self._rng.choice(_BABBLE)
        if b"\0" not in answer:
            return answer[: self._rng.randrange(len(answer) + 1)]
        return b"".join(self._told(decode_frame(piece)) for piece in answer.split(b"\0") if piece)

    def _told(self, truth: Message) -> bytes:
        rng, body = self._rng, truth.body
        seq, op = truth.seq, truth.op
        if self._lie == "silent":
            return b""
        if self._lie == "number" and body:
            place, size = rng.randrange(len(body)), rng.choice((1, 2, 4, 4, 8))
            number = rng.choice((*_NUMBERS, rng.randbytes(8)))[:size]
            body = (body[:place] + number + body[place + size :])[: len(body)]
        elif self._lie == "cut":
            body = body[: rng.randrange(len(body) + 1)]
        elif self._lie == "longer":
            body += rng.randbytes(rng.randrange(1, 60_000))
        elif self._lie == "random":
            body = rng.randbytes(rng.choice((0, 1, 4, 6, 17, 100)))
        elif self._lie == "op":
            op = rng.choice((0, Op.RUN, Op.HELLO | REPLY, Op.RUN | REPLY, Op.ERROR | REPLY))
        elif self._lie == "sequence":
            seq = rng.choice((0, 255, seq - 1 & 255, seq + 1 & 255))
        elif self._lie == "error":
            op = Op.ERROR | REPLY
            asked = rng.choice((0, truth.op & ~REPLY, int(Op.WRITE)))
            detail = rng.choice((0, 0xFFFFFFFF))
            body = struct.pack("<BBI", rng.randrange(20), asked, detail) + rng.choice(_TEXTS)
        frame = encode_frame(Message(seq=seq, op=op, body=body))
        return frame * 2 if self._lie == "twice" else frame
