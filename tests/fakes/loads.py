"""What happens to a board while a model is brought to it: a host or a port lost, a reboot, a second
host. Whatever it is, the board answers afterwards and takes a model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import BoardRebooted, BoardStatus, Where
from harness.firmware.swap import brought
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.loading import Errand, begin_body, bring, commit_body, parse_committed, piece_body
from harness.link.protocol import Message, Op, Status, encode_frame
from harness.link.streams import ByteStream, StreamClosed
from harness.model.artifact import Artifact

ROOT = Path(__file__).parents[2]
WHERE = Where(board="loaded")
RESET = encode_frame(Message(seq=77, op=Op.RESET))

_IN_LOAD = 3
"""The write that comes after those of HELLO and BEGIN."""

Open = Callable[[], ByteStream]
Act = Callable[[ByteStream], object]

_HOST = """
import socket, sys, time
from pathlib import Path
from fakes.loads import WHERE, half
from harness.link.link import Link
from harness.link.streams import SocketStream, open_serial
from harness.model.resolve import inspect_model
port, model = sys.argv[1:]
if port.isdigit():
    stream = SocketStream(socket.socket(fileno=int(port)))
else:
    stream = open_serial(port, where=WHERE)
half(Link(stream, where=WHERE), inspect_model(Path(model)))
stream.write(bytes((0, 11)))  # The beginning of a frame.
print("half", flush=True)
time.sleep(60)
"""


class Interrupted:
    """A stream to a board; something happens in mid-load."""

    def __init__(self, stream: ByteStream, act: Act) -> None:
        self._stream = stream
        self._left = _IN_LOAD
        self._act = act

    def read(self, timeout_s: float) -> bytes:
        return self._stream.read(timeout_s)

    def write(self, data: bytes) -> None:
        self._left -= len(data) > 1  # A `00` alone is none.
        if not self._left:
            self._act(self._stream)
        self._stream.write(data)

    def close(self) -> None:
        self._stream.close()


def unplug(stream: ByteStream) -> None:
    """The port goes away."""
    stream.close()
    raise StreamClosed("unplugged")


class Loads:
    """A board that takes models, and what is to happen to it.

    Args:
        open_: a stream to it.
        own: the model that is linked in.
        model: another one.
    """

    def __init__(self, open_: Open, own: Artifact, model: Artifact) -> None:
        self._open = open_
        self._own = own
        self._model = model

    def killed(self, port: str, *inherited: int) -> None:
        """A host is killed in mid-load, in the middle of a frame.

        Args:
            port: its port, or the number of an inherited socket.
        """
        folders = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
        with subprocess.Popen(
            [sys.executable, "-c", _HOST, port, str(self._model.path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": folders},
            pass_fds=inherited,
        ) as host:
            assert host.stdout is not None and host.stdout.readline() == b"half\n"
            os.kill(host.pid, signal.SIGKILL)
        self._takes_models()

    def unplugged(self) -> None:
        """The port goes and comes back: the load goes on, and nothing is loaded twice."""
        link = Link(Interrupted(self._open(), unplug), where=WHERE, reopen=self._open)
        with closing(link):
            hello = Dut(link).greet()
            bring(link, hello, brought(self._model))
            assert link.stats.reconnects == 1
            assert Dut(link).greet().model_sha256.hex() == self._model.sha256
        self._resets()

    def rebooted(self, act: Act) -> None:
        """The board reboots: that is told, and the next greeting brings the model anew."""
        link = Link(Interrupted(self._open(), act), where=WHERE, reopen=self._open)
        with closing(link):
            hello = Dut(link).greet()
            with pytest.raises(BoardRebooted):
                bring(link, hello, brought(self._model))
        self._takes_models()

    def two_at_once(self) -> None:
        """Two hosts bring models: one of them is told, and none runs half of two models."""
        stream = self._open()  # A port that is opened twice is refused: they share it.
        first, second = (Link(stream, where=WHERE) for _ in range(2))
        with closing(stream):
            half(first, self._model)
            hello = Dut(second).greet()
            bring(second, hello, brought(self._own))
            with pytest.raises(BoardStatus, match="bad_value.*offset"):
                first.request(Op.LOAD, piece_body(500, self._model.content[500:600]))
            assert Dut(second).greet().model_sha256.hex() == self._own.sha256
            said = parse_committed(first.request(Op.LOAD, commit_body()))
            assert said.status is Status.BAD_MODEL
        self._takes_models()

    def _takes_models(self) -> None:
        """The next run finds a board that runs its own model, and takes another one."""
        with closing(Link(self._open(), where=WHERE)) as link:
            hello = Dut(link).greet()
            assert hello.model_sha256.hex() == self._own.sha256
            errand = Errand(model=brought(self._model), build_id=hello.build_id.hex())
            assert Dut(link, errand=errand).greet().model_sha256.hex() == self._model.sha256
        self._resets()

    def _resets(self) -> None:
        with closing(Link(self._open(), where=WHERE)) as link:
            dut = Dut(link)
            dut.greet()
            assert dut.reset().model_sha256.hex() == self._own.sha256


def half(link: Link, model: Artifact) -> None:
    """Bring the first bytes of a model."""
    Dut(link).greet()
    link.request(Op.LOAD, begin_body(brought(model)))
    link.request(Op.LOAD, piece_body(0, model.content[:500]))
