"""Processes that run models for the harness, each model in a fork of its own: see `served`.

NumPy is not imported: a server is started first, and what takes time is imported meanwhile.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.firmware.frame import LITERT, TFLM, Header, read_frame, write_frame
from harness.process import end_group, start

MOST_S = 60.0
"""For loading a model, or for one invoke: an image network takes the reference kernels seconds."""

MORE_S = 10.0
"""Beyond that, for a process that does not end itself, and for the wheels to be loaded."""

_KEPT_IDLE = 2
_PIPE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a model's process ended: `status` as subprocess has it, None if it hung; and the end of
    what it wrote on standard error."""

    status: int | None
    said: str

    @property
    def hung(self) -> bool:
        """It took longer than a model may."""
        return self.status is None or -self.status == signal.SIGALRM

    @property
    def signal(self) -> signal.Signals | None:
        """What ended it, if it was a signal."""
        return signal.Signals(-self.status) if self.status is not None and self.status < 0 else None


class Ended(Exception):
    """The process is gone, or is as good as gone: `ending` says how."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


class Server:
    """A process that serves one model after the other: see `served`.

    Args:
        child: Python source to run instead; for tests.
    """

    def __init__(self, kind: str, *, child: str | None = None) -> None:
        self.kind = kind
        with ExitStack() as stack:
            self._said: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
            program = ["-m", "harness.firmware.served"] if child is None else ["-c", child]
            self._process = start(
                [sys.executable, *program, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                environment=_environment(),
            )
            stack.callback(end_group, self._process)
            assert self._process.stdin is not None and self._process.stdout is not None
            self._in = stack.enter_context(self._process.stdin).fileno()
            self._out = stack.enter_context(self._process.stdout).fileno()
            os.set_blocking(self._in, False)
            with suppress(AttributeError, OSError):  # Of Linux: a model is handed over at once.
                fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._stack = stack.pop_all()

    def send(self, header: Header, payload: bytes = b"", *, most_s: float) -> None:
        """Send a request.

        Raises:
            Ended: nobody took it.
        """
        deadline = time.monotonic() + most_s
        write_frame(lambda data: self._write(data, deadline), header, payload)

    def receive(self, *, most_s: float) -> tuple[Header, bytes]:
        """Receive an answer.

        Raises:
            Ended: none came.
        """
        deadline = time.monotonic() + most_s
        try:
            return read_frame(lambda size: self._read(size, deadline))
        except (ValueError, RecursionError):
            raise self._ended() from None

    def begin(self) -> None:
        """Forget what the models before have said on standard error."""
        self._said.seek(0)
        self._said.truncate(0)

    def said(self) -> str:
        """The start and the end of what was said on standard error since `begin`."""
        return _read_ends(self._said).decode(errors="replace")

    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and all that it started. Idempotent."""
        self._stack.close()

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            ready = select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))[1]
            if not ready:
                raise self._ended(hung=True)
            try:
                left = left[os.write(self._in, left) :]
            except BrokenPipeError:
                raise self._ended() from None
            except BlockingIOError:
                continue

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            if not select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._ended(hung=True)
            data = os.read(self._out, min(size - len(parts), 1 << 20))
            if not data:
                raise self._ended()
            parts += data
        return bytes(parts)

    def _ended(self, *, hung: bool = False) -> Ended:
        status = None
        if not hung:
            with suppress(subprocess.TimeoutExpired):
                status = self._process.wait(1.0)
        said = self.said()
        self.close()
        return Ended(Ending(status=status, said=said))


def _environment() -> dict[str, str]:
    """Ours, with the harness to import, and without what the current folder may hold."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    # A thread of NumPy for each core would only take its time to start.
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}


MOST_SAID = 64 * 1024
"""Bytes at each end of what a process says that are kept."""


def _read_ends(file: IO[bytes]) -> bytes:
    """A file that its writer may have filled: the start and the end of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= 2 * MOST_SAID:
        return file.read()
    start_of_it = file.read(MOST_SAID)
    file.seek(-MOST_SAID, os.SEEK_END)
    return start_of_it + b"\n" + file.read()


class Servers:
    """Servers of one kind: a few are kept when their model is done with, for the next one."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._idle: list[Server] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def start(self) -> None:
        """Have an idle server soon, where there is none: it takes as long to start as imports do
        that come first."""
        server = self.take()
        with self._lock:
            self._idle.append(server)

    def take(self) -> Server:
        """An idle server, or a new one; for `give_back` or `Server.close`."""
        with self._lock:
            if self._process != os.getpid():
                self._idle, self._process = [], os.getpid()  # Our parent's, after a fork.
            while self._idle:
                server = self._idle.pop()
                if server.runs():
                    server.begin()
                    return server
                server.close()
        return Server(self._kind)

    def give_back(self, server: Server) -> None:
        """Have the server end its model's process, and keep it."""
        try:
            server.send({"what": "end"}, most_s=MORE_S)
            while not server.receive(most_s=MORE_S)[0].get("ended"):
                pass
        except Ended:
            return
        with self._lock:
            if len(self._idle) < _KEPT_IDLE and self._process == os.getpid():
                self._idle.append(server)
                return
        server.close()

    def close(self) -> None:
        """End all that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._process == os.getpid():
            for server in idle:
                server.close()


SERVERS = {kind: Servers(kind) for kind in (TFLM, LITERT)}
"""Of this process: loading a wheel takes longer than most models."""

for _servers in SERVERS.values():
    atexit.register(_servers.close)
