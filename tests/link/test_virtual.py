"""Dialogues by hand from docs/protocol.md, with a runtime that adds its two inputs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from fakes.described import hello
from hypothesis import given
from hypothesis import strategies as st

from harness.link.protocol import (
    REPLY,
    ErrorReply,
    FrameSplitter,
    Hello,
    Message,
    Op,
    Status,
    decode_frame,
    encode_frame,
    infer_body,
    parse_error,
    parse_hello,
    run_body,
)
from harness.link.virtual import InvokeFailed, VirtualBoard
from harness.model.tensor import TensorSpec

HELLO = hello(timer_read_ticks=3)


class Bench:
    """A virtual board whose counter advances 100 ticks between two reads, and its clock."""

    def __init__(self, hello: Hello = HELLO) -> None:
        self.now_s = 0.0
        self.invokes = 0
        ticks = count(2**32 - 50, 100)
        self.board = VirtualBoard(
            hello, self.add, ticks=lambda: next(ticks) % 2**32, clock=lambda: self.now_s
        )

    def add(self, raw: bytes) -> bytes:
        self.invokes += 1
        total = int(np.frombuffer(raw, dtype=np.int8).sum())
        if total == 99:
            raise InvokeFailed
        return bytes((total % 256,))

    def ask(self, op: int, body: bytes = b"", seq: int = 1) -> Message:
        (piece,) = FrameSplitter().feed(self.board.feed(frame(op, body, seq)))
        return decode_frame(piece)

    def refused(self, op: int, body: bytes = b"", seq: int = 1) -> tuple:
        reply = self.ask(op, body, seq)
        assert (reply.op, reply.seq) == (Op.ERROR | REPLY, seq)
        return named(parse_error(reply.body))

    def line(self, text: str) -> str:
        return self.board.feed(text.encode() + b"\n").decode()


def frame(op: int, body: bytes = b"", seq: int = 1) -> bytes:
    return encode_frame(Message(seq=seq, op=op, body=body))


def named(error: ErrorReply) -> tuple:
    return (error.status, error.op, error.field, error.detail)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.ask(Op.HELLO, b"\x01", seq=200)
    return made


def test_hello_says_who_the_board_is_and_may_be_repeated() -> None:
    bench = Bench()
    for seq in (1, 1, 2):
        reply = bench.ask(Op.HELLO, b"\x01", seq)
        assert (reply.seq, reply.op) == (seq, 0x81) and parse_hello(reply.body) == HELLO


def test_infer_answers_outputs_and_raw_ticks_across_a_turn_of_the_counter(bench: Bench) -> None:
    reply = bench.ask(Op.INFER, infer_body(2, bytes((1, 2, 3, 0xFE))))
    assert (reply.seq, reply.op) == (1, 0x82)
    assert reply.body.hex(" ") == "02 00 03 01 64 00 00 00 00"


def test_write_run_and_read_move_a_tensor_in_pieces(bench: Bench) -> None:
    assert bench.ask(Op.WRITE, bytes.fromhex("01000000 05"), 1).body.hex() == "02000000"
    assert bench.ask(Op.WRITE, bytes.fromhex("00000000 04"), 2).body.hex() == "01000000"
    ran = bench.ask(Op.RUN, run_body(2, zlib.crc32(b"\x04\x05")), 3).body
    output_crc = zlib.crc32(b"\x09").to_bytes(4, "little")
    assert ran == output_crc + bytes.fromhex("0200 64000000 00")
    assert bench.ask(Op.READ, bytes.fromhex("00000000 0100"), 4).body == b"\x09"
    assert bench.invokes == 2


@pytest.mark.parametrize("between", [lambda b: b.ask(Op.INFER, infer_body(1, b"\0\0"), 9)] + [
    lambda b: b.line("0 0")
])  # fmt: skip
def test_infer_and_a_persons_line_spoil_a_written_input(bench: Bench, between: Callable) -> None:
    bench.ask(Op.WRITE, bytes(4) + b"\x04\x05", 1)
    between(bench)
    crc = zlib.crc32(b"\0\0")
    refused = bench.refused(Op.RUN, run_body(1, zlib.crc32(b"\x04\x05")), 3)
    assert refused == (Status.BAD_INPUT, Op.RUN, "input_crc", crc)


@pytest.mark.parametrize(
    "op, body, expected",
    [
        # max_payload 256: INFER's reply takes up to 9 + 5 k bytes, RUN's up to 13 + 4 k.
        (Op.INFER, "", (Status.BAD_SIZE, "body", 4)),
        (Op.INFER, "01", (Status.BAD_SIZE, "body", 4)),
        (Op.INFER, "0000", (Status.BAD_VALUE, "count", 49)),
        (Op.INFER, "3200", (Status.BAD_VALUE, "count", 49)),
        (Op.INFER, "0200 010203", (Status.BAD_SIZE, "body", 6)),
        (Op.INFER, "0200 0000 6300", (Status.INVOKE_FAILED, "", 1)),
        (Op.WRITE, "00000000", (Status.BAD_SIZE, "body", 5)),
        (Op.WRITE, "02000000 01", (Status.BAD_VALUE, "offset", 2)),
        (Op.WRITE, "ffffffff 01", (Status.BAD_VALUE, "offset", 2)),
        (Op.READ, "00000000 01", (Status.BAD_SIZE, "body", 6)),
        (Op.READ, "00000000 0000", (Status.BAD_VALUE, "length", 254)),
        (Op.READ, "00000000 ff00", (Status.BAD_VALUE, "length", 254)),
        (Op.READ, "00000000 0200", (Status.BAD_VALUE, "offset", 1)),
        (Op.READ, "ffffffff 0100", (Status.BAD_VALUE, "offset", 1)),
        (Op.RUN, "0100", (Status.BAD_SIZE, "body", 6)),
        (Op.RUN, "0000 00000000", (Status.BAD_VALUE, "count", 60)),
        (Op.RUN, "3d00 00000000", (Status.BAD_VALUE, "count", 60)),
        (Op.PROFILE, "", (Status.UNSUPPORTED, "", 0)),
        (Op.RESET, "00", (Status.BAD_SIZE, "body", 0)),
        (Op.HELLO, "", (Status.BAD_SIZE, "body", 1)),
        (Op.HELLO, "02", (Status.BAD_VERSION, "version", 1)),
        (Op.MEMORY, "", (Status.UNSUPPORTED, "", 0)),
        (Op.STATE, "00", (Status.UNSUPPORTED, "", 0)),
        (Op.SPEED, "00c20100", (Status.UNSUPPORTED, "", 0)),
        (0x0B, "", (Status.UNKNOWN_OP, "", 11)),
        (0x7F, "", (Status.UNKNOWN_OP, "", 0x7F)),
        (0x81, "01", (Status.UNKNOWN_OP, "", 0x81)),
        (0x00, "", (Status.UNKNOWN_OP, "", 0)),
    ],
)
def test_wrong_request_is_refused_by_status_field_and_detail(bench, op, body, expected) -> None:
    status, field, detail = expected
    assert bench.refused(op, bytes.fromhex(body)) == (status, op, field, detail)


@pytest.mark.parametrize("op", [*list(Op)[1:], 0x42])
def test_request_without_hello_is_refused_whatever_it_is(op: int) -> None:
    assert Bench().refused(op, b"junk") == (Status.NO_SESSION, op, "", 0)


def test_hello_of_another_version_opens_no_session() -> None:
    bench = Bench()
    bench.ask(Op.HELLO, b"\x02", 1)
    assert bench.refused(Op.RESET, seq=2)[0] is Status.NO_SESSION


def test_failed_setup_answers_with_its_status_and_still_resets() -> None:
    bench = Bench(replace(HELLO, status=Status.ARENA_TOO_SMALL))
    assert parse_hello(bench.ask(Op.HELLO, b"\x01").body).status is Status.ARENA_TOO_SMALL
    for op in (Op.INFER, Op.WRITE, Op.READ, Op.RUN):
        assert bench.refused(op, seq=op) == (Status.ARENA_TOO_SMALL, op, "", 0)
    assert bench.line("1 2") == "error arena_too_small\n"
    assert bench.line("?").startswith("help: ")
    assert bench.ask(Op.RESET, seq=9).op == Op.RESET | REPLY


def test_reset_answers_and_forgets_the_session(bench: Bench) -> None:
    assert bench.ask(Op.RESET, seq=1) == Message(seq=1, op=0x87)
    assert bench.refused(Op.RESET, seq=1)[0] is Status.NO_SESSION


def test_repeated_request_is_answered_again_and_not_run_again(bench: Bench) -> None:
    request = frame(Op.INFER, infer_body(1, b"\x01\x02"), seq=7)
    first = bench.board.feed(request)
    assert bench.board.feed(b"\0" + request) == first and bench.invokes == 1


@pytest.mark.parametrize("again", [frame(Op.INFER, infer_body(1, b"\1\2"), 8)] + [
    frame(Op.INFER, infer_body(1, b"\1\3"), 7)
])  # fmt: skip
def test_another_number_or_body_is_another_request(bench: Bench, again: bytes) -> None:
    bench.board.feed(frame(Op.INFER, infer_body(1, b"\1\2"), 7))
    bench.board.feed(again)
    assert bench.invokes == 2


def answers(raw: bytes) -> list[tuple]:
    messages = [decode_frame(piece) for piece in FrameSplitter().feed(raw)]
    assert all(message.seq == 0 for message in messages)
    return [named(parse_error(message.body)) for message in messages]


@pytest.mark.parametrize(
    "bad", ["0102030405 06", "05010203", "08010101f2b29f91", "0101010101", "01"]
)
def test_damaged_frame_is_answered_under_number_0_and_keeps_the_reply(bench, bad: str) -> None:
    request = frame(Op.INFER, infer_body(1, b"\1\2"), 7)
    reply = bench.board.feed(request)
    damaged = b"\0" + bytes.fromhex(bad) + b"\0"
    assert answers(bench.board.feed(damaged)) == [(Status.BAD_FRAME, 0, "", 0)]
    assert bench.board.feed(request) == reply and bench.invokes == 1


@pytest.mark.parametrize("fill", [b"\x11", b"\0"])
@pytest.mark.parametrize("size, fits", [(254, True), (255, False), (258, False), (5000, False)])
def test_frame_longer_than_the_buffer_is_dropped_and_the_next_one_works(bench, fill, size, fits):
    reply = bench.board.feed(frame(0x42, fill * size))
    if fits:
        assert decode_frame(reply[1:-1]).seq == 1
    else:
        assert answers(reply) == [(Status.FRAME_TOO_LONG, 0, "", 256)]
    assert bench.ask(Op.INFER, infer_body(1, b"\1\2")).op == 0x82


def test_any_number_of_delimiters_and_chunks_separate_frames(bench: Bench) -> None:
    stream = b"\0\0\0" + frame(Op.INFER, infer_body(1, b"\1\2"), 1) + b"\0\0"
    whole = b"".join(bench.board.feed(stream[at : at + 1]) for at in range(len(stream)))
    assert decode_frame(whole[1:-1]).op == 0x82
    assert bench.board.feed(b"") == b""


@pytest.mark.parametrize("silence_s, answered", [(0.099, True), (0.1, False), (5.0, False)])
def test_frame_is_dropped_after_100_ms_without_a_byte(bench, silence_s: float, answered: bool):
    request = frame(Op.INFER, infer_body(1, b"\1\2"))
    bench.board.feed(request[:5])
    bench.now_s = silence_s
    assert (bench.board.feed(request[5:]) != b"") is answered
    bench.now_s += 1
    assert bench.ask(Op.INFER, infer_body(1, b"\3\4"), 2).op == 0x82


def test_text_has_no_time_limit(bench: Bench) -> None:
    assert bench.board.feed(b"1 ") == b""
    bench.now_s = 60
    assert bench.line("2") == "y=1.5000 us=97\n"


@pytest.mark.parametrize(
    "line, answer",
    [
        # q = 2 x, the sum s answers 0.25 s; 100 ticks less 3 are 97 us.
        ("1 2", "y=1.5000 us=97\n"),
        ("1,2", "y=1.5000 us=97\n"),
        (" +1.0 , 20e-1\r", "y=1.5000 us=97\n"),
        (".25 -.25", "y=0.0000 us=97\n"),
        ("-0.75 0", "y=-0.5000 us=97\n"),
        ("1e39 -1e999", "y=-0.2500 us=97\n"),
        ("", ""),
        ("\r", ""),
        (" ", "error wrong-count: got 0, need 2\n"),
        ("1", "error wrong-count: got 1, need 2\n"),
        ("1 2 3", "error wrong-count: got 3, need 2\n"),
        ("1 2x", "error not-a-number: 2x\n"),
        ("x nan", "error not-a-number: x\n"),
        ("0x10 1", "error not-a-number: 0x10\n"),
        ("infinity 1", "error not-a-number: infinity\n"),
        ("1 -NaN 2 3", "error not-finite: -NaN\n"),
        ("+Inf 1", "error not-finite: +Inf\n"),
        ("49.5 0", "error invoke_failed\n"),
        ("1 2\t", ""),
        ("\x7f?", ""),
        ("0" * 253 + " 0", "y=0.0000 us=97\n"),
        ("0" * 254 + " 0", "error line-too-long: limit 255\n"),
        ("0" * 3000, "error line-too-long: limit 255\n"),
        ("0" * 3000 + "\x01", ""),
    ],
)
def test_person_is_answered_in_words(line: str, answer: str) -> None:
    assert Bench().line(line) == answer


def test_help_is_one_line(bench: Bench) -> None:
    assert bench.line("?").startswith("help: ") and bench.line("?").count("\n") == 1


def test_delimiter_ends_an_unfinished_line_and_starts_a_frame(bench: Bench) -> None:
    reply = bench.board.feed(b"1 2" + frame(Op.INFER, infer_body(1, b"\1\2")))
    assert decode_frame(reply[1:-1]).op == 0x82


@pytest.mark.parametrize("elements, answer", [(64, "y=0.0"), (65, "error wrong-count: got 65, ")])
def test_a_line_holds_at_most_64_numbers(elements: int, answer: str) -> None:
    spec = TensorSpec(shape=(1, elements), dtype="int8", scale=1.0)
    assert Bench(replace(HELLO, inputs=(spec,))).line("0 " * elements).startswith(answer)


@given(st.lists(st.tuples(st.binary(max_size=60), st.sampled_from((0, 0.03, 0.2, 1.5)))))
def test_whatever_came_before_hello_is_answered_after_100_ms(pieces) -> None:
    bench = Bench()
    for piece, silence_s in pieces:
        bench.board.feed(piece)
        bench.now_s += silence_s
    bench.now_s += 0.1
    (reply,) = FrameSplitter().feed(bench.board.feed(b"\0" + frame(Op.HELLO, b"\x01")))
    assert parse_hello(decode_frame(reply).body) == HELLO
    assert bench.board.feed(b"name%") == b"m-name-dut-[memory]\nm-ready\n"


def test_time_and_ticks_go_on_beyond_32_bits_of_microseconds() -> None:
    now_us = [0]
    board = VirtualBoard(
        HELLO, lambda raw: raw[:1], ticks=lambda: now_us[0], clock=lambda: now_us[0] / 1e6
    )
    board.feed(frame(Op.HELLO, b"\x01"))
    for seconds in (0, 4294, 4296, 10_000):
        now_us[0] = seconds * 1_000_000
        assert board.feed(b"timestamp%") == f"m-lap-us-{now_us[0]}\nm-ready\n".encode()
        reply = board.feed(frame(Op.INFER, infer_body(1, b"\1\2"), seq=1 + seconds % 7))
        assert decode_frame(reply[1:-1]).body.hex(" ") == "01 00 01 00 00 00 00 00"
