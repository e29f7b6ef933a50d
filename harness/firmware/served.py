"""The other end of `server`: runs models for the harness, each in a process of its own.

`python -m harness.firmware.served tflm` loads the interpreter once, and is forked for each model:
what a hostile file makes of that process dies with it. Requests come on standard input, answers go
to standard output, as frames; what the interpreters say goes to standard error.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from harness.firmware.frame import TFLM
from harness.model.wheels import tflm_runtime


def _load_wheel(kind: str) -> None:
    """What all models need, once, before the process is forked."""
    if kind == TFLM:
        tflm_runtime()
    else:
        from ai_edge_litert import interpreter  # noqa: F401


_CLOSED = 3
"""Exit status of a fork that found the pipe of requests closed."""


def _serve_in_child(session: Callable[[], None]) -> int:
    """Serve one model in a fork; its wait status. It is ended when our requests' pipe closes."""
    child = os.fork()
    if child == 0:
        _die_with_parent()
        try:
            session()
        except EOFError:
            os._exit(_CLOSED)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    watched = select.poll()
    ended = os.pidfd_open(child)
    watched.register(ended, select.POLLIN)
    watched.register(sys.stdin.fileno(), 0)  # POLLHUP is always told
    if ended not in dict(watched.poll()):
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return os.waitpid(child, 0)[1]


def _die_with_parent() -> None:
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)


def _end_as(status: int) -> NoReturn:
    """End as the model's process did, so that whoever started us learns how."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) or 1)


def _reader(file: int) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            data = os.read(file, min(size - len(parts), 1 << 20))
            if not data:
                raise EOFError
            parts += data
        return bytes(parts)

    return read


def _writer(file: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    return write


def main(kind: str) -> None:
    """Serve one model after the other, until standard input closes or one of them is the end."""
    given = sys.stdin.fileno()
    answers = os.dup(1)
    os.dup2(2, 1)  # What a wheel prints is no answer.
    gc.disable()  # Nothing that is imported is garbage: 0.02 s.
    _load_wheel(kind)
    from harness.firmware.requests import Requests

    gc.freeze()
    gc.enable()

    def session() -> None:
        Requests(kind, _reader(given), _writer(answers)).serve()

    # Elsewhere than on Linux what the wheels load may not be forked: one process serves one model.
    while hasattr(os, "pidfd_open"):
        select.select([given], [], [])
        status = _serve_in_child(session)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _CLOSED:
            return
        if status:
            _end_as(status)
        import harness.model.interpreters  # noqa: F401  # 0.1 s, which a first question does without
    session()


if __name__ == "__main__":
    main(sys.argv[1])
