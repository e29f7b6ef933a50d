"""Python programs whose imports are done: forked from a process that did them once.

Half of what a short run of pytest or `hil` takes is importing. What is forked is a process of its
own all the same, with its own arguments, folder, environment, streams and handlers of signals.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
CALLS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a program ignores from its start where its parent does."""
MOST_BYTES = 1 << 17

PYTEST = (
    *(
        "pytest",
        "numpy",
        "serial",
        "harness.rig.open",
        "harness.rig.opened",
        "harness.rig.sessions",
    ),
    *("harness.measure.baseline", "harness.board.rigfile", "harness.link.speed"),
)
"""What a run of pytest on boards imports anyway; not the plugin, which pytest rewrites."""
COMMAND = ("numpy", "serial", "harness.cli", "harness.rig.open", "harness.rig.sessions")
"""What most commands of `hil` import anyway."""
BOARDS = (
    *("numpy", "harness.model.wheels:tflm_runtime"),
    *("harness.firmware.host", "harness.firmware.probe"),
    *("harness.firmware.swap", "harness.link.faults", "harness.link.virtual"),
    *("harness.model.resolve", "harness.rig.ptyprocess"),
)
"""What the process of a virtual board, or of a host interpreter, imports; a function behind `:`
imports more."""
BOARD_PROGRAMS = ("harness.rig.virtual", "harness.firmware.served")


class Forked:
    """A program that runs, with what pytester and the harness use of subprocess.Popen."""

    def __init__(
        self,
        wire: socket.socket,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        self._wire = wire
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.pid = int(wire.recv(MOST_BYTES))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; below 0 for a signal."""
        if self.returncode is None:
            self._wire.settimeout(timeout)
            try:
                self.returncode = int(self._wire.recv(MOST_BYTES))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._wire.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def __del__(self) -> None:
        self._wire.close()


class Forks:
    """Starts `python -m` programs with modules imported."""

    def __init__(self, *modules: str) -> None:
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(theirs.fileno()), *modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(self, arguments, *, cwd, env, stdout, stderr) -> Forked:
        """Start `python -m` of the arguments, with a standard input that has ended."""
        ended, end = os.pipe()
        os.close(end)
        try:
            files = [ended, stdout.fileno(), stderr.fileno()]
            return Forked(self._order(arguments, cwd, env, files))
        finally:
            os.close(ended)

    def open(self, arguments, *, env, stderr) -> Forked:
        """Start it in a session of its own, with pipes for its streams; `stderr` may be a file."""
        pipes = [os.pipe() for _ in range(2 if stderr != subprocess.PIPE else 3)]
        theirs = [pipes[0][0], *(end for _, end in pipes[1:])]
        ours = [pipes[0][1], *(begin for begin, _ in pipes[1:])]
        try:
            files = theirs if stderr == subprocess.PIPE else [*theirs, stderr.fileno()]
            wire = self._order(arguments, os.getcwd(), env, files, session=True)
        finally:
            for file in theirs:
                os.close(file)
        return Forked(wire, *map(partial(open, buffering=0), ours, ("wb", "rb", "rb")))

    def begin(self, command, **how):
        """As `harness.process.start`, for the processes of boards and interpreters."""
        from harness.process import start

        if list(command[:2]) != [sys.executable, "-m"] or command[2] not in BOARD_PROGRAMS:
            return start(command, **how)
        return self.open(command[2:], env=how["environment"], stderr=how["stderr"])

    def _order(self, arguments, cwd, env, files, *, session=False) -> socket.socket:
        """What tells the process id of what was started, and how it ended."""
        order = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "environment": dict(env),
            "ignored": [call for call in CALLS if signal.getsignal(call) is signal.SIG_IGN],
            "session": session,
        }
        wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            files = [*files, theirs.fileno()]
            socket.send_fds(self._wire, [json.dumps(order).encode()], files)
        return wire

    def run(self, arguments, *, cwd, env) -> subprocess.CompletedProcess[str]:
        """As subprocess.run does, with its output as text."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            status = self.start(arguments, cwd=cwd, env=env, stdout=out, stderr=err).wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, status, out.read(), err.read())

    def close(self) -> None:
        self._wire.close()
        self._process.wait()


def become(order: dict, files: list[int], boards: Forks | None) -> None:
    """Turn this process, just forked, into the program; its boards are forked from `boards`."""
    if order["session"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    for call in CALLS:
        usual = signal.default_int_handler if call == signal.SIGINT else signal.SIG_DFL
        signal.signal(call, signal.SIG_IGN if call in order["ignored"] else usual)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    first = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    # Ours begins with this file's folder and ROOT.
    sys.path[:] = [order["cwd"], *first, *sys.path[2:]]
    if boards is not None:
        import harness.firmware.server
        import harness.rig.ptyprocess

        harness.firmware.server.start = harness.rig.ptyprocess.start = boards.begin
    module, *sys.argv[1:] = order["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def serve(wire: socket.socket, modules: list[str]) -> None:
    """Fork a program for each order, and tell its process id and, once it ends, its status."""
    boards = Forks(*BOARDS) if "harness.rig.open" in modules else None
    for module in modules:
        name, _, function = module.partition(":")
        imported = importlib.import_module(name)
        if function:
            with suppress(ImportError):
                getattr(imported, function)()
    gc.freeze()
    running: dict[int, tuple[int, int]] = {}
    waits = select.poll()
    waits.register(wire, select.POLLIN)
    while True:
        for ready, _ in waits.poll():
            if ready != wire.fileno():
                waits.unregister(ready)
                pid, theirs = running.pop(ready)
                os.close(ready)
                tell(theirs, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(theirs)
                continue
            data, files, _, _ = socket.recv_fds(wire, MOST_BYTES, 4)
            if not data:
                return
            *files, theirs = files
            if not (pid := os.fork()):
                for other in (theirs, *running, *(pair[1] for pair in running.values())):
                    os.close(other)
                wire.close()
                return become(json.loads(data), files, boards)
            for file in files:
                os.close(file)
            tell(theirs, pid)
            handle = os.pidfd_open(pid)
            running[handle] = pid, theirs
            waits.register(handle, select.POLLIN)


def tell(wire: int, number: int) -> None:
    with suppress(OSError):  # Whoever started it is gone.
        os.write(wire, str(number).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
