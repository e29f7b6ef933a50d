"""Faults that the virtual board injects on demand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, fields
from typing import Protocol
from urllib.parse import parse_qsl

from harness.errors import RigError, UnknownName
from harness.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults to inject into a virtual board.

    drop, flip, duplicate: probability for each byte, either way. delay: probability for each answer
    to come delay_ms late. hang, reboot: probability for each answer that the board falls silent, or
    loses its session, instead of giving it. hang_after, reboot_after, vanish_after: the answer,
    counted from 1 and including HELLO's, instead of which the board falls silent, loses its session
    (once), or is unplugged; 0 never. wrong_model: HELLO names another model. wrong_output: every
    N-th invoke is off by one LSB; 0 never. slow: factor on ticks. seed: of the random faults.
    """

    drop: float = 0.0
    flip: float = 0.0
    duplicate: float = 0.0
    delay: float = 1.0
    delay_ms: float = 0.0
    hang: float = 0.0
    reboot: float = 0.0
    hang_after: int = 0
    reboot_after: int = 0
    vanish_after: int = 0
    wrong_model: bool = False
    wrong_output: int = 0
    slow: float = 1.0
    seed: int = 0

    @property
    def noisy(self) -> bool:
        """Whether bytes are touched on their way."""
        return bool(self.drop or self.flip or self.duplicate)


MOST = 1_000_000_000
"""Of any fault's number: invokes, milliseconds, times slower, a seed."""


def parse_faults(text: str) -> Faults:
    """Faults from `flip=0.01&hang_after=20`, as a port `virtual:?flip=0.01` carries them.

    Raises:
        UnknownName: no such fault. RigError: no number, or one that no fault has.
    """
    kinds = {item.name: type(getattr(Faults(), item.name)) for item in fields(Faults)}
    values: dict[str, float | int | bool] = {}
    for name, value in parse_qsl(text.lstrip("?"), keep_blank_values=True):
        if name not in kinds:
            raise UnknownName("fault of the virtual board", name, list(kinds))
        try:
            values[name] = bool(int(value)) if kinds[name] is bool else kinds[name](value)
        except ValueError as error:
            raise RigError(
                f"fault {name} of the virtual board is not a number: {value!r}"
            ) from error
        if not 0 <= values[name] <= MOST:
            raise RigError(f"fault {name} must be from 0 to {MOST}, not {printable(value, 40)}")
    return Faults(**values)  # type: ignore[arg-type]


class Noise:
    """Damages bytes on their way, with the probabilities of a Faults record."""

    def __init__(self, faults: Faults) -> None:
        self.damaged = 0
        """Pieces that did not arrive as they were sent."""
        self._faults = faults
        self._random = random.Random(faults.seed)

    def __call__(self, data: bytes) -> bytes:
        """The bytes that arrive when `data` was sent."""
        if not self._faults.noisy:
            return data
        arrived = self._arrived(data)
        self.damaged += arrived != data
        return arrived

    def _arrived(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._hits(self._faults.drop):
                continue
            if self._hits(self._faults.flip):
                byte ^= 1 << self._random.randrange(8)
            out.append(byte)
            if self._hits(self._faults.duplicate):
                out.append(byte)
        return bytes(out)

    def _hits(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability


class BytePeer(Protocol):
    """The other end of a line: takes bytes and returns the bytes it answers with."""

    def feed(self, data: bytes) -> bytes:
        """The bytes it answers with."""

    def boot(self) -> None:
        """Start anew, as after a reset."""


class Unplugged(Exception):
    """The fault `vanish_after` has struck."""


class FaultyBoard:
    """A board behind a line with injected faults; `struck` counts the faults injected."""

    def __init__(self, board: BytePeer, faults: Faults) -> None:
        self.noise = Noise(faults)
        self.struck: Counter[str] = Counter()
        self._board = board
        self._faults = faults
        self._random = random.Random(faults.seed + 1)
        self._answers = 0
        self._hangs = False

    def power_cycle(self) -> None:
        """Restart the board, which ends a hang."""
        self._hangs = False
        self._board.boot()

    def feed(self, data: bytes) -> tuple[bytes, float]:
        """The bytes that come back, and how many seconds late.

        Raises:
            Unplugged: the board is gone.
        """
        if self._hangs:
            return b"", 0.0
        reply = self._board.feed(self.noise(data))
        if reply:
            self._answers += 1
            if self._lost():
                return b"", 0.0
        late = self._faults.delay_ms > 0 and bool(reply) and self._hits("delay")
        return self.noise(reply), self._faults.delay_ms / 1000 if late else 0.0

    def _lost(self) -> bool:
        """Whether a fault takes the place of this answer."""
        if self._answers == self._faults.vanish_after:
            raise Unplugged
        if self._answers == self._faults.hang_after or self._hits("hang"):
            self._hangs = True
            return True
        if self._answers == self._faults.reboot_after or self._hits("reboot"):
            self._board.boot()
            return True
        return False

    def _hits(self, fault: str) -> bool:
        probability: float = getattr(self._faults, fault)
        hit = self._random.random() < probability
        self.struck[fault] += hit
        return hit
