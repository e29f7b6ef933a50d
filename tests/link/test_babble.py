"""Boards that talk without being asked: every wait ends, nothing piles up, the error says so."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import numpy as np
import pytest
from fakes.described import hello

from harness.errors import BoardTalks, LinkTimeout, Where
from harness.link.dut import Dut
from harness.link.link import DRAIN_S, Link, LinkOptions
from harness.link.protocol import Op, decode_frame
from harness.link.virtual import VirtualBoard

WHERE = Where(board="nano", port="/dev/ttyACM0")
OPTIONS = LinkOptions(timeout_s=2.0, attempts=8, silent_attempts=3)


class Babbler:
    """A stream that brings a piece every `every_s` once `begins` is true of what is written.

    Until then it is a good board. It has its own clock.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        every_s: float = 0.001,
        begins: Callable[[bytes], bool] = lambda written: True,
    ) -> None:
        self.now_s = 0.0
        self._pieces = pieces
        self._every_s = every_s
        self._begins = begins
        self._talks = False
        self._next_s = 0.0
        self._waiting = b""
        self.board = VirtualBoard(hello(), lambda raw: b"\0", ticks=int, clock=lambda: self.now_s)

    def write(self, data: bytes) -> None:
        if not self._talks and self._begins(data):
            self._talks, self._next_s = True, self.now_s
        if not self._talks:
            self._waiting += self.board.feed(data)

    def read(self, timeout_s: float) -> bytes:
        if not self._talks:
            data, self._waiting = self._waiting, b""
            self.now_s += 0.001 if data else timeout_s
            return data
        if self._next_s > self.now_s + timeout_s:
            self.now_s += timeout_s
            return b""
        self.now_s = max(self.now_s, self._next_s) + 1e-4
        self._next_s = self.now_s + self._every_s
        return next(self._pieces)

    def close(self) -> None:
        pass

    def dut(self) -> Dut:
        link = Link(self, where=WHERE, options=OPTIONS, clock=lambda: self.now_s)
        return Dut(link, clock=lambda: self.now_s)


@pytest.mark.parametrize("piece", [b"\0", b"x" * 65536, b"temp=21.5\r\n", b"\xff\x00\x13"])
def test_a_line_that_is_never_quiet_is_given_up(piece: bytes) -> None:
    stream = Babbler(repeat(piece))
    with pytest.raises(BoardTalks) as caught:
        stream.dut().greet()
    assert stream.now_s < DRAIN_S + 0.1
    assert caught.value.count >= len(piece) and len(caught.value.received) <= 65536


def test_the_error_shows_what_the_board_says_and_why_it_may() -> None:
    with pytest.raises(BoardTalks) as caught:
        Babbler(repeat(b"\x1b[31mtemp=21.5\r\n"), 0.005).dut().greet()
    text = str(caught.value)
    assert "the board talks without being asked" in text and "(board nano, port /dev/tty" in text
    assert r"\x1b[31mtemp=21.5\r\n" in text and "\x1b" not in text
    for cause in ("another sketch", "boot log", "baud rate", "hil flash --board nano"):
        assert cause in text


@pytest.mark.parametrize("every_s", [0.03, 0.1, 0.5, 1.9])
def test_a_sketch_that_pauses_between_its_lines_is_given_up(every_s: float) -> None:
    stream = Babbler(repeat(b"hello\n"), every_s)
    with pytest.raises(BoardTalks):
        stream.dut().greet()
    assert stream.now_s < 7


def test_frames_that_trickle_in_end_in_a_timeout() -> None:
    stream = Babbler(cycle([b"\0", b"x"]), 0.5)
    with pytest.raises(LinkTimeout):
        stream.dut().greet()
    assert stream.now_s < OPTIONS.attempts * OPTIONS.timeout_s + 1


def asks_for(op: Op) -> Callable[[bytes], bool]:
    return lambda written: len(written) > 2 and decode_frame(written.strip(b"\0")).op == op


@pytest.mark.parametrize("op", [Op.HELLO, Op.INFER])
def test_a_frame_that_never_ends_is_neither_kept_nor_awaited(op: Op) -> None:
    stream = Babbler(chain([b"\0"], repeat(b"x" * 65536)), begins=asks_for(op))
    dut = stream.dut()
    if op is not Op.HELLO:
        dut.greet()
    tracemalloc.start()
    try:
        with pytest.raises(BoardTalks):
            dut.greet() if op is Op.HELLO else dut.infer(np.zeros(2, dtype=np.int8))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3e6 and stream.now_s < 5


def test_text_without_end_is_no_answer_to_a_command() -> None:
    stream = Babbler(
        repeat(b"m-lap-us-1\n" * 1000), begins=lambda written: written == b"timestamp%"
    )
    dut = stream.dut()
    dut.greet()
    with pytest.raises(BoardTalks, match="during command 'timestamp'"):
        dut.read_clock()


def test_a_board_without_time_is_not_asked_for_it_for_ever() -> None:
    stream = Babbler(repeat(b"?"), every_s=1e9, begins=lambda written: written == b"timestamp%")
    dut = stream.dut()
    dut.greet()
    assert [dut.read_clock() for _ in range(100)] == [None] * 100
    assert stream.now_s < 3 * OPTIONS.timeout_s + 1
