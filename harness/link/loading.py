"""Op LOAD of docs/protocol.md: a model that is brought to a board over the link."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from harness.errors import ModelRefused, ProtocolError, SwapRefused, located
from harness.link.link import Link
from harness.link.protocol import OF_THE_MODEL, Body, Hello, Op, Place, Status
from harness.text import printable

MOST_NAME = 63
MOST_INITIALIZERS = 8
"""What a board keeps of a model beside its file."""

COMMIT_S = 30.0
"""For a slow board to hash a large model and plan its arena."""

BEGIN_FIXED = struct.Struct("<I32sBHB")


class LoadStep(IntEnum):
    """What a LOAD request does."""

    OPERATORS = 0
    BEGIN = 1
    PIECE = 2
    COMMIT = 3


class LoadFlag(IntEnum):
    """Bits of BEGIN's `flags`."""

    STATEFUL = 1
    QUANTIZED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A model to bring, and what a board is told of it.

    `quantized`: to int8 or int16, which optimized kernels serve. `variables` counts its resource
    variables; `initializers` are the subgraphs that assign them.
    """

    content: bytes
    name: str
    stateful: bool = False
    quantized: bool = True
    variables: int = 0
    initializers: tuple[int, ...] = ()

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A model to bring to a board that runs firmware of one build, whenever it does not run it."""

    model: Brought
    build_id: str

    def is_due(self, hello: Hello) -> bool:
        """Whether a board that says this is to be brought the model."""
        if hello.room is None or hello.build_id.hex() != self.build_id:
            return False
        return hello.room.place is Place.FLASH or hello.model_sha256 != self.model.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The reply to COMMIT: what the board's setup says of the model. Sizes in bytes."""

    status: Status
    arena_used: int
    arena_capacity: int
    note: str


def shown_name(name: str) -> str:
    """A model's name as a board keeps it: printable ASCII, and not long."""
    return printable(name, MOST_NAME).encode("ascii", "replace").decode()[:MOST_NAME]


def operators_body(first: int) -> bytes:
    """Body of a LOAD request for the kinds of operators from `first` on."""
    return struct.pack("<BH", LoadStep.OPERATORS, first)


def begin_body(model: Brought) -> bytes:
    """Body of a LOAD request that announces a model."""
    flags = LoadFlag.STATEFUL * model.stateful + LoadFlag.QUANTIZED * model.quantized
    count, name = len(model.initializers), shown_name(model.name).encode()
    head = BEGIN_FIXED.pack(len(model.content), model.sha256, flags, model.variables, count)
    return b"".join(
        (
            bytes((LoadStep.BEGIN,)),
            head,
            struct.pack(f"<{count}H", *model.initializers),
            bytes((len(name),)),
            name,
        )
    )


def piece_body(offset: int, piece: bytes) -> bytes:
    """Body of a LOAD request with bytes of the model."""
    return struct.pack("<BI", LoadStep.PIECE, offset) + piece


def commit_body() -> bytes:
    """Body of a LOAD request that ends a model."""
    return bytes((LoadStep.COMMIT,))


def committed_body(said: Committed) -> bytes:
    """Body of the reply to COMMIT; its note fits."""
    note = said.note.encode()
    head = struct.pack("<BII", said.status, said.arena_used, said.arena_capacity)
    return head + bytes((len(note),)) + note


def parse_operators(raw: bytes) -> tuple[str, ...]:
    """The kinds of operators in one reply, at least one."""
    body = Body(raw)
    count = body.number("B")
    names = tuple(body.text() for _ in range(count))
    body.end()
    if not names:
        raise ProtocolError("LOAD told no operators")
    return names


def parse_committed(raw: bytes) -> Committed:
    """The reply to COMMIT."""
    body = Body(raw)
    number, used, capacity = (int(body.number(code)) for code in "BII")
    note = body.text()
    body.end()
    try:
        status = Status(number)
    except ValueError as error:
        raise ProtocolError(f"unknown status {number}") from error
    return Committed(status=status, arena_used=used, arena_capacity=capacity, note=note)


def read_operators(link: Link, hello: Hello) -> tuple[str, ...]:
    """The kinds of operators that a model may have which is brought to the board.

    Raises:
        BoardStatus: it takes none.
        ProtocolError: it tells fewer than HELLO says.
    """
    names: tuple[str, ...] = ()
    count = hello.room.operators if hello.room else 1
    while len(names) < count:
        reply = link.request(Op.LOAD, operators_body(len(names)))
        with located(link.where):
            names += parse_operators(reply)
    if len(names) != count:
        raise ProtocolError(f"LOAD told {len(names)} operators, HELLO {count}", where=link.where)
    return names


def bring(link: Link, hello: Hello, model: Brought) -> Committed:
    """Bring a model to a board and have it planned; HELLO then shows it, or the one linked in.

    Raises:
        SwapRefused: it is too large for the board's room, or has an operator that its firmware
            lacks, or did not come whole. Nothing was sent where that is known before.
        ModelRefused: the board's interpreter refuses it. The board runs its own model again.
        BoardStatus: the board takes no model.
    """
    _refuse_too_much(link, hello, model)
    link.request(Op.LOAD, begin_body(model))
    room = hello.max_payload - 2 - len(piece_body(0, b""))
    for at in range(0, len(model.content), room):
        piece = model.content[at : at + room]
        end = link.request(Op.LOAD, piece_body(at, piece))
        if int.from_bytes(end, "little") != at + len(piece):
            raise ProtocolError("LOAD was answered for another piece", where=link.where)
    reply = link.request(Op.LOAD, commit_body(), compute_s=COMMIT_S)
    with located(link.where):
        said = parse_committed(reply)
    if said.status is Status.OK:
        return said
    status = said.status.name.lower()
    if said.status in OF_THE_MODEL:
        raise ModelRefused(where=link.where, op="LOAD", status=status, note=said.note)
    raise SwapRefused(f"the board did not take the model: {status}: {said.note}", where=link.where)


def _refuse_too_much(link: Link, hello: Hello, model: Brought) -> None:
    room = hello.room
    if room is None:
        raise SwapRefused("the board's firmware takes no model over the link", where=link.where)
    if len(model.content) > room.model_bytes:
        raise SwapRefused(
            f"the model has {len(model.content)} bytes, and the board has room for "
            f"{room.model_bytes}",
            where=link.where,
        )
    if len(model.initializers) > MOST_INITIALIZERS:
        raise SwapRefused(
            f"the model has {len(model.initializers)} subgraphs that assign variables, and a "
            f"board keeps {MOST_INITIALIZERS}",
            where=link.where,
        )
