"""A board on a socket that says of itself what would act on a terminal or a CI runner."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.link.faults import Faults
from harness.link.protocol import Hello
from harness.link.virtual import VirtualBoard
from harness.model.artifact import Artifact
from harness.rig.virtual import TflmModel, virtual_hello

EVIL = "\x1b]0;owned\x07\x1b[2J\r\n::error::lie\n##[error]lie\x00\u202e"
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]|^\s*::|##\[", re.M)
_OURS = re.compile(r"\x1b\[[0-9;]*m")


def acts(text: str) -> str:
    """The first thing in a text that a terminal or a CI runner would obey; colours are pytest's."""
    found = _RAW.search(_OURS.sub("", text))
    return found[0] if found else ""


@contextmanager
def hostile_board(artifact: Artifact, **changes: object) -> Iterator[str]:
    """The URL of such a board, which runs the model as the virtual board does."""
    model = TflmModel(artifact, Faults())
    names = ("board_uid", "runtime_version", "kernels", "model", "note")
    described: Hello = replace(
        virtual_hello(artifact, Faults(), timer_read_ticks=1), **dict.fromkeys(names, EVIL)
    )
    board = VirtualBoard(
        replace(described, **changes), model.invoke, ticks=model.ticks, clock=time.monotonic
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, board), daemon=True).start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


def _serve(server: socket.socket, board: VirtualBoard) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(4096):
                connection.sendall(board.feed(data))
