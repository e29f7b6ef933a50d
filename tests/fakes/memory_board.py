"""An open board in memory, whose time is its own: a window of a second takes a millisecond."""

from __future__ import annotations

from dataclasses import replace

from fakes.described import hello

from harness.board.registry import load_registry
from harness.errors import Where
from harness.link.dut import Dut
from harness.link.link import Link
from harness.link.protocol import Capability
from harness.link.virtual import VirtualBoard
from harness.model.artifact import Artifact
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.rig.opened import OpenBoard
from harness.rig.ready import Expected, Ready

INVOKE_S = 0.002


class MemoryWire:
    """A stream to a board that answers zeros after INVOKE_S; the host's clock is the board's."""

    def __init__(self, artifact: Artifact) -> None:
        self.now = 0.0
        self.hello = hello(
            tick_hz=1_000_000,
            model_sha256=bytes.fromhex(artifact.sha256),
            inputs=tuple(artifact.inputs),
            outputs=tuple(artifact.outputs),
            capabilities=hello().capabilities | Capability.WINDOWS,
            runtime="tflm",
        )
        self.board = VirtualBoard(
            self.hello, self._invoke, ticks=lambda: int(self.now * 1e6), clock=lambda: self.now
        )
        self._pending = b""

    def _invoke(self, raw: bytes) -> bytes:
        self.now += INVOKE_S
        return bytes(self.hello.output_bytes)

    def read(self, timeout_s: float) -> bytes:
        self.now += 0 if self._pending else timeout_s
        data, self._pending = self._pending, b""
        return data

    def write(self, data: bytes) -> None:
        self.now += 0.001
        self._pending += self.board.feed(data)

    def close(self) -> None:
        pass


def memory_board(board: str = "virtual") -> OpenBoard:
    """The model sine on a board of the registry that is no more than this."""
    artifact = resolve_model("sine", find_project().artifacts)
    wire, where = MemoryWire(artifact), Where(board=board, port="memory", model="sine")
    dut = Dut(Link(wire, where=where, clock=lambda: wire.now), clock=lambda: wire.now)
    dut.greet()
    expected = Expected(
        model_sha256=artifact.sha256,
        build_id=wire.hello.build_id.hex(),
        runtime="tflm",
        inputs=tuple(artifact.inputs),
        outputs=tuple(artifact.outputs),
    )
    return OpenBoard(
        declared=replace(load_registry()["virtual"], id=board),
        artifact=artifact,
        runtime="tflm",
        firmware=None,
        ready=Ready(dut=dut, expected=expected),
        cold_ticks=None,
    )
