"""What a host's program writes, cut into requests by its bytes alone.

A program's write comes out of a pty in one piece or in several, as the machine's schedule has it.
A chip that got the pieces would see the later ones at another simulated time in each run. So bytes
are held until a request is whole; when it is handed on, and in how many packets, then depends on
nothing but its bytes. A real host may delay what it sends as it likes too.
"""

from __future__ import annotations

from collections.abc import Iterator

WHOLE_S = 1.0
"""After so long without a further byte, in real time, a request that has no end is handed on as it
is. What is lost by waiting is little: only a program that sends half a request and waits for an
answer to that notices it. What is gained is that a busy machine has so long for the other half."""

MOST_HELD = 65536
"""Bytes of a request without an end that are held; more are handed on in pieces of this size."""

_DELIMITER = 0
_TEXT_ENDS = b"\n%"
"""Of a line, and of a command of MLPerf Tiny's runner."""


def end_of_request(data: bytes | bytearray, start: int = 0) -> int:
    """Where the first request ends, or 0 if its end is not there.

    Delimiters begin a frame, and the next one ends it. Anything else is text, up to the end of a
    line or command, or to a delimiter, which none has.

    Args:
        start: bytes at the front that are known to hold no end.
    """
    begun = len(data) - len(data.lstrip(b"\0"))
    ends = bytes((_DELIMITER,)) if begun else bytes((_DELIMITER, *_TEXT_ENDS))
    found = (data.find(end, max(start, begun)) for end in ends)
    return 1 + min((at for at in found if at >= 0), default=-1)


class Requests:
    """Bytes on their way to a chip."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        self._added_at = 0.0

    def add(self, data: bytes, now: float) -> None:
        """Bytes that were read, at a time in seconds."""
        self._held += data
        self._added_at = now

    def whole(self, now: float) -> Iterator[bytes]:
        """The requests that are whole, and after WHOLE_S the rest."""
        while end := end_of_request(self._held, self._searched):
            yield self._cut(end)
        self._searched = len(self._held)
        while len(self._held) >= MOST_HELD:
            yield self._cut(MOST_HELD)
        if self._held and now - self._added_at >= WHOLE_S:
            yield self.rest()

    def rest(self) -> bytes:
        """All that is held."""
        return self._cut(len(self._held))

    def _cut(self, end: int) -> bytes:
        data = bytes(self._held[:end])
        del self._held[:end]
        self._searched = 0
        return data
