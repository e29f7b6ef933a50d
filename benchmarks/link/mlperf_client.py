"""A client of MLPerf Tiny's commands that works as the official runner does."""

from __future__ import annotations

import time

from harness.link.streams import ByteStream


class MlperfClient:
    """Sends commands over an open stream and reads lines up to `m-ready`."""

    def __init__(self, stream: ByteStream, *, timeout_s: float = 30.0) -> None:
        self._stream = stream
        self._timeout_s = timeout_s

    def ask(self, command: str) -> list[str]:
        """The lines of the answer without the last one, which is `m-ready`."""
        # The runner writes the end on its own.
        self._stream.write(command.encode())
        self._stream.write(b"%")
        deadline = time.monotonic() + self._timeout_s
        answer = b""
        while b"m-ready\n" not in answer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{command!r} was answered by {answer!r} only")
            answer += self._stream.read(left)
        *lines, ready, rest = answer.decode("ascii").split("\n")
        if (ready, rest) != ("m-ready", ""):
            raise ValueError(f"{command!r} was answered by {answer!r}")
        return lines

    def timestamp_us(self) -> int:
        """The board's time."""
        return _lap_us(*self.ask("timestamp"))

    def load(self, data: bytes) -> list[str]:
        """Load an input, 31 bytes at a time; the answer to the last of them."""
        self.ask(f"db load {len(data)}")
        pieces = [data[at : at + 31] for at in range(0, len(data), 31)]
        return [self.ask(f"db {piece.hex()}") for piece in pieces][-1]

    def infer(self, count: int, warmup: int) -> tuple[int, list[float]]:
        """Microseconds for all timed invokes, and the last output."""
        lines = self.ask(f"infer {count} {warmup}")
        start, stop = (_lap_us(line) for line in lines if line.startswith("m-lap-us-"))
        results = lines[-1].removeprefix("m-results-[").removesuffix("]")
        return stop - start, [float(value) for value in results.split(",")]


def _lap_us(line: str) -> int:
    return int(line.removeprefix("m-lap-us-"))
