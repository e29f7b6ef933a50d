"""QEMU's machine protocol over a connected socket: commands and their answers, one at a time."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

MOST_BYTES = 1_000_000
"""Of one message. QEMU's own are a few hundred bytes long."""


class QmpError(Exception):
    """QEMU refused a command, did not answer in time, or is gone."""


class Qmp:
    """The client's end. Events are passed over, and answers to commands that were given up.

    Not the package qemu.qmp: that one opens its sockets by path, and takes 0.1 s to import.

    Args:
        connection: a stream socket whose other end is QEMU's `-mon mode=control`.
    """

    def __init__(
        self, connection: socket.socket, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = connection
        self._clock = clock
        self._rest = b""
        self._sent = 0
        self._greeted = False
        self._timeout_s = 0.0

    def greet(self, timeout_s: float) -> None:
        """Wait until QEMU runs, and make it take commands. Idempotent.

        Raises:
            QmpError: as `run`.
        """
        deadline = self._deadline(timeout_s)
        if not self._greeted:
            self._wait(lambda message: "QMP" in message, deadline)
            self._greeted = True
            self._ask("qmp_capabilities", None, deadline)

    def run(
        self, command: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float
    ) -> Any:
        """Run a command and return what it returns.

        Raises:
            QmpError: QEMU refused it, does not answer in time, or has ended.
        """
        return self._ask(command, arguments, self._deadline(timeout_s))

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()

    def _deadline(self, timeout_s: float) -> float:
        self._timeout_s = timeout_s
        return self._clock() + timeout_s

    def _ask(self, command: str, arguments: Mapping[str, object] | None, deadline: float) -> Any:
        self._sent += 1
        number = self._sent
        message = {"execute": command, "arguments": arguments or {}, "id": number}
        try:
            self._socket.settimeout(max(0.001, deadline - self._clock()))
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise QmpError(str(error)) from error
        answer = self._wait(lambda message: message.get("id") == number, deadline)
        if "return" not in answer:
            raise QmpError(str(answer.get("error", {}).get("desc", "refused")))
        return answer["return"]

    def _wait(self, wanted: Callable[[dict[str, Any]], bool], deadline: float) -> dict[str, Any]:
        while True:
            message = json.loads(self._line(deadline))
            if wanted(message):
                return dict(message)

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._rest:
            left = deadline - self._clock()
            if left <= 0 or len(self._rest) > MOST_BYTES:
                raise QmpError(f"no answer within {self._timeout_s:g} s")
            self._rest += self._received(left)
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _received(self, timeout_s: float) -> bytes:
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(65536)
        except TimeoutError:
            return b""
        except OSError as error:
            raise QmpError(str(error)) from error
        if not data:
            raise QmpError("it closed the connection")
        return data
