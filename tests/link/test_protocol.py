from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ProtocolError
from harness.link.protocol import (
    BoardMemory,
    Capability,
    ErrorReply,
    FrameSplitter,
    Hello,
    Message,
    Op,
    Status,
    decode_frame,
    encode_frame,
    error_body,
    frame_bytes,
    hello_body,
    infer_body,
    max_infer_count,
    max_run_count,
    memory_body,
    op_name,
    pack_ticks,
    parse_error,
    parse_hello,
    parse_infer,
    parse_long_run,
    parse_memory,
    parse_run,
    run_body,
)
from harness.model.tensor import DTYPES, TensorSpec
from harness.text import printable

FRAMES = Path(__file__).parents[1] / "vectors" / "frames.txt"


def read_frames() -> dict[str, tuple[bytes, bytes]]:
    rows = {}
    for line in FRAMES.read_text().splitlines():
        if line and not line.startswith("#"):
            name, payload, wire = (cell.strip() for cell in line.split("|"))
            rows[name] = (bytes.fromhex(payload), bytes.fromhex(wire))
    return rows


VECTORS = read_frames()

SPEC = TensorSpec(shape=(1, 1), dtype="int8", scale=0.5, zero_point=-128)
HELLO = Hello(
    capabilities=Capability.INFER | Capability.TENSORS,
    max_payload=1024,
    tick_hz=25_000_000,
    timer_step_ticks=1,
    timer_read_ticks=3,
    arena_used=100,
    arena_capacity=200,
    model_sha256=bytes(range(32)),
    build_id=bytes(range(16)),
    board="qemu-m4",
    board_uid="",
    runtime="aot",
    runtime_version="1.0.0",
    kernels="CMSIS-NN 4.0.0",
    inputs=(SPEC,),
    outputs=(SPEC,),
    model="sine",
    note="ok",
)
HELLO_RAW = hello_body(HELLO)
NAMES_AT = 2 + 2 + 2 + 5 * 4 + 32 + 16
"""Offset of the first `str` in HELLO's reply, added up from the table in docs/protocol.md."""


@pytest.mark.parametrize("name", VECTORS)
def test_vector_is_the_frame_of_its_payload_and_back(name: str) -> None:
    payload, wire = VECTORS[name]
    message = Message(seq=payload[0], op=payload[1], body=payload[2:])
    assert encode_frame(message) == wire
    assert list(FrameSplitter().feed(wire)) == [wire[1:-1]]
    assert decode_frame(wire[1:-1]) == message


def decoded(stream: bytes) -> list[Message]:
    messages = []
    for piece in FrameSplitter().feed(stream):
        try:
            messages.append(decode_frame(piece))
        except ProtocolError:
            pass
    return messages


@pytest.mark.parametrize("name", [name for name, (_, wire) in VECTORS.items() if len(wire) < 300])
def test_no_single_flipped_bit_passes_for_a_message(name: str) -> None:
    wire = VECTORS[name][1]
    for bit in range(8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decoded(bytes(damaged)) == [], f"bit {bit}"


@pytest.mark.parametrize(
    "stuffed, named",
    [
        ("", "shorter"),
        ("05010203", "not COBS"),
        ("0101010101", "shorter"),
        ("010101010101", "shorter than|fails its CRC"),
        ("08010101f2b29f91", "not COBS|fails its CRC"),
    ],
)
def test_broken_frame_is_refused_with_its_reason(stuffed: str, named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        decode_frame(bytes.fromhex(stuffed))


messages = st.builds(
    Message, seq=st.integers(0, 255), op=st.integers(0, 255), body=st.binary(max_size=600)
)


@given(messages)
def test_every_message_comes_back_from_its_frame(message: Message) -> None:
    frame = encode_frame(message)
    assert 0 not in frame[1:-1]
    assert decode_frame(frame[1:-1]) == message


@given(st.lists(messages, max_size=4), st.lists(st.integers(1, 90), max_size=40), st.data())
def test_any_chunking_of_a_stream_gives_the_same_frames(sent, sizes, data) -> None:
    stream = b"text" + b"".join(encode_frame(message) + b"\0" for message in sent) + b"\0half"
    splitter, pieces, rest = FrameSplitter(), [], stream
    for size in [*sizes, len(stream)]:
        pieces += splitter.feed(rest[:size])
        rest = rest[size:]
    assert [decode_frame(piece) for piece in pieces] == sent
    assert splitter.reset() == b"half"
    assert list(splitter.feed(b"x\0")) == []


specs = st.builds(
    TensorSpec,
    shape=st.lists(st.integers(1, 20), max_size=5).map(tuple),
    dtype=st.sampled_from(sorted(DTYPES.values())),
    scale=st.floats(0, 2.0**100, width=32),
    zero_point=st.integers(-(2**31), 2**31 - 1),
)
numbers = st.integers(0, 2**32 - 1)
pictured = st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" ")
words = st.text(pictured, max_size=60).filter(lambda text: printable(text) == text)
hellos = st.builds(
    Hello,
    status=st.sampled_from(Status),
    capabilities=st.integers(0, 15).map(Capability),
    max_payload=st.integers(256, 65535),
    tick_hz=st.integers(1, 2**32 - 1),
    timer_step_ticks=numbers,
    timer_read_ticks=numbers,
    arena_used=numbers,
    arena_capacity=numbers,
    model_sha256=st.binary(min_size=32, max_size=32),
    build_id=st.binary(min_size=16, max_size=16),
    board=words,
    board_uid=words,
    runtime=words,
    runtime_version=words,
    kernels=words,
    inputs=st.lists(specs, min_size=1, max_size=3).map(tuple),
    outputs=st.lists(specs, min_size=1, max_size=3).map(tuple),
)


@given(hellos)
def test_every_hello_comes_back_from_its_body(hello: Hello) -> None:
    assert parse_hello(hello_body(hello)) == hello


def test_what_a_board_says_of_itself_is_printable() -> None:
    evil = "\x1b[2Jgood\r\n::error::bad\0\u202e"
    names = ("board", "board_uid", "runtime", "runtime_version", "kernels", "model", "note")
    said = parse_hello(hello_body(replace(HELLO, **dict.fromkeys(names, evil))))
    for name in names:
        assert getattr(said, name) == r"\x1b[2Jgood \u003a:error::bad\x00\u202e"
    about = ErrorReply(status=Status.BAD_VALUE, op=Op.WRITE, detail=0, field="a\nb")
    assert parse_error(error_body(about)).field == "a b"


def test_tensors_that_fit_no_board_are_refused() -> None:
    huge = TensorSpec(shape=(1 << 20, 1 << 20), dtype="int8", scale=1.0)
    with pytest.raises(ProtocolError, match="too large for any board"):
        parse_hello(hello_body(replace(HELLO, outputs=(huge,))))


def test_a_frame_without_end_is_not_kept() -> None:
    splitter = FrameSplitter(most=300)
    assert not list(splitter.feed(b"\0"))
    for _ in range(100):
        assert not list(splitter.feed(b"x" * 1000))
    (cut,) = splitter.feed(b"x\0")
    assert len(cut) == 301
    with pytest.raises(ProtocolError):
        decode_frame(cut)
    assert [decode_frame(piece) for piece in splitter.feed(encode_frame(Message(seq=1, op=1)))]


@pytest.mark.parametrize("size", [0, 1, 252, 253, 254, 507, 508, 509, 1016, 4096])
def test_the_longest_frame_is_known(size: int) -> None:
    message = Message(seq=1, op=2, body=b"x" * max(0, size - 2))
    stuffed = len(encode_frame(message)) - 2
    # COBS by Cheshire and Baker: one byte more, and one for each 254 without a zero.
    assert stuffed <= frame_bytes(max(2, size)) <= stuffed + 1


def test_hello_lies_on_the_wire_as_the_document_says() -> None:
    # By hand from the tables of docs/protocol.md.
    head = "01 00 0300 0004 40787d01 01000000 03000000 64000000 c8000000"
    names = b"\x07qemu-m4\x00\x03aot\x051.0.0\x0eCMSIS-NN 4.0.0"
    spec = "01 09 02 01000000 01000000 0000003f 80ffffff"
    tensors = bytes.fromhex(spec + spec)
    fixed = bytes.fromhex(head) + bytes(range(32)) + bytes(range(16))
    assert HELLO_RAW == fixed + names + tensors + b"\x04sine\x02ok"


def test_hello_cut_at_any_length_is_refused() -> None:
    for size in range(len(HELLO_RAW)):
        with pytest.raises(ProtocolError):
            parse_hello(HELLO_RAW[:size])


def put(at: int, raw: bytes) -> bytes:
    return HELLO_RAW[:at] + raw + HELLO_RAW[at + len(raw) :]


@pytest.mark.parametrize(
    "raw, named",
    [
        (HELLO_RAW + b"\0", "1 bytes too many"),
        (put(0, b"\x02"), "protocol version 2, this harness 1"),
        (put(1, b"\x63"), "unknown status 99"),
        (put(4, (255).to_bytes(2, "little")), "frames of 255 bytes, least 256"),
        (put(6, bytes(4)), "lacks a tick rate"),
        (put(NAMES_AT + 1, b"\xff"), "not UTF-8"),
        (hello_body(replace(HELLO, inputs=())), "lacks a tick rate, inputs or outputs"),
        (HELLO_RAW.replace(b"\x01\x09\x02", b"\x01\x08\x02", 1), "unknown dtype 8"),
        (HELLO_RAW.replace(b"\x09\x02\x01", b"\x09\x02\x00", 1), "impossible tensor"),
        (HELLO_RAW.replace(b"\x00\x00\x00\x3f", b"\x00\x00\xc0\x7f"), "impossible tensor"),
    ],
)
def test_impossible_hello_is_refused_with_its_reason(raw: bytes, named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        parse_hello(raw)


def test_hello_of_a_failed_setup_may_lack_everything() -> None:
    sick = replace(HELLO, status=Status.PORT_FAILED, tick_hz=0, inputs=(), outputs=())
    assert parse_hello(hello_body(sick)) == sick


def test_string_too_long_for_its_length_byte_is_refused() -> None:
    with pytest.raises(ProtocolError, match="string of 256 bytes does not fit"):
        hello_body(replace(HELLO, board="b" * 256))


def test_error_reply_lies_on_the_wire_as_the_document_says_and_back() -> None:
    error = ErrorReply(status=Status.BAD_VALUE, op=Op.READ, detail=0x01020304, field="offset")
    raw = bytes.fromhex("05 04 04030201 06") + b"offset"
    assert error_body(error) == raw and parse_error(raw) == error
    for size in range(len(raw)):
        with pytest.raises(ProtocolError):
            parse_error(raw[:size])


def test_infer_and_run_bodies_lie_on_the_wire_as_the_document_says() -> None:
    assert infer_body(2, b"\x80\x7f").hex() == "0200807f"
    assert run_body(3, 0x01020304).hex() == "030004030201"
    outputs, ticks = parse_infer(
        bytes.fromhex("0200 aabb 05000000 04 00000000 faffffff"), count=2, output_bytes=1
    )
    assert outputs == b"\xaa\xbb" and ticks.tolist() == [5, 2**32 - 1]
    crc, ticks = parse_run(bytes.fromhex("04030201 0100 07000000 00"), count=1)
    assert crc == 0x01020304 and ticks.tolist() == [7] and ticks.dtype == np.uint32


@pytest.mark.parametrize(
    "ticks, packed",
    [
        ([7], "07000000 00"),
        ([7, 7, 7], "07000000 00"),
        ([7, 9, 262], "07000000 01 00 02 ff"),
        ([263, 7], "07000000 02 0001 0000"),
        ([7, 65543], "07000000 04 00000000 00000100"),
        ([0, 2**32 - 1], "00000000 04 00000000 ffffffff"),
    ],
)
def test_ticks_are_packed_as_narrow_as_they_are(ticks: list[int], packed: str) -> None:
    raw = pack_ticks(np.array(ticks, dtype=np.uint32))
    assert raw == bytes.fromhex(packed)
    body = len(ticks).to_bytes(2, "little") + bytes(len(ticks)) + raw
    assert parse_infer(body, count=len(ticks), output_bytes=1)[1].tolist() == ticks


@pytest.mark.parametrize("packed", ["07000000 03 000000", "ffffffff 01 01"])
def test_impossible_packing_of_ticks_is_refused(packed: str) -> None:
    with pytest.raises(ProtocolError, match="packed"):
        parse_infer(bytes.fromhex("0100 aa" + packed), count=1, output_bytes=1)


@pytest.mark.parametrize(
    "raw", ["0100 aa 05000000 00", "0200 aabb 05000000", "0200aabb" + "00" * 6]
)
def test_infer_reply_of_another_size_is_refused(raw: str) -> None:
    with pytest.raises(ProtocolError):
        parse_infer(bytes.fromhex(raw), count=2, output_bytes=1)


@pytest.mark.parametrize(
    "raw", ["04030201 0200 07000000 00", "04030201 0100", "040302010100" + "00" * 6]
)
def test_run_reply_of_another_size_is_refused(raw: str) -> None:
    with pytest.raises(ProtocolError):
        parse_run(bytes.fromhex(raw), count=1)


@pytest.mark.parametrize(
    "room, inputs, outputs, expected",
    [(1024, 1, 1, 203), (1024, 16, 1, 63), (128, 124, 1, 1), (128, 125, 1, 0), (128, 1, 115, 1)],
)
def test_infer_takes_as_many_samples_as_fit_both_ways(room, inputs, outputs, expected) -> None:
    # By hand: seq, op and count are 4 bytes, and 5 more head the ticks of a reply; a sample is
    # `inputs` out and `outputs` + 4 back.
    assert max_infer_count(room, inputs, outputs) == expected


def test_run_takes_as_many_invokes_as_its_reply_has_ticks_for() -> None:
    assert (max_run_count(129), max_run_count(1024), max_run_count(1025)) == (29, 252, 253)


@pytest.mark.parametrize("op, name", [(0x01, "HELLO"), (0x82, "INFER"), (0x55, "op 0x55")])
def test_op_is_named_for_people(op: int, name: str) -> None:
    assert op_name(op) == name


@given(st.sampled_from(["frame", "hello", "error", "infer", "run"]), st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused_as_a_protocol_error(decoder: str, raw: bytes) -> None:
    decode = {
        "frame": lambda: decode_frame(raw),
        "hello": lambda: parse_hello(b"\x01" + raw),
        "error": lambda: parse_error(raw),
        "infer": lambda: parse_infer(b"\x02\0" + raw, count=2, output_bytes=3),
        "run": lambda: parse_run(raw[:4] + b"\x02\0" + raw[4:], count=2),
    }[decoder]
    try:
        decode()
    except ProtocolError:
        pass


def test_memory_is_stack_and_the_most_of_it_that_was_used() -> None:
    memory = BoardMemory(stack_bytes=1000, stack_used_bytes=300)
    assert memory_body(memory) == bytes.fromhex("e8030000 2c010000")
    assert parse_memory(memory_body(memory)) == memory


@pytest.mark.parametrize(
    "raw, said",
    [
        ("e8030000 2c0100", "ends inside a field"),
        ("e8030000 2c010000 00", "1 bytes too many"),
        ("e8030000 e9030000", "1001 of 1000 bytes of stack"),
        ("e8030000 00000000", "0 of 1000 bytes of stack"),
        ("00000000 00000000", "0 of 0 bytes of stack"),
    ],
)
def test_memory_that_cannot_be_is_refused(raw: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_memory(bytes.fromhex(raw))


def test_a_long_run_tells_its_sums() -> None:
    assert run_body(3, 0x01020304, 5).hex() == "03000403020105000000"
    raw = bytes.fromhex("04030201 0100 07000000 00") + struct.pack("<QQ", 2**40, 2**40 + 7)
    run = parse_long_run(raw, count=1)
    assert run.output_crc == 0x01020304 and run.ticks.tolist() == [7]
    assert (run.more_ticks, run.window_ticks) == (2**40, 2**40 + 7)


def test_invokes_do_not_take_longer_than_their_window() -> None:
    raw = bytes.fromhex("04030201 0100 07000000 00") + struct.pack("<QQ", 10, 16)
    with pytest.raises(ProtocolError, match="longer than all"):
        parse_long_run(raw, count=1)
