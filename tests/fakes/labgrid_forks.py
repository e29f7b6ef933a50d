"""labgrid's client with its imports done: each call is forked from a process that did them once.

Nearly all of what a call takes is importing, and a run makes ten of them. What is forked is the
real client in labgrid's own environment, a process of its own; it ends where its caller is ended.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_BYTES = 1 << 17

# Run by a Python that imports next to nothing.
_CALLER = """#!{python} -IS
import os, signal, socket, sys
wire = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
wire.connect({address!r})
parts = [os.getcwd(), str(len(sys.argv)), *sys.argv, *map("=".join, os.environ.items())]
socket.send_fds(wire, ["\\0".join(parts).encode("utf-8", "surrogateescape")], [0, 1, 2])
status = int(wire.recv(64) or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def forked_client(client: Path) -> Iterator[Path]:
    """A program that does what the client at a path does, for the length of a `with` block.

    labgrid's other programs lie beside it.
    """
    with tempfile.TemporaryDirectory(prefix="hil-") as folder:
        address, program = f"{folder}/socket", Path(folder, client.name)
        program.write_text(_CALLER.format(python=sys.executable, address=address))
        program.chmod(0o755)
        for name in ("labgrid-coordinator", "labgrid-exporter"):
            program.with_name(name).symlink_to(client.with_name(name))
        command = [str(client.with_name("python")), __file__, address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None and server.stdout.readline() == b"ready\n"
            try:
                yield program
            finally:
                server.communicate()


class Server:
    """Forks the client for each caller until standard input ends."""

    def __init__(self, address: str) -> None:
        self._waits = selectors.DefaultSelector()
        self._callers = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._callers.bind(address)
        self._callers.listen()
        self._running: set[int] = set()

    def serve(self) -> bool:
        """Returns True in each process that is to become the client."""
        self._waits.register(self._callers, selectors.EVENT_READ, self._fork)
        self._waits.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        while True:
            for key, _ in self._waits.select():
                if key.data is None:
                    return False
                if key.data():
                    return True

    def _fork(self) -> bool:
        wire, _ = self._callers.accept()
        data, files, _, _ = socket.recv_fds(wire, MOST_BYTES, 3)
        if not data:
            wire.close()
            return False
        if not (pid := os.fork()):
            self._callers.close()
            wire.close()
            self._waits.close()
            _become(data.decode("utf-8", "surrogateescape").split("\0"), files)
            return True
        for file in files:
            os.close(file)
        self._running.add(pid)
        handle = os.pidfd_open(pid)

        def ended() -> None:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._running.remove(pid)
            self._waits.unregister(handle)
            self._waits.unregister(wire)
            os.close(handle)
            try:
                wire.send(str(status).encode())
            except OSError:
                pass  # The caller was ended.
            wire.close()

        def left() -> None:  # A caller says nothing more: this is its end.
            if pid in self._running:
                os.kill(pid, signal.SIGKILL)

        self._waits.register(handle, selectors.EVENT_READ, ended)
        self._waits.register(wire, selectors.EVENT_READ, left)
        return False


def _become(parts: list[str], files: list[int]) -> None:
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    folder, count, *rest = parts
    os.chdir(folder)
    sys.argv = rest[: int(count)]
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in rest[int(count) :])
    if os.environ.get("PYTHONUNBUFFERED"):  # Python heeds it as it starts.
        sys.stdout.reconfigure(line_buffering=True)
        sys.stderr.reconfigure(line_buffering=True)


def main() -> None:
    """Serve callers at the address given."""
    from labgrid.remote import client

    server = Server(sys.argv[1])
    gc.freeze()
    print("ready", flush=True)
    if server.serve():
        client.main()


if __name__ == "__main__":
    main()
