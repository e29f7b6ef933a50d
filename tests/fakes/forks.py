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
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

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


class Forked:
    """A program that runs, with what pytester uses of subprocess.Popen."""

    stdin = None

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self.pid = int(wire.recv(MOST_BYTES))

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; below 0 for a signal."""
        self._wire.settimeout(timeout)
        try:
            return int(self._wire.recv(MOST_BYTES))
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Forks:
    """Starts `python -m` programs, one at a time, with modules imported."""

    def __init__(self, *modules: str) -> None:
        self._wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(theirs.fileno()), *modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(self, arguments, *, cwd, env, stdout, stderr) -> Forked:
        """Start `python -m` of the arguments, with a standard input that has ended."""
        order = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "environment": dict(env),
            "ignored": [call for call in CALLS if signal.getsignal(call) is signal.SIG_IGN],
        }
        ended, end = os.pipe()
        os.close(end)
        try:
            files = [ended, stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._wire, [json.dumps(order).encode()], files)
        finally:
            os.close(ended)
        return Forked(self._wire)

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


def become(order: dict, files: list[int]) -> None:
    """Turn this process, just forked, into the program."""
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
    module, *sys.argv[1:] = order["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def serve(wire: socket.socket, modules: list[str]) -> None:
    """Fork a program for each order, and tell its process id and its exit status."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    while True:
        data, files, _, _ = socket.recv_fds(wire, MOST_BYTES, 3)
        if not data:
            return
        if not (pid := os.fork()):
            wire.close()
            return become(json.loads(data), files)
        for file in files:
            os.close(file)
        wire.send(str(pid).encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        wire.send(str(status).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
