"""The wire protocol of docs/protocol.md: values in, bytes out, and back. No I/O here.

`tests/vectors/` holds frames and dialogues that this module and the firmware are both tested with.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

from harness.errors import ProtocolError, TensorError
from harness.model.tensor import DTYPE_NUMBERS, DTYPES, TensorSpec
from harness.text import printable

VERSION = 1
REPLY = 0x80
MIN_PAYLOAD = 256
MAX_STR = 255
MOST_TENSOR_BYTES = 1 << 28
"""Of all inputs or outputs together; far more than a board can have."""

SILENCE_S = 0.1
"""A board drops an unfinished frame after this long without a byte."""

BASE_BAUD = 115200
"""Of every board after reset."""
FALL_BACK_S = 1.0
"""A board leaves a faster rate after this long without a frame that it understands."""
MOST_BAUD, MOST_RATES = 20_000_000, 16
"""What HELLO may offer; more than any UART has."""


class Op(IntEnum):
    """Requests; a reply has the top bit set as well. ERROR is a reply only."""

    HELLO = 0x01
    INFER = 0x02
    WRITE = 0x03
    READ = 0x04
    RUN = 0x05
    PROFILE = 0x06
    RESET = 0x07
    MEMORY = 0x08
    STATE = 0x09
    SPEED = 0x0A
    LOAD = 0x0B
    ERROR = 0x7F


class Status(IntEnum):
    """What a board says of a request, or in HELLO of its own setup."""

    OK = 0
    BAD_FRAME = 1
    FRAME_TOO_LONG = 2
    UNKNOWN_OP = 3
    BAD_SIZE = 4
    BAD_VALUE = 5
    BAD_INPUT = 6
    NO_SESSION = 7
    MODEL_NOT_LOADED = 8
    INVOKE_FAILED = 9
    UNSUPPORTED = 10
    TIMER_STUCK = 11
    ARENA_TOO_SMALL = 12
    PORT_FAILED = 13
    BAD_VERSION = 14
    BAD_SCHEMA = 15
    BAD_MODEL = 16
    UNKNOWN_OPERATOR = 17


OF_THE_MODEL = frozenset(
    (Status.MODEL_NOT_LOADED, Status.INVOKE_FAILED, Status.ARENA_TOO_SMALL, Status.BAD_SCHEMA)
)
"""Statuses by which a board's interpreter refuses its model; board and link are well."""


class What(IntEnum):
    """What a PROFILE request asks of the model's steps."""

    TICKS = 0
    CHECKSUMS = 1
    OUTPUT = 2


class StateMode(IntEnum):
    """What becomes of a model's state from one invoke to the next."""

    KEEP = 0
    RESET_BEFORE_EACH = 1


class Capability(IntFlag):
    """Bits of HELLO's `capabilities`."""

    INFER = 1
    TENSORS = 2
    PROFILE = 4
    RESET = 8
    MEMORY = 16
    STATE = 32
    SPEED = 64
    SWAP = 128
    WINDOWS = 256
    """A pin of the board marks when a RUN invokes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A payload: sequence number, op (with REPLY in a reply) and body."""

    seq: int
    op: int
    body: bytes = b""


class Place(IntEnum):
    """Where the model that runs lies: linked in, or brought over the link."""

    FLASH = 0
    RAM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a board that announces SWAP takes: a model of at most `model_bytes`.

    `operators` counts the kinds that LOAD lists. `place` is that of the model that runs.
    """

    model_bytes: int
    operators: int
    place: Place = Place.FLASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a board says of itself. Sizes in bytes, times in ticks of `tick_hz`.

    `rates` are the baud rates that it offers beside BASE_BAUD, where it announces SPEED; `room` is
    there where it announces SWAP.
    """

    version: int = VERSION
    status: Status = Status.OK
    capabilities: Capability
    max_payload: int
    tick_hz: int
    timer_step_ticks: int
    timer_read_ticks: int
    arena_used: int
    arena_capacity: int
    model_sha256: bytes
    build_id: bytes
    board: str
    board_uid: str
    runtime: str
    runtime_version: str
    kernels: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    model: str = ""
    rates: tuple[int, ...] = ()
    room: Room | None = None
    note: str = ""

    @property
    def input_bytes(self) -> int:
        """Bytes of one input, all tensors."""
        return sum(spec.size_bytes for spec in self.inputs)

    @property
    def output_bytes(self) -> int:
        """Bytes of one output, all tensors."""
        return sum(spec.size_bytes for spec in self.outputs)

    @property
    def max_infer(self) -> int:
        """Most samples one INFER carries both ways; 0 if not even one fits."""
        return max_infer_count(self.max_payload, self.input_bytes, self.output_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardMemory:
    """The stack that the model runs on: its size, and how deep it was at most since reset."""

    stack_bytes: int
    stack_used_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """Body of an ERROR frame."""

    status: Status
    op: int
    detail: int
    field: str


def max_infer_count(max_payload: int, input_bytes: int, output_bytes: int) -> int:
    """Samples for which INFER's request (4 + k inputs) and reply (9 + k outputs and ticks) fit."""
    return min((max_payload - 4) // input_bytes, (max_payload - 9) // (output_bytes + 4))


MOST_MORE = 1_000_000
"""Invokes that a RUN may have beside those whose ticks it tells."""


def max_run_count(max_payload: int, *, more: bool = False) -> int:
    """Invokes whose ticks fit into one RUN reply, also into that of a RUN with `more`."""
    return (max_payload - 13 - 16 * more) // 4


def encode_frame(message: Message) -> bytes:
    """Bytes on the wire, both delimiters included."""
    payload = bytes((message.seq, message.op)) + message.body
    return b"\0" + bytes(cobs.encode(payload + struct.pack("<I", zlib.crc32(payload)))) + b"\0"


def decode_frame(stuffed: bytes) -> Message:
    """The message between two delimiters.

    Raises:
        ProtocolError: COBS or CRC wrong, or no room for number and op.
    """
    try:
        raw = bytes(cobs.decode(stuffed))
    except cobs.DecodeError as error:
        raise ProtocolError(f"frame of {len(stuffed)} bytes is not COBS: {error}") from error
    if len(raw) < 6:
        raise ProtocolError(f"frame of {len(raw)} bytes is shorter than number, op and CRC")
    payload, crc = raw[:-4], int.from_bytes(raw[-4:], "little")
    if zlib.crc32(payload) != crc:
        raise ProtocolError(f"frame of {len(raw)} bytes fails its CRC")
    return Message(seq=payload[0], op=payload[1], body=payload[2:])


def frame_bytes(payload: int) -> int:
    """Most bytes between the delimiters of a frame with this payload: CRC and stuffing included."""
    raw = payload + 4
    return raw + raw // 254 + 1


MAX_PAYLOAD = 0xFFFF
"""The longest that HELLO can announce, and so the bound of HELLO itself."""


class FrameSplitter:
    """Cuts a stream at its `00` bytes. Bytes before the first one are text and are dropped.

    `most` bounds the bytes of a frame that are kept: a longer one comes out cut, and fails its CRC.
    """

    def __init__(self, most: int = frame_bytes(MAX_PAYLOAD)) -> None:
        self.most = most
        self._inside = False
        self._part = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the stuffed bytes between delimiters, empty ones left out."""
        pieces = data.split(b"\0")
        if self._inside:
            self._keep(pieces[0])
        if len(pieces) == 1:
            return
        complete = [bytes(self._part), *pieces[1:-1]]
        self._inside = True
        self._part.clear()
        self._keep(pieces[-1])
        yield from (piece for piece in complete if piece)

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun whose end has not come."""
        return bool(self._part)

    def _keep(self, piece: bytes) -> None:
        self._part += piece[: max(0, self.most + 1 - len(self._part))]

    def reset(self) -> bytes:
        """Forget an unfinished frame and return what it held."""
        left = bytes(self._part)
        self._inside = False
        self._part.clear()
        return left


class Body:
    """Reads the fields of a body in order; every read is checked against its end."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        piece = self._raw[self._at : self._at + size]
        if len(piece) != size:
            raise ProtocolError(f"body of {len(self._raw)} bytes ends inside a field")
        self._at += size
        return piece

    def number(self, code: str) -> Any:
        """One little-endian value, `code` as in `struct`."""
        layout = struct.Struct("<" + code)
        return layout.unpack(self.take(layout.size))[0]

    def text(self) -> str:
        """A `str`: length byte and UTF-8. Printable from here on: errors, CSV and JUnit take it.

        The lines of a text, as TFLM logs them, become one.
        """
        raw = self.take(self.number("B"))
        try:
            return printable(" ".join(raw.decode().splitlines()), MAX_STR)
        except UnicodeDecodeError as error:
            raise ProtocolError(f"string {raw[:40]!r} is not UTF-8") from error

    def end(self) -> None:
        """Raise unless everything was read."""
        if self._at != len(self._raw):
            raise ProtocolError(f"{len(self._raw) - self._at} bytes too many in a body")


def _text_bytes(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > MAX_STR:
        raise ProtocolError(f"string of {len(raw)} bytes does not fit: {text[:40]!r}")
    return bytes((len(raw),)) + raw


def _spec_bytes(spec: TensorSpec) -> bytes:
    head = struct.pack("<BB", DTYPE_NUMBERS[spec.dtype], len(spec.shape))
    return head + struct.pack(f"<{len(spec.shape)}Ifi", *spec.shape, spec.scale, spec.zero_point)


def _take_spec(body: Body) -> TensorSpec:
    number, rank = body.number("B"), body.number("B")
    if number not in DTYPES:
        raise ProtocolError(f"tensor of unknown dtype {number}")
    shape = tuple(body.number("I") for _ in range(rank))
    try:
        return TensorSpec(
            shape=shape,
            dtype=DTYPES[number],
            scale=body.number("f"),
            zero_point=body.number("i"),
        )
    except TensorError as error:
        raise ProtocolError(f"HELLO describes an impossible tensor: {error.what}") from error


_HELLO_HEAD = struct.Struct("<BBHHIIIII32s16s")


def hello_body(hello: Hello) -> bytes:
    """Body of a HELLO reply."""
    head = _HELLO_HEAD.pack(
        hello.version,
        hello.status,
        hello.capabilities,
        hello.max_payload,
        hello.tick_hz,
        hello.timer_step_ticks,
        hello.timer_read_ticks,
        hello.arena_used,
        hello.arena_capacity,
        hello.model_sha256,
        hello.build_id,
    )
    names = (hello.board, hello.board_uid, hello.runtime, hello.runtime_version, hello.kernels)
    parts = [head, *(_text_bytes(name) for name in names)]
    for specs in (hello.inputs, hello.outputs):
        parts += [bytes((len(specs),)), *(_spec_bytes(spec) for spec in specs)]
    parts.append(_text_bytes(hello.model))
    if hello.capabilities & Capability.SPEED:
        parts.append(struct.pack(f"<B{len(hello.rates)}I", len(hello.rates), *hello.rates))
    if hello.room is not None:
        room = hello.room
        parts.append(struct.pack("<IBH", room.model_bytes, room.place, room.operators))
    parts.append(_text_bytes(hello.note))
    return b"".join(parts)


def parse_hello(raw: bytes) -> Hello:
    """A HELLO reply's fields.

    Raises:
        ProtocolError: another version, a number out of range, or too few or too many bytes.
    """
    body = Body(raw)
    version = body.number("B")
    if version != VERSION:
        raise ProtocolError(f"board speaks protocol version {version}, this harness {VERSION}")
    fields = _HELLO_HEAD.unpack(bytes((version,)) + body.take(_HELLO_HEAD.size - 1))
    _, status, capabilities, max_payload, tick_hz, step, read, used, capacity, sha, build = fields
    board, uid, runtime, runtime_version, kernels = (body.text() for _ in range(5))
    inputs = tuple(_take_spec(body) for _ in range(body.number("B")))
    outputs = tuple(_take_spec(body) for _ in range(body.number("B")))
    model = body.text()
    rates = _take_rates(body) if capabilities & Capability.SPEED else ()
    room = _take_room(body) if capabilities & Capability.SWAP else None
    note = body.text()
    body.end()
    for specs in (inputs, outputs):
        if sum(spec.size_bytes for spec in specs) > MOST_TENSOR_BYTES:
            raise ProtocolError("HELLO describes tensors that are too large for any board")
    if max_payload < MIN_PAYLOAD:
        raise ProtocolError(f"HELLO announces frames of {max_payload} bytes, least {MIN_PAYLOAD}")
    if status == Status.OK and not (tick_hz and inputs and outputs):
        raise ProtocolError("HELLO of a healthy board lacks a tick rate, inputs or outputs")
    return Hello(
        version=version,
        status=_status(status),
        capabilities=Capability(capabilities),
        max_payload=max_payload,
        tick_hz=tick_hz,
        timer_step_ticks=step,
        timer_read_ticks=read,
        arena_used=used,
        arena_capacity=capacity,
        model_sha256=sha,
        build_id=build,
        board=board,
        board_uid=uid,
        runtime=runtime,
        runtime_version=runtime_version,
        kernels=kernels,
        inputs=inputs,
        outputs=outputs,
        model=model,
        rates=rates,
        room=room,
        note=note,
    )


def _take_room(body: Body) -> Room:
    model_bytes, place, operators = (body.number(code) for code in "IBH")
    if place not in (Place.FLASH, Place.RAM):
        raise ProtocolError(f"HELLO says its model lies in place {place}, which is none")
    return Room(model_bytes=model_bytes, place=Place(place), operators=operators)


def _take_rates(body: Body) -> tuple[int, ...]:
    count = body.number("B")
    if not 1 <= count <= MOST_RATES:
        raise ProtocolError(f"HELLO offers {count} faster rates, which must be 1 to {MOST_RATES}")
    rates = tuple(int(body.number("I")) for _ in range(count))
    if not all(BASE_BAUD < rate <= MOST_BAUD for rate in rates):
        raise ProtocolError(f"HELLO offers rates {rates}, not from {BASE_BAUD} to {MOST_BAUD}")
    return rates


def _status(number: int) -> Status:
    try:
        return Status(number)
    except ValueError as error:
        raise ProtocolError(f"unknown status {number}") from error


def error_body(error: ErrorReply) -> bytes:
    """Body of an ERROR reply."""
    return struct.pack("<BBI", error.status, error.op, error.detail) + _text_bytes(error.field)


def parse_error(raw: bytes) -> ErrorReply:
    """Fields of an ERROR reply."""
    body = Body(raw)
    status, op, detail = _status(body.number("B")), body.number("B"), body.number("I")
    field = body.text()
    body.end()
    return ErrorReply(status=status, op=op, detail=detail, field=field)


def infer_body(count: int, inputs: bytes) -> bytes:
    """Body of an INFER request."""
    return struct.pack("<H", count) + inputs


def pack_ticks(ticks: NDArray[np.uint32]) -> bytes:
    """Least, width, and differences from the least, of shape (count,) with count above 0."""
    least = int(ticks.min())
    span = int(ticks.max()) - least
    width = 0 if span == 0 else 1 if span < 1 << 8 else 2 if span < 1 << 16 else 4
    head = struct.pack("<IB", least, width)
    return head + (ticks - np.uint32(least)).astype(f"<u{width}").tobytes() if width else head


def _take_ticks(body: Body, count: int) -> NDArray[np.uint32]:
    least, width = body.number("I"), body.number("B")
    if width == 0:
        return np.full(count, least, dtype=np.uint32)
    if width not in (1, 2, 4):
        raise ProtocolError(f"ticks packed in {width} bytes each")
    above = np.frombuffer(body.take(width * count), dtype=f"<u{width}").astype(np.uint64)
    ticks = above + least
    if ticks.max() > 0xFFFFFFFF:
        raise ProtocolError("packed ticks exceed 32 bits")
    return np.asarray(ticks, dtype=np.uint32)


def parse_infer(raw: bytes, *, count: int, output_bytes: int) -> tuple[bytes, NDArray[np.uint32]]:
    """Output bytes of all samples, and ticks of shape (count,)."""
    body = Body(raw)
    if body.number("H") != count:
        raise ProtocolError(f"INFER of {count} samples was answered for another number")
    outputs = body.take(count * output_bytes)
    ticks = _take_ticks(body, count)
    body.end()
    return outputs, ticks


def run_body(count: int, input_crc: int, more: int | None = None) -> bytes:
    """Body of a RUN request; `more` invokes follow those `count` whose ticks are told."""
    fixed = struct.pack("<HI", count, input_crc)
    return fixed if more is None else fixed + struct.pack("<I", more)


def parse_run(raw: bytes, *, count: int) -> tuple[int, NDArray[np.uint32]]:
    """CRC-32 of the output, and ticks of shape (count,)."""
    body = Body(raw)
    output_crc, ticks = _take_run(body, count)
    body.end()
    return output_crc, ticks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LongRun:
    """A RUN with `more`: ticks (count,) of the first invokes, the sum of those of the others, and
    all ticks from the first to the last.
    """

    output_crc: int
    ticks: NDArray[np.uint32]
    more_ticks: int
    window_ticks: int


def parse_long_run(raw: bytes, *, count: int) -> LongRun:
    """Body of a reply to a RUN with `more`.

    Raises:
        ProtocolError: it is none, or its invokes took longer than their window.
    """
    body = Body(raw)
    output_crc, ticks = _take_run(body, count)
    more_ticks, window_ticks = int(body.number("Q")), int(body.number("Q"))
    body.end()
    if more_ticks + int(ticks.sum(dtype=np.uint64)) > window_ticks:
        raise ProtocolError("RUN says that its invokes took longer than all of them together")
    return LongRun(
        output_crc=output_crc, ticks=ticks, more_ticks=more_ticks, window_ticks=window_ticks
    )


def _take_run(body: Body, count: int) -> tuple[int, NDArray[np.uint32]]:
    output_crc = int(body.number("I"))
    if body.number("H") != count:
        raise ProtocolError(f"RUN of {count} invokes was answered for another number")
    return output_crc, _take_ticks(body, count)


def memory_body(memory: BoardMemory) -> bytes:
    """Body of a MEMORY reply."""
    return struct.pack("<II", memory.stack_bytes, memory.stack_used_bytes)


def parse_memory(raw: bytes) -> BoardMemory:
    """Fields of a MEMORY reply.

    Raises:
        ProtocolError: too few or too many bytes, or a stack of which none or more than all is used.
    """
    body = Body(raw)
    memory = BoardMemory(stack_bytes=body.number("I"), stack_used_bytes=body.number("I"))
    body.end()
    if not 0 < memory.stack_used_bytes <= memory.stack_bytes:
        raise ProtocolError(
            f"MEMORY says that {memory.stack_used_bytes} of {memory.stack_bytes} bytes of stack "
            "were used"
        )
    return memory


def parse_state(raw: bytes) -> int:
    """Field of a STATE reply: invokes since the state was last reset, before this request."""
    body = Body(raw)
    invokes = int(body.number("I"))
    body.end()
    return invokes


def speed_body(baud: int) -> bytes:
    """Body of a SPEED request."""
    return struct.pack("<I", baud)


def parse_speed(raw: bytes, *, baud: int) -> int:
    """The rate at which a SPEED request came in.

    Raises:
        ProtocolError: it was answered for another rate.
    """
    body = Body(raw)
    said, came_at = int(body.number("I")), int(body.number("I"))
    body.end()
    if said != baud:
        raise ProtocolError(f"SPEED {baud} was answered by {said}")
    return came_at


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepValues:
    """A reply to PROFILE: values (count,) of some of `steps` steps, ticks or CRC-32s.

    `whole_ticks` is the inference they are from. `empty_ticks` is what a step that does nothing is
    told to take, and `pitch_ticks` from its beginning to that of the next. All of them raw.
    """

    steps: int
    whole_ticks: int
    empty_ticks: int
    pitch_ticks: int
    values: NDArray[np.uint32]


LEAST_VALUES, LEAST_PIECE = 32, 128
"""What the smallest frame carries of a step's values and bytes. Frames are filled: a board that
sends less would be asked for ever."""


def profile_body(what: What, step: int, input_crc: int, offset: int | None = None) -> bytes:
    """Body of a PROFILE request; `offset` is for What.OUTPUT."""
    body = struct.pack("<BHI", what, step, input_crc)
    return body if offset is None else body + struct.pack("<I", offset)


def parse_step_values(raw: bytes, *, first: int) -> StepValues:
    """The values of the steps from `first` on, at least one."""
    body = Body(raw)
    steps, whole, empty, pitch, count = (body.number(code) for code in "HIIIH")
    if not min(steps - first, LEAST_VALUES) <= count <= steps - first or count == 0:
        raise ProtocolError(f"PROFILE brought {count} values from step {first} of {steps}")
    values = _take_ticks(body, count)
    body.end()
    return StepValues(
        steps=steps, whole_ticks=whole, empty_ticks=empty, pitch_ticks=pitch, values=values
    )


def parse_step_output(raw: bytes, *, offset: int) -> tuple[int, bytes]:
    """Size of a step's whole output, and the piece of it from `offset` on."""
    body = Body(raw)
    size = int(body.number("I"))
    piece = body.take(len(raw) - 4)
    if not min(size - offset, LEAST_PIECE) <= len(piece) <= size - offset or not piece:
        raise ProtocolError(
            f"PROFILE brought {len(piece)} bytes from {offset} on of a step's {size}"
        )
    if size > MOST_TENSOR_BYTES:
        raise ProtocolError(f"PROFILE says that a step writes {size} bytes")
    return size, piece


def op_name(op: int) -> str:
    """`HELLO` for 0x01 and 0x81; the number for an unknown one."""
    try:
        return Op(op & ~REPLY).name
    except ValueError:
        return f"op {op:#04x}"
