"""A board that is a process on a pty: it is started, prints its port, and is stopped."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from harness.errors import HilError, StartFailed, Where
from harness.link.streams import ByteStream, SerialStream, StreamClosed, open_serial
from harness.process import LastWords, end_group, start
from harness.rig.boardclock import BoardClock

START_S = 30.0
"""Until the process names its port; importing TFLM takes it a second or two."""

ENDING_S = 1.0
"""Between the end of the process's output and its own."""

_POLL_S = 0.05
_MAX_PORT = 4096


class PtyProcess:
    """A process that serves a board on a pty; `with` starts and stops it.

    It ends by itself when its parent dies, since its standard input closes then.

    Args:
        what: what it is, for errors: "virtual board".
        command: what to start; it prints its port.
        clock: real seconds, monotonic.

    `clock` is the process's own for deadlines, START_S among them: see `BoardClock`.

    Raises on entry:
        StartFailed: it ended, or printed no port, within START_S; with the end of its output.
    """

    def __init__(
        self,
        what: str,
        command: Sequence[str],
        *,
        where: Where,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._command = command
        self.where = where
        self._process: subprocess.Popen[bytes] | None = None
        self.clock = BoardClock(self._running, clock=clock)
        self._said: LastWords | None = None
        self._stream: ByteStream | None = None
        self._stack = ExitStack()
        self._port = ""

    def __enter__(self) -> PtyProcess:
        with ExitStack() as stack:
            self._process = start(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                environment={**os.environ, "PYTHONPATH": _import_path()},
            )
            stack.callback(end_group, self._process)
            assert self._process.stdin is not None
            stack.enter_context(self._process.stdin)
            self._said = LastWords(self._process.stderr)
            self._port = self._read_port(self._process, self._said)
            self._stream = self.reopen()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def failure(self, what: str, words: str, status: int | None) -> HilError:
        """The error for a process that did not start: what happened, what it said, how it ended."""
        if status is not None and status < 0:
            what += f": it was ended by {signal.Signals(-status).name}"
        return StartFailed(f"{self._what} {what}; it said: {words or 'nothing'}", where=self.where)

    def _read_port(self, process: subprocess.Popen[bytes], said: LastWords) -> str:
        """The first line of its standard output, of which no more is read."""
        assert process.stdout is not None
        deadline = self.clock() + START_S
        text = b""
        with process.stdout as output:
            while not text.endswith(b"\n"):
                if self.clock() > deadline:
                    raise self._failed(f"did not name its port within {START_S:g} s", said)
                if select.select([output], [], [], _POLL_S)[0]:
                    data = output.read(_MAX_PORT)
                    text += data
                    if not data or len(text) > _MAX_PORT:
                        raise self._failed("did not start", said)
        return text.decode("utf-8", "replace").strip()

    def _failed(self, what: str, said: LastWords) -> HilError:
        words = said.text()
        return self.failure(what, words, self.status(ENDING_S))

    def status(self, wait_s: float = 0.0) -> int | None:
        """How the process ended; None while it runs, which is seen after `wait_s`."""
        assert self._process is not None, "not started"
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait_s)
        return None

    def last_words(self) -> str:
        """What the process said before it ended; empty while it runs, or said nothing."""
        if self._said is None or self.status(ENDING_S) is None:
            return ""
        return self._said.text()

    def lost(self, error: StreamClosed) -> Exception:
        """What is raised for a port that has closed: with what the process said of it."""
        return StreamClosed(self.last_words() or str(error))

    @property
    def stream(self) -> ByteStream:
        """The board's serial port."""
        assert self._stream is not None, "not started"
        return self._stream

    def reopen(self) -> ByteStream:
        """Open the port, again after it was lost.

        Raises:
            StartFailed: it is gone, with its process; with the end of its output.
        """
        try:
            opened = open_serial(self._port, where=self.where)
        except StartFailed as error:
            if not (words := self.last_words()):
                raise
            what = f"{self._what} ended; it said: {words}"
            raise StartFailed(what, where=self.where) from error
        self._stream = _Explained(opened, self.lost)
        return self._stream

    @property
    def port(self) -> str:
        """Path of its pty."""
        return self._port

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    def _running(self) -> int | None:
        return None if self._process is None else self._process.pid

    def restart(self) -> None:
        """End the process and start another one; `reopen` then opens its port.

        Raises:
            StartFailed: as on entry.
        """
        self.stop()
        self.__enter__()
        self.stream.close()

    def stop(self) -> None:
        """End the process. Idempotent."""
        if self._stream is not None:
            self._stream.close()
        self._stack.close()


class _Explained:
    """A byte stream that asks, when it has closed, what its end means."""

    def __init__(self, stream: SerialStream, lost: Callable[[StreamClosed], Exception]) -> None:
        self._stream = stream
        self._lost = lost

    def read(self, timeout_s: float) -> bytes:
        try:
            return self._stream.read(timeout_s)
        except StreamClosed as error:
            raise self._lost(error) from error

    def write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except StreamClosed as error:
            raise self._lost(error) from error

    def close(self) -> None:
        self._stream.close()

    def set_baud(self, baud: int) -> bool:
        return self._stream.set_baud(baud)


def _import_path() -> str:
    here = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([here, inherited]) if inherited else here
