"""The virtual board: the firmware's side of docs/protocol.md in Python, bytes in and bytes out.

`harness.rig.virtual` runs it as a process on a pty; tests drive it directly.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from cobs import cobs

from harness.errors import ProtocolError
from harness.link.mlperf import Mlperf, outputs_text
from harness.link.protocol import (
    BASE_BAUD,
    FALL_BACK_S,
    MAX_STR,
    MOST_MORE,
    REPLY,
    SILENCE_S,
    VERSION,
    BoardMemory,
    Capability,
    ErrorReply,
    Hello,
    Message,
    Op,
    StateMode,
    Status,
    decode_frame,
    encode_frame,
    error_body,
    hello_body,
    max_infer_count,
    max_run_count,
    memory_body,
    pack_ticks,
    speed_body,
)
from harness.link.virtual_loading import Loading, Models
from harness.model.samples import Layout

MAX_LINE = 255
MAX_NUMBERS = 64
COMMAND_SILENCE_S = 1.0
"""A command is the text since the last silence of this length; a line has none."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf)", re.IGNORECASE)
_LARGEST = float(np.finfo(np.float32).max)


class InvokeFailed(Exception):
    """What a fake runtime raises to report an error."""


class _Refusal(Exception):
    def __init__(self, status: Status, field: str = "", detail: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.field = field
        self.detail = detail


class _Text:
    """A line of printable text of at most MAX_LINE bytes, or the reason why it is refused."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.garbage = False
        self.too_long = False

    def add(self, byte: int) -> None:
        if not 0x20 <= byte <= 0x7E:
            self.garbage = True
        elif len(self._buffer) == MAX_LINE:
            self.too_long = True
        else:
            self._buffer.append(byte)

    def __str__(self) -> str:
        return self._buffer.decode("ascii")


class VirtualBoard:
    """The board's side of docs/protocol.md.

    Args:
        hello: what the board says of itself; its status is that of setup.
        invoke: output bytes for input bytes; InvokeFailed if the runtime fails.
        ticks: a counter of rate `hello.tick_hz` that never wraps; the wire shows its low 32 bits.
        clock: seconds, for the rules of silence.
        memory: what MEMORY answers, where HELLO announces it.
        reset_state: makes the next invoke answer as the first, where HELLO announces STATE.
        models: runs models that are brought over the link, of these `operators` and at most
            `model_bytes`; without any, none can be brought.
    """

    def __init__(
        self,
        hello: Hello,
        invoke: Callable[[bytes], bytes],
        *,
        ticks: Callable[[], int],
        clock: Callable[[], float],
        memory: BoardMemory | None = None,
        reset_state: Callable[[], None] | None = None,
        window: Callable[[bool], None] | None = None,
        models: Models | None = None,
        model_bytes: int = 0,
        operators: tuple[str, ...] = (),
    ) -> None:
        self.hello = hello
        self._window = window
        self.mlperf_energy = False
        self.memory = memory
        self._invoke = invoke
        self._reset_model = reset_state
        self._ticks = ticks
        self._clock = clock
        self._loading: Loading | None = None
        if models is not None:
            self._loading = Loading(
                models,
                model_bytes=model_bytes,
                operators=operators,
                refuse=_Refusal,
                begins=self._begin_model,
            )
        self.boot()

    def boot(self) -> None:
        """Start anew, as after a reset."""
        if self._loading is not None and (own := self._loading.boot()) is not None:
            self.hello = own
        longest = self.hello.max_payload + 4
        self._frame_capacity = longest + -(-longest // 254)
        self._mode = "idle"
        self._buffer = bytearray()
        self._overflow = False
        self._line = _Text()
        self._command = _Text()
        self._mlperf = Mlperf(self)
        self._last_byte_s = -math.inf
        self._greeted = False
        self._cached: tuple[bytes, bytes] | None = None
        self._asked_baud: int | None = None
        self._baud, self._heard_s = BASE_BAUD, -math.inf
        self._begin_model(self.hello)

    def _begin_model(self, hello: Hello) -> None:
        self.hello = hello
        self.input = bytearray(hello.input_bytes)
        self.output = bytes(hello.output_bytes)
        self._resets_before_each = False
        self.reset_state()

    @property
    def baud(self) -> int:
        """The rate of its UART; back at the base rate after a silence."""
        if self._clock() - self._heard_s >= FALL_BACK_S:
            self._baud = BASE_BAUD
        return self._baud

    def line_break(self) -> None:
        """The line was low for longer than a byte, as by a `00` at a slower rate."""
        self._baud = BASE_BAUD

    @property
    def _takes(self) -> Layout:
        return Layout(specs=self.hello.inputs)

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the wire and return the bytes answered."""
        if not data:
            return b""
        now = self._clock()
        self._baud = self.baud
        silence_s = now - self._last_byte_s
        if self._mode == "frame" and silence_s >= SILENCE_S:
            self._mode = "idle"
        if silence_s >= COMMAND_SILENCE_S:
            self._command = _Text()
        answer = b"".join([self._take(byte) for byte in data])
        # The host may have gone on sending meanwhile: an answer is no silence of its.
        self._last_byte_s = self._clock() if answer else now
        return answer

    def _take(self, byte: int) -> bytes:
        if self._mode == "frame":
            return self._take_frame_byte(byte)
        if byte == 0:
            self._start("frame")
            return b""
        if self._mode == "idle":
            self._start("text")
        return self._take_text_byte(byte)

    def _start(self, mode: str) -> None:
        self._mode = mode
        self._buffer.clear()
        self._overflow = False
        self._line = _Text()
        self._command = _Text()

    def _take_frame_byte(self, byte: int) -> bytes:
        if byte:
            if len(self._buffer) == self._frame_capacity:
                self._overflow = True
            else:
                self._buffer.append(byte)
            return b""
        if not self._buffer:
            return b""
        stuffed, overflow = bytes(self._buffer), self._overflow
        self._start("idle")
        if overflow or self._too_long(stuffed):
            return self._error(0, 0, _Refusal(Status.FRAME_TOO_LONG, detail=self.hello.max_payload))
        return self._answer_frame(stuffed)

    def _too_long(self, stuffed: bytes) -> bool:
        # A payload with many zeros is stuffed into fewer bytes than the longest one allowed.
        try:
            return len(cobs.decode(stuffed)) > self.hello.max_payload + 4
        except cobs.DecodeError:
            return False

    def _answer_frame(self, stuffed: bytes) -> bytes:
        try:
            request = decode_frame(stuffed)
        except ProtocolError:
            return self._error(0, 0, _Refusal(Status.BAD_FRAME))
        if self._cached and self._cached[0] == stuffed and request.op != Op.HELLO:
            return self._sent(self._cached[1])
        done = False
        if request.op == Op.LOAD:
            self._mlperf = Mlperf(self)
        try:
            body = self._run_op(request)
            reply = encode_frame(Message(seq=request.seq, op=request.op | REPLY, body=body))
            done = True
        except _Refusal as refusal:
            reply = self._error(request.seq, request.op, refusal)
        self._cached = (stuffed, reply)
        self._asked_baud = _asked_baud(request) if done else None
        if done and request.op == Op.RESET:
            self.boot()
        return self._sent(reply)

    def _sent(self, reply: bytes) -> bytes:
        """The reply, and what happens once it has left: also if it is sent again."""
        if self._asked_baud is not None:
            self._baud = self._asked_baud
        self._heard_s = self._clock()
        return reply

    def _error(self, seq: int, op: int, refusal: _Refusal) -> bytes:
        body = error_body(
            ErrorReply(status=refusal.status, op=op, detail=refusal.detail, field=refusal.field)
        )
        return encode_frame(Message(seq=seq, op=Op.ERROR | REPLY, body=body))

    def _run_op(self, request: Message) -> bytes:
        body = request.body
        if request.op == Op.HELLO:
            return self._hello(body)
        if not self._greeted:
            raise _Refusal(Status.NO_SESSION)
        handlers = {
            Op.INFER: (Capability.INFER, self._infer),
            Op.WRITE: (Capability.TENSORS, self._write),
            Op.READ: (Capability.TENSORS, self._read),
            Op.RUN: (Capability.TENSORS, self._run),
            Op.PROFILE: (Capability.PROFILE, self._profile),
            Op.RESET: (Capability.RESET, self._nothing),
            Op.MEMORY: (Capability.MEMORY, self._memory),
            Op.STATE: (Capability.STATE, self._state),
            Op.SPEED: (Capability.SPEED, self._speed),
        }
        if request.op == Op.LOAD and self._loading is not None:
            return self._loading.answer(body, self.hello)
        if request.op not in handlers:
            raise _Refusal(Status.UNKNOWN_OP, detail=request.op)
        capability, handler = handlers[Op(request.op)]
        if not self.hello.capabilities & capability:
            raise _Refusal(Status.UNSUPPORTED)
        if request.op not in (Op.RESET, Op.MEMORY, Op.SPEED) and self.hello.status is not Status.OK:
            raise _Refusal(status=self.hello.status)
        return handler(body)

    def _hello(self, body: bytes) -> bytes:
        _require_size(body, 1)
        if body[0] != VERSION:
            raise _Refusal(Status.BAD_VERSION, field="version", detail=VERSION)
        shown = self.hello if self._loading is None else self._loading.described(self.hello)
        room = self.hello.max_payload - 2 - len(hello_body(replace(shown, note="")))
        if room < 0:
            raise _Refusal(Status.FRAME_TOO_LONG, detail=self.hello.max_payload)
        self._greeted = True
        note = self.hello.note.encode()[: min(room, MAX_STR)].decode(errors="ignore")
        return hello_body(replace(shown, note=note))

    def _nothing(self, body: bytes) -> bytes:
        _require_size(body, 0)
        return b""

    def _memory(self, body: bytes) -> bytes:
        _require_size(body, 0)
        assert self.memory is not None, "HELLO announces what this board does not have"
        return memory_body(self.memory)

    def _speed(self, body: bytes) -> bytes:
        _require_size(body, 4)
        if int.from_bytes(body, "little") not in (BASE_BAUD, *self.hello.rates):
            raise _Refusal(Status.BAD_VALUE, field="baud", detail=self.hello.rates[0])
        return body + speed_body(self._baud)

    def microseconds(self) -> int:
        """Time by the counter that also measures invokes."""
        return self._ticks() * 1_000_000 // self.hello.tick_hz

    def reset_state(self) -> bool:
        """Reset what the model keeps from one invoke to the next; False if that failed."""
        if self._reset_model is not None and self.hello.capabilities & Capability.STATE:
            try:
                self._reset_model()
            except InvokeFailed:
                return False
        self._since_reset = 0
        return True

    def _state(self, body: bytes) -> bytes:
        _require_size(body, 1)
        if body[0] > StateMode.RESET_BEFORE_EACH:
            raise _Refusal(Status.BAD_VALUE, field="mode", detail=int(StateMode.RESET_BEFORE_EACH))
        invokes = self._since_reset
        if not self.reset_state():
            raise _Refusal(Status.INVOKE_FAILED)
        self._resets_before_each = body[0] == StateMode.RESET_BEFORE_EACH
        return invokes.to_bytes(4, "little")

    def invoke_times(self, count: int) -> bool:
        """Run this many invokes on the input, one going on from another; False if one failed."""
        try:
            for index in range(count):
                self._since_reset += 1
                self._run_once(bytes(self.input), index)
        except _Refusal:
            return False
        return True

    def _before_invoke(self, index: int) -> None:
        if self._resets_before_each and not self.reset_state():
            raise _Refusal(Status.INVOKE_FAILED, detail=index)
        self._since_reset += 1

    def _timed_invoke(self, raw: bytes, index: int) -> int:
        self._before_invoke(index)
        return self._run_once(raw, index)

    def _run_once(self, raw: bytes, index: int) -> int:
        start = self._ticks()
        try:
            output = self._invoke(raw)
        except InvokeFailed:
            raise _Refusal(Status.INVOKE_FAILED, detail=index) from None
        took = (self._ticks() - start) & 0xFFFFFFFF
        self.output = output
        return took

    def _infer(self, body: bytes) -> bytes:
        size = self.hello.input_bytes
        limit = max_infer_count(self.hello.max_payload, size, self.hello.output_bytes)
        if len(body) < 2:
            raise _Refusal(Status.BAD_SIZE, field="body", detail=2 + size)
        count = int.from_bytes(body[:2], "little")
        if not 1 <= count <= limit:
            raise _Refusal(Status.BAD_VALUE, field="count", detail=limit)
        _require_size(body, 2 + count * size)
        outputs, ticks = [], []
        for index in range(count):
            self.input[:] = body[2 + index * size : 2 + (index + 1) * size]
            ticks.append(self._timed_invoke(bytes(self.input), index))
            outputs.append(self.output)
        packed = pack_ticks(np.array(ticks, dtype=np.uint32))
        return count.to_bytes(2, "little") + b"".join(outputs) + packed

    def _write(self, body: bytes) -> bytes:
        if len(body) < 5:
            raise _Refusal(Status.BAD_SIZE, field="body", detail=5)
        offset, data = int.from_bytes(body[:4], "little"), body[4:]
        if offset + len(data) > len(self.input):
            raise _Refusal(Status.BAD_VALUE, field="offset", detail=len(self.input))
        self.input[offset : offset + len(data)] = data
        return (offset + len(data)).to_bytes(4, "little")

    def _read(self, body: bytes) -> bytes:
        _require_size(body, 6)
        offset, length = int.from_bytes(body[:4], "little"), int.from_bytes(body[4:], "little")
        if not 1 <= length <= self.hello.max_payload - 2:
            raise _Refusal(Status.BAD_VALUE, field="length", detail=self.hello.max_payload - 2)
        if offset + length > len(self.output):
            raise _Refusal(Status.BAD_VALUE, field="offset", detail=len(self.output))
        return self.output[offset : offset + length]

    def _run(self, body: bytes) -> bytes:
        longer = len(body) == 10
        if not longer:
            _require_size(body, 6)
        count, crc, more = (int.from_bytes(part, "little") for part in _cut(body, 2, 6))
        limit = max_run_count(self.hello.max_payload, more=longer)
        if not 1 <= count <= limit:
            raise _Refusal(Status.BAD_VALUE, field="count", detail=limit)
        if more > MOST_MORE:
            raise _Refusal(Status.BAD_VALUE, field="more", detail=MOST_MORE)
        held = zlib.crc32(self.input)
        if held != crc:
            raise _Refusal(Status.BAD_INPUT, field="input_crc", detail=held)
        start = self._ticks()
        ticks, more_ticks = self._invoke_in_window(count, more)
        window_ticks = (self._ticks() - start) & 0xFFFF_FFFF_FFFF_FFFF
        head = zlib.crc32(self.output).to_bytes(4, "little") + count.to_bytes(2, "little")
        packed = pack_ticks(np.array(ticks, dtype=np.uint32))
        sums = (more_ticks.to_bytes(8, "little"), window_ticks.to_bytes(8, "little"))
        return head + packed + (b"".join(sums) if longer else b"")

    def _invoke_in_window(self, count: int, more: int) -> tuple[list[int], int]:
        """Ticks of `count` invokes, and the sum of those of `more`."""
        marks = bool(self.hello.capabilities & Capability.WINDOWS)
        if marks:
            self._mark(True)
        try:
            ticks = [self._invoke_and_look(index) for index in range(count)]
            return ticks, sum(map(self._invoke_and_look, range(count, count + more)))
        finally:
            if marks:
                self._mark(False)

    def _invoke_and_look(self, index: int) -> int:
        ticks = self._timed_invoke(bytes(self.input), index)
        self._ticks()  # As the firmware, whose clock has to see every wrap of the counter.
        return ticks

    def pulse(self) -> None:
        """A timestamp of MLPerf's energy mode."""
        self._mark(False)
        self._mark(True)

    def _mark(self, open: bool) -> None:
        if self._window is not None:
            self._window(open)

    def _profile(self, body: bytes) -> bytes:
        """Refused: it has no runtime that can be observed. The tests have a board that does."""
        raise _Refusal(Status.UNSUPPORTED)

    def _take_text_byte(self, byte: int) -> bytes:
        if byte in b"\n%":
            line, command = self._line, self._command
            self._start("idle")
            answer = self._answer_line(line) if byte == 0x0A else self._answer_command(command)
            return answer.encode("ascii")
        if byte != 0x0D:
            self._line.add(byte)
            self._command.add(byte)
        return b""

    def _answer_command(self, command: _Text) -> str:
        if command.garbage:
            return ""
        if command.too_long:
            return f"e-[Command too long: limit {MAX_LINE}]\nm-ready\n"
        return self._mlperf.answer(str(command))

    def _answer_line(self, line: _Text) -> str:
        if line.garbage or not str(line):
            return ""
        if line.too_long:
            return f"error line-too-long: limit {MAX_LINE}\n"
        return self._answer(str(line)) + "\n"

    def _answer(self, line: str) -> str:
        if line == "?":
            return (
                f"help: send {self._takes.elements} numbers in the model's unit, "
                "separated by spaces or commas; help% lists MLPerf Tiny's commands"
            )
        if self.hello.status is not Status.OK:
            return f"error {self.hello.status.name.lower()}"
        return self._answer_numbers(re.findall(r"[^ ,]+", line))

    def _answer_numbers(self, words: list[str]) -> str:
        for word in words:
            if _NOT_FINITE.fullmatch(word):
                return f"error not-finite: {word}"
            if not _NUMBER.fullmatch(word):
                return f"error not-a-number: {word}"
        need = self._takes.elements
        if len(words) != need or len(words) > MAX_NUMBERS:
            return f"error wrong-count: got {len(words)}, need {need}"
        reals = np.clip(np.array(words, dtype=np.float64), -_LARGEST, _LARGEST)
        self.input[:] = self._takes.from_numbers(reals.astype(np.float32))
        try:
            took = self._timed_invoke(bytes(self.input), 0) - self.hello.timer_read_ticks
        except _Refusal as refusal:
            return f"error {refusal.status.name.lower()}"
        us = (took * 2_000_000 + self.hello.tick_hz) // (2 * self.hello.tick_hz)
        return f"y={outputs_text(self.hello, self.output)} us={max(us, 0)}"


def _asked_baud(request: Message) -> int | None:
    return int.from_bytes(request.body, "little") if request.op == Op.SPEED else None


def _cut(body: bytes, *places: int) -> list[bytes]:
    return [body[start:end] for start, end in zip((0, *places), (*places, None), strict=True)]


def _require_size(body: bytes, size: int) -> None:
    if len(body) != size:
        raise _Refusal(Status.BAD_SIZE, field="body", detail=size)
