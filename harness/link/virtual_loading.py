"""The board's end of op LOAD in Python: `firmware/src/answer/loading.cpp` for the virtual board."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from harness.link.loading import (
    BEGIN_FIXED,
    MOST_INITIALIZERS,
    MOST_NAME,
    Brought,
    Committed,
    LoadFlag,
    LoadStep,
    committed_body,
)
from harness.link.protocol import MAX_STR, Capability, Hello, Place, Room, Status, hello_body

_WHAT = 1
_BEGIN, _PIECE = BEGIN_FIXED.size + 1, 4
_FLAGS = LoadFlag.STATEFUL | LoadFlag.QUANTIZED


class Models(Protocol):
    """What runs models: one that is its own, and those that are brought."""

    def swap(self, model: Brought) -> tuple[Committed, Hello | None]:
        """Run a model that was brought; without a HELLO it runs none, and `own` is to follow."""

    def own(self) -> Hello:
        """Run its own model."""


class Refuse(Protocol):
    """Makes an error that a request is refused with."""

    def __call__(self, status: Status, field: str = "", detail: int = 0) -> Exception: ...


@dataclass(slots=True)
class _Begun:
    model: Brought
    size: int
    sha256: bytes
    content: bytearray


class Loading:
    """Takes models in the requests of op LOAD.

    Args:
        model_bytes: the most that a model may have.
        operators: kinds that HELLO counts; nothing is checked against them here.
        begins: told of the HELLO of another model, which begins as after boot.
    """

    def __init__(
        self,
        models: Models,
        *,
        model_bytes: int,
        operators: tuple[str, ...],
        refuse: Refuse,
        begins: Callable[[Hello], None],
    ) -> None:
        self._models = models
        self._capacity = model_bytes
        self._operators = operators
        self._refuse = refuse
        self._begins = begins
        self._begun: _Begun | None = None
        self._runs = False

    def boot(self) -> Hello | None:
        """Forget everything; the HELLO of its own model, if another one ran."""
        self._begun = None
        ran, self._runs = self._runs, False
        return self._models.own() if ran else None

    def described(self, hello: Hello) -> Hello:
        """HELLO with the room for a model."""
        room = Room(
            model_bytes=self._capacity,
            operators=len(self._operators),
            place=Place.RAM if self._runs else Place.FLASH,
        )
        return replace(hello, capabilities=hello.capabilities | Capability.SWAP, room=room)

    def answer(self, body: bytes, hello: Hello) -> bytes:
        """The body of a LOAD's reply.

        Args:
            hello: the board's own, now.
        """
        if not body:
            raise self._size(0)
        what, body = body[0], body[1:]
        if what > LoadStep.COMMIT:
            raise self._refuse(Status.BAD_VALUE, "what", int(LoadStep.COMMIT))
        if what == LoadStep.OPERATORS:
            return self._tell_operators(body, hello.max_payload - 2)
        if what == LoadStep.BEGIN:
            return self._begin(body)
        if what == LoadStep.PIECE:
            return self._piece(body)
        if body:
            raise self._size(0)
        return self._commit(hello)

    def _size(self, least: int) -> Exception:
        return self._refuse(Status.BAD_SIZE, "body", _WHAT + least)

    def _tell_operators(self, body: bytes, room: int) -> bytes:
        if len(body) != 2:
            raise self._size(2)
        first = int.from_bytes(body, "little")
        if first >= len(self._operators):
            raise self._refuse(Status.BAD_VALUE, "first", len(self._operators) - 1)
        told = b""
        count = 0
        for name in self._operators[first : first + MAX_STR]:
            piece = bytes((len(name),)) + name.encode()
            if 1 + len(told) + len(piece) > room:
                break
            told, count = told + piece, count + 1
        return bytes((count,)) + told

    def _begin(self, body: bytes) -> bytes:
        self._begun = None
        if len(body) < _BEGIN:
            raise self._size(_BEGIN)
        size, sha256, flags, variables, count = BEGIN_FIXED.unpack_from(body)
        if not 1 <= size <= self._capacity:
            raise self._refuse(Status.BAD_VALUE, "size", self._capacity)
        if flags > _FLAGS:
            raise self._refuse(Status.BAD_VALUE, "flags", _FLAGS)
        if count > MOST_INITIALIZERS:
            raise self._refuse(Status.BAD_VALUE, "initializers", MOST_INITIALIZERS)
        rest = body[BEGIN_FIXED.size :]
        if len(rest) < 2 * count + 1:
            raise self._size(_BEGIN + 2 * count)
        initializers = struct.unpack_from(f"<{count}H", rest)
        length, name = rest[2 * count], rest[2 * count + 1 :]
        if length > MOST_NAME:
            raise self._refuse(Status.BAD_VALUE, "name", MOST_NAME)
        if len(name) != length:
            raise self._size(_BEGIN + 2 * count + length)
        if not all(0x20 <= byte <= 0x7E for byte in name):
            raise self._refuse(Status.BAD_VALUE, "name", MOST_NAME)
        model = Brought(
            content=b"",
            name=name.decode("ascii"),
            stateful=bool(flags & LoadFlag.STATEFUL),
            quantized=bool(flags & LoadFlag.QUANTIZED),
            variables=variables,
            initializers=initializers,
        )
        self._begun = _Begun(model, size, sha256, bytearray())
        if self._runs:
            self._runs = False
            self._begins(self._models.own())
        return bytes(4)

    def _piece(self, body: bytes) -> bytes:
        if len(body) < _PIECE + 1:
            raise self._size(_PIECE + 1)
        begun = self._begun
        end = len(begun.content) if begun else 0
        missing = begun.size - end if begun else 0
        if int.from_bytes(body[:_PIECE], "little") != end:
            raise self._refuse(Status.BAD_VALUE, "offset", end)
        piece = body[_PIECE:]
        if begun is None or len(piece) > missing:
            raise self._refuse(Status.BAD_VALUE, "bytes", missing)
        begun.content += piece
        return len(begun.content).to_bytes(4, "little")

    def _commit(self, hello: Hello) -> bytes:
        begun, self._begun = self._begun, None
        why = _lacking(begun)
        if why:
            return self._committed(Status.BAD_MODEL, hello.arena_used, hello, why)
        assert begun is not None, "nothing is lacking"
        said, fresh = self._models.swap(replace(begun.model, content=bytes(begun.content)))
        self._runs = fresh is not None
        if fresh is not None and not self._fits(fresh):
            why = "its inputs and outputs are too many for HELLO"
            said = replace(said, status=Status.BAD_MODEL, note=why)
            self._runs = False
        self._begins(fresh if fresh is not None and self._runs else self._models.own())
        return self._committed(said.status, said.arena_used, hello, said.note)

    def _fits(self, hello: Hello) -> bool:
        shown = self.described(replace(hello, note=""))
        # COMMIT's own reply stands where HELLO's will.
        return len(hello_body(shown)) <= hello.max_payload - 2

    def _committed(self, status: Status, used: int, hello: Hello, note: str) -> bytes:
        room = hello.max_payload - 2 - 10
        cut = note.encode()[: min(room, MAX_STR)].decode(errors="ignore")
        return committed_body(
            Committed(
                status=status,
                arena_used=used,
                arena_capacity=hello.arena_capacity,
                note=cut,
            )
        )


def _lacking(begun: _Begun | None) -> str:
    """Why a model is not whole; empty if it is."""
    if begun is None:
        return "no model has begun"
    if len(begun.content) < begun.size:
        return f"{len(begun.content)} of {begun.size} bytes have come"
    if hashlib.sha256(begun.content).digest() != begun.sha256:
        return "its bytes have another SHA-256"
    return ""
