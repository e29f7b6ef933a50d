from __future__ import annotations

import os
import tty
from collections.abc import Callable

import pytest
from fakes.described import hello

from harness.errors import (
    BoardRebooted,
    BoardStatus,
    LinkTimeout,
    PortLost,
    ProtocolError,
    StartFailed,
    Where,
)
from harness.link.link import Link, LinkLog, LinkOptions, LinkStats
from harness.link.protocol import (
    REPLY,
    ErrorReply,
    FrameSplitter,
    Message,
    Op,
    Status,
    decode_frame,
    encode_frame,
    error_body,
    infer_body,
    parse_hello,
    parse_infer,
)
from harness.link.streams import StreamClosed, open_serial
from harness.link.virtual import VirtualBoard
from harness.model.tensor import TensorSpec

WHERE = Where(board="nano", port="/dev/ttyACM0", model="sine_int8")
PLACE = "(board nano, port /dev/ttyACM0, model sine_int8)"
OPTIONS = LinkOptions(timeout_s=2.0, attempts=5, silent_attempts=3)

Answer = Callable[[Message], bytes]
"""What arrives after a request was written."""


class Wire:
    """A ByteStream that answers every write by the next of its answers, and its clock.

    A read of nothing lets its whole time-out pass.
    """

    def __init__(self, *answers: Answer | bytes | StreamClosed) -> None:
        self.now_s = 0.0
        self.requests: list[Message] = []
        self.closed = False
        self._answers = list(answers)
        self._waiting = b""

    def write(self, data: bytes) -> None:
        for piece in FrameSplitter().feed(data):
            self.requests.append(decode_frame(piece))
        answer = self._answers.pop(0) if self._answers else b""
        if isinstance(answer, StreamClosed):
            raise answer
        self._waiting += answer if isinstance(answer, bytes) else answer(self.requests[-1])

    def read(self, timeout_s: float) -> bytes:
        data, self._waiting = self._waiting, b""
        self.now_s += 0.001 if data else timeout_s
        return data

    def close(self) -> None:
        self.closed = True

    def link(self) -> Link:
        return Link(self, where=WHERE, options=OPTIONS, clock=lambda: self.now_s)


def reply(body: bytes = b"ok") -> Answer:
    return lambda request: encode_frame(Message(seq=request.seq, op=request.op | REPLY, body=body))


def error(
    status: Status,
    seq: int | None = None,
    field: str = "",
    detail: int = 0,
    op: int | None = None,
) -> Answer:
    def answer(request: Message) -> bytes:
        asked = request.op if op is None else op
        about = ErrorReply(status=status, op=asked, detail=detail, field=field)
        number = request.seq if seq is None else seq
        return encode_frame(Message(seq=number, op=Op.ERROR | REPLY, body=error_body(about)))

    return answer


def damaged(request: Message) -> bytes:
    return b"\0\x03ab\x02c\0"


def stale(request: Message) -> bytes:
    old = Message(seq=request.seq % 255 + 7, op=request.op | REPLY, body=b"old")
    return encode_frame(old) + reply(b"new")(request)


def test_requests_are_numbered_from_1_to_255_and_then_1_again() -> None:
    wire = Wire(*[reply()] * 257)
    link = wire.link()
    for _ in range(257):
        assert link.request(Op.READ, b"x") == b"ok"
    assert [request.seq for request in wire.requests] == [*range(1, 256), 1, 2]
    assert link.stats.requests == 257 and link.stats.retries == 0


@pytest.mark.parametrize(
    "trouble, counted",
    [
        (b"", {"timeouts": 1}),
        (damaged, {"bad_frames": 1}),
        (error(Status.BAD_FRAME, seq=0), {"refused_frames": 1}),
        (error(Status.FRAME_TOO_LONG, seq=0), {"refused_frames": 1}),
        (lambda request: reply()(request)[:-3], {"timeouts": 1}),
    ],
)
def test_unanswered_request_is_sent_again_under_its_number(trouble, counted) -> None:
    wire = Wire(trouble, reply(b"late"))
    link = wire.link()
    assert link.request(Op.RUN, b"body") == b"late"
    assert wire.requests == [Message(seq=1, op=Op.RUN, body=b"body")] * 2
    found = {name: getattr(link.stats, name) for name in counted}
    assert found == counted and link.stats.retries == 1


def test_reply_to_another_number_is_dropped_and_counted() -> None:
    link = Wire(stale).link()
    assert link.request(Op.RUN) == b"new"
    assert (link.stats.stale_replies, link.stats.retries) == (1, 0)


def test_silence_ends_in_a_timeout_that_names_board_and_request() -> None:
    wire = Wire()
    with pytest.raises(LinkTimeout) as caught:
        wire.link().request(Op.INFER, compute_s=1.5)
    assert str(caught.value) == (
        f"no reply to INFER within 3.5 s in 3 attempts {PLACE}.\nReceived nothing. "
        "Is the firmware current, and the board not reset or unplugged?"
    )
    assert wire.now_s == pytest.approx(3 * 3.5) and len(wire.requests) == 3


def test_silence_after_hello_is_not_blamed_on_the_firmware() -> None:
    wire = Wire(reply())
    link = wire.link()
    link.request(Op.HELLO)
    with pytest.raises(LinkTimeout, match="Do bursts get lost on the line") as caught:
        link.request(Op.INFER, bytes(1000))
    assert caught.value.burst_bytes == len(encode_frame(wire.requests[-1]))
    with pytest.raises(LinkTimeout, match="was the board reset or unplugged since"):
        link.request(Op.INFER, bytes(8))


def test_noise_is_given_more_attempts_and_its_bytes_are_shown() -> None:
    wire = Wire(*[damaged] * 10)
    with pytest.raises(LinkTimeout) as caught:
        wire.link().request(Op.INFER)
    assert len(wire.requests) == OPTIONS.attempts
    assert caught.value.received == damaged(wire.requests[0]) * 5
    assert "in 5 attempts" in str(caught.value)
    assert "Received 35 bytes: 00 03 61 62 02 63 00" in str(caught.value)


FAULT = b"firmware fault: malloc called, but there is no heap; lr=0x08001234"


@pytest.mark.parametrize("op", [Op.HELLO, Op.INFER])
def test_a_fault_is_named_though_nothing_else_answers(op) -> None:
    """Not taken for another sketch that talks, whose remedy would be to flash."""
    with pytest.raises(LinkTimeout) as caught:
        Wire(FAULT + b"\n").link().request(op)
    assert caught.value.fault == FAULT.decode()


def test_a_board_that_a_fault_rebooted_says_which() -> None:
    said = b"abort() was called at PC 0x400d1a2b on core 1"
    boot = b"\0\r\n" + said + b"\r\nets Jul 29 2019 12:21:46\r\n\0"
    with pytest.raises(BoardRebooted) as caught:
        Wire(boot, error(Status.NO_SESSION)).link().request(Op.INFER)
    assert caught.value.fault == said.decode()


def test_boards_refusal_carries_its_facts() -> None:
    link = Wire(error(Status.BAD_VALUE, field="offset", detail=4)).link()
    with pytest.raises(BoardStatus) as caught:
        link.request(Op.WRITE, b"x")
    expected = f"board refused WRITE: bad_value, field offset, detail 4 {PLACE}."
    assert str(caught.value) == expected


def test_board_without_a_session_has_rebooted() -> None:
    with pytest.raises(BoardRebooted, match="board rebooted during RUN") as caught:
        Wire(error(Status.NO_SESSION)).link().request(Op.RUN)
    assert PLACE in str(caught.value)


def test_reply_of_another_op_is_a_protocol_error() -> None:
    wire = Wire(lambda request: encode_frame(Message(seq=request.seq, op=Op.RUN | REPLY)))
    with pytest.raises(ProtocolError, match="INFER was answered by RUN"):
        wire.link().request(Op.INFER)


@pytest.mark.parametrize("number", [None, 0])
def test_error_about_another_op_is_a_protocol_error(number) -> None:
    """Whatever its status says: it is none of the request that was sent."""
    for status in (Status.BAD_VALUE, Status.NO_SESSION, Status.INVOKE_FAILED):
        wire = Wire(error(status, seq=number, op=Op.RUN))
        with pytest.raises(ProtocolError, match="INFER was answered by ERROR about RUN"):
            wire.link().request(Op.INFER)
    unread = Wire(error(Status.PORT_FAILED, seq=number, op=0))
    with pytest.raises(BoardStatus, match="board refused INFER: port_failed"):
        unread.link().request(Op.INFER)


def test_closed_stream_loses_the_port_and_names_what_was_in_flight() -> None:
    class Gone(Wire):
        def read(self, timeout_s: float) -> bytes:
            raise StreamClosed("emulator ended with status 1")

    for wire in (Wire(StreamClosed("emulator ended with status 1")), Gone()):
        with pytest.raises(PortLost) as caught:
            wire.link().request(Op.INFER)
        expected = f"link lost (emulator ended with status 1) during INFER {PLACE}."
        assert str(caught.value).splitlines()[0] == expected
        assert caught.value.in_flight == "INFER"


def test_statistics_count_bytes_both_ways_and_subtract() -> None:
    wire = Wire(damaged, reply(), reply())
    link = wire.link()
    link.request(Op.RUN, b"1")
    before = link.stats
    link.request(Op.RUN, b"2")
    sent, received = len(encode_frame(wire.requests[-1])), len(reply()(wire.requests[-1]))
    assert link.stats - before == LinkStats(requests=1, sent_bytes=sent, received_bytes=received)
    # The retry has one more 00 before it.
    assert before.sent_bytes == 2 * sent + 1 and before.received_bytes == 7 + received


def test_a_link_on_which_every_answer_needs_a_time_out_is_given_up() -> None:
    answers = [b"", reply()] * 30
    link = Wire(*answers * 2).link()
    with pytest.raises(ProtocolError, match="answered only after a time-out: 30 of late, 60 s"):
        for _ in range(60):
            link.request(Op.READ)
    slow = Wire(*answers).link()
    with pytest.raises(ProtocolError, match="answered only after a time-out: 3 of late"):
        for _ in range(30):
            slow.request(Op.READ, compute_s=25)


def test_a_time_out_now_and_then_is_no_broken_link() -> None:
    good = Wire(*[b"", reply(), reply(), reply()] * 100).link()
    for _ in range(300):
        good.request(Op.READ)
    slow = Wire(b"", reply(), *[reply()] * 9).link()
    for _ in range(10):
        slow.request(Op.READ, compute_s=1000)


def test_resync_drops_what_is_unread() -> None:
    link = Wire(b"the rest of a line\0half a frame", reply(b"clean")).link()
    assert link.resync() == b"the rest of a line\0half a frame"
    assert link.request(Op.RUN) == b"clean"


def test_resync_drops_a_half_read_frame() -> None:
    wire = Wire(b"\0half", *[b""] * OPTIONS.attempts, reply(b"clean"))
    link = wire.link()
    with pytest.raises(LinkTimeout):
        link.request(Op.RUN)
    assert link.resync() == b"half"
    assert link.request(Op.RUN) == b"clean" and link.stats.bad_frames == 0


def test_line_of_text_is_answered_without_its_end() -> None:
    assert Wire(b"y=0.9994 us=53\r\nmore").link().ask_text("1.5708") == "y=0.9994 us=53"


def test_line_of_text_unanswered_is_a_timeout_that_shows_what_came() -> None:
    with pytest.raises(LinkTimeout, match="no reply to line '1.5' within 0.5 s") as caught:
        Wire(b"y=0.").link().ask_text("1.5", timeout_s=0.5)
    assert caught.value.received == b"y=0."


def test_log_keeps_the_last_events_and_the_first_bytes_of_each() -> None:
    log = LinkLog(capacity=2, shown_bytes=2)
    for at, data in ((1.0, b"\1"), (2.0, b"\1\2"), (3.5, b"\1\2\3")):
        log.add(at, ">", data)
    assert log.lines() == ["   0.0000 > 0102", "   1.5000 > 0102..."]
    log.clear()
    assert log.lines() == []


SPEC = TensorSpec(shape=(1, 1), dtype="int8", scale=1.0)


class BoardWire(Wire):
    """A wire to a VirtualBoard; `spoil` is what the wire does to the board's n-th answer."""

    def __init__(self, spoil: dict[int, Callable[[bytes], bytes]]) -> None:
        super().__init__()
        self.invokes = 0
        self.answers = 0
        self._spoil = spoil
        described = hello(inputs=(SPEC,), outputs=(SPEC,))
        self.board = VirtualBoard(described, self.invoke, ticks=int, clock=lambda: self.now_s)

    def invoke(self, raw: bytes) -> bytes:
        self.invokes += 1
        return raw

    def write(self, data: bytes) -> None:
        answer = self.board.feed(data)
        if answer:
            self.answers += 1
            answer = self._spoil.get(self.answers, bytes)(answer)
        self._waiting += answer


def flip(answer: bytes) -> bytes:
    return answer[:4] + bytes((answer[4] ^ 0x40,)) + answer[5:]


@pytest.mark.parametrize(
    "spoil",
    [
        flip,
        lambda answer: b"",
        lambda answer: answer[1:],
        lambda answer: answer[:-1],
        lambda a: a + a,
    ],
)
def test_request_whose_reply_was_spoilt_is_not_run_twice(spoil) -> None:
    wire = BoardWire({2: spoil})
    link = wire.link()
    hello = parse_hello(link.request(Op.HELLO, b"\x01"))
    for value in (b"\x07", b"\x08"):
        raw = link.request(Op.INFER, infer_body(1, value))
        assert parse_infer(raw, count=1, output_bytes=hello.output_bytes)[0] == value
    assert wire.invokes == 2


class BreakingWire(BoardWire):
    """Goes away with the board's n-th answer, which is lost."""

    def __init__(self, lost: int) -> None:
        super().__init__({})
        self._lost = lost
        self.broken = False

    def write(self, data: bytes) -> None:
        super().write(data)
        self.broken = self.answers == self._lost

    def read(self, timeout_s: float) -> bytes:
        if self.broken:
            self._waiting = b""
            raise StreamClosed("unplugged")
        return super().read(timeout_s)


def test_link_lost_in_a_request_is_opened_again_and_the_request_not_run_twice() -> None:
    wire = BreakingWire(lost=2)

    def reopen() -> BreakingWire:
        wire.broken = False
        return wire

    link = Link(wire, where=WHERE, reopen=reopen, clock=lambda: wire.now_s)
    link.request(Op.HELLO, b"\x01")
    outputs, _ = parse_infer(
        link.request(Op.INFER, infer_body(1, b"\x07")), count=1, output_bytes=1
    )
    assert outputs == b"\x07" and wire.invokes == 1
    assert (link.stats.reconnects, link.stats.retries) == (1, 1)


def test_link_that_cannot_be_opened_again_names_the_first_loss() -> None:
    wire = BreakingWire(lost=2)

    def reopen() -> BreakingWire:
        raise StartFailed("no such port")

    link = Link(wire, where=WHERE, reopen=reopen, clock=lambda: wire.now_s)
    link.request(Op.HELLO, b"\x01")
    with pytest.raises(PortLost, match="unplugged. during INFER"):
        link.request(Op.INFER, infer_body(1, b"\x07"))


def test_board_that_boots_between_requests_is_found_out() -> None:
    wire = BoardWire({})
    link = wire.link()
    link.request(Op.HELLO, b"\x01")
    wire.board.boot()
    with pytest.raises(BoardRebooted):
        link.request(Op.INFER, infer_body(1, b"\x01"))
    assert wire.invokes == 0


def test_link_closes_its_stream() -> None:
    wire = Wire()
    wire.link().close()
    assert wire.closed


@pytest.fixture
def pty():
    """Master side, and the path of the slave."""
    master, slave = os.openpty()
    tty.setraw(slave)
    held = [master, slave]
    yield held
    for handle in held:
        os.close(handle)


def test_serial_stream_carries_every_byte_both_ways(pty) -> None:
    every = bytes(range(256))
    stream = open_serial(os.ttyname(pty[1]), where=WHERE)
    assert stream.read(0) == b""
    os.write(pty[0], every)
    received = b""
    while len(received) < 256:
        received += stream.read(10)
    stream.write(every)
    assert received == every and os.read(pty[0], 1000) == every
    stream.close()
    stream.close()


def test_serial_stream_says_when_the_other_side_is_gone(pty) -> None:
    stream = open_serial(os.ttyname(pty[1]), where=WHERE)
    for handle in pty:
        os.close(handle)
    pty.clear()
    link = Link(stream, where=WHERE)
    with pytest.raises(PortLost, match="during RUN"):
        link.request(Op.RUN)
    link.close()
    with pytest.raises(StreamClosed):
        stream.read(0)
    with pytest.raises(StreamClosed):
        stream.write(b"x")


@pytest.mark.parametrize("port", ["/dev/ttyNONE", "nonsense://x"])
def test_port_that_cannot_be_opened_is_named(port: str) -> None:
    with pytest.raises(StartFailed, match="cannot open the port") as caught:
        open_serial(port, where=Where(board="nano"))
    assert f"(board nano, port {port})" in str(caught.value)
    assert ("Is it plugged in" in caught.value.hint) == port.startswith("/")


def test_port_is_held_for_one_opener(pty) -> None:
    port = os.ttyname(pty[1])
    stream = open_serial(port, where=WHERE)
    with pytest.raises(StartFailed, match="Another program has it open"):
        open_serial(port, where=WHERE)
    stream.close()
