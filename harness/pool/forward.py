"""A TCP port that another machine alone reaches, brought here by ssh as labgrid does it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import ExitStack

from harness.board.far import SSH, is_host
from harness.errors import PoolError, Where
from harness.process import LastWords, end_group, start, supervised
from harness.text import printable

OPENS_S = 20.0
_LOOKS_S = 0.05


class Forward:
    """A port of `host` as `proxy` reaches it, on a port of this machine, until it is closed.

    Raises on construction:
        PoolError: ssh does not bring it here.
    """

    def __init__(self, proxy: str, host: str, port: int, *, where: Where) -> None:
        self.target = (proxy, host, port)
        if not (is_host(proxy) and is_host(host)):
            raise PoolError(
                f"{printable(proxy, 60)!r} is no machine for ssh to go through", where=where
            )
        self.port = _free_port()
        command = [
            *(*SSH, "-N", "-o", "ExitOnForwardFailure=yes"),
            *("-L", f"127.0.0.1:{self.port}:{host}:{port}", proxy),
        ]
        theirs, ours = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, ours)
            try:
                process = start(
                    supervised(command, theirs), stderr=subprocess.PIPE, inherited=(theirs,)
                )
            finally:
                os.close(theirs)
            stack.callback(end_group, process)
            _wait(process, LastWords(process.stderr), self.port, proxy, where)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End ssh. Idempotent."""
        self._stack.close()


def _wait(
    process: subprocess.Popen[bytes], said: LastWords, port: int, proxy: str, where: Where
) -> None:
    until = time.monotonic() + OPENS_S
    while not _taken(port):
        if process.poll() is not None or time.monotonic() > until:
            raise PoolError(
                f"ssh does not bring the port here through {proxy}: "
                f"{printable(' '.join(said.text().split()), 200) or 'it said nothing'}",
                where=where,
                hint="The exporter lets in by ssh only (--isolated). Keys, users and names belong "
                f"into ~/.ssh/config; try: ssh -o BatchMode=yes {proxy} true",
            )
        time.sleep(_LOOKS_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _taken(port: int) -> bool:
    """Whether somebody listens at a port; a connection would reach the board's own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return True
    return False
