"""The virtual board as a process on a pty, over the official TFLM interpreter.

    python -m harness.rig.virtual MODEL [--faults 'flip=0.01&hang_after=20'] [--room 65536
        --operators ADD,CONV_2D]

prints the path of its port and serves it until its standard input closes or it is interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import select
import signal
import sys
import time
import tty
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import HilError, ModelError, Where
from harness.firmware.frame import TFLM
from harness.firmware.host import crash_of
from harness.firmware.probe import ask_tflm
from harness.firmware.requests import limit_model
from harness.firmware.server import MOST_S, Ending
from harness.firmware.swap import SwapPlan
from harness.link.faults import Faults, FaultyBoard, Unplugged, parse_faults
from harness.link.loading import Brought, Committed
from harness.link.protocol import Capability, Hello, Status
from harness.link.streams import ByteStream, StreamClosed
from harness.link.virtual import InvokeFailed, VirtualBoard
from harness.model.artifact import Artifact
from harness.model.graph import read_graph
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import described, resolve_model
from harness.model.samples import Layout
from harness.model.wheels import host_arena_bytes, tflm_version
from harness.rig.ptyprocess import ENDING_S, PtyProcess
from harness.version import __version__

BOARD_ID = "virtual"
MAX_PAYLOAD = 4096
TICK_HZ = 1_000_000_000
EXIT_MODEL = 2
"""The process's exit status where TFLM does not load the model."""


def virtual_build_id(model_sha256: str) -> str:
    """Build id, 16 bytes in hex, of what stands for firmware: this package, TFLM and the model."""
    parts = (__version__, str(tflm_version()), model_sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def virtual_hello(artifact: Artifact, faults: Faults, *, timer_read_ticks: int) -> Hello:
    """HELLO of the virtual board. It has no arena of its own: 0 of 0 bytes."""
    sha256 = hashlib.sha256(b"another model").hexdigest() if faults.wrong_model else artifact.sha256
    hello = Hello(
        capabilities=Capability.TENSORS | Capability.RESET,
        max_payload=MAX_PAYLOAD,
        tick_hz=TICK_HZ,
        timer_step_ticks=1,
        timer_read_ticks=timer_read_ticks,
        arena_used=0,
        arena_capacity=0,
        model_sha256=bytes.fromhex(sha256),
        build_id=bytes.fromhex(virtual_build_id(artifact.sha256)),
        board=BOARD_ID,
        board_uid="",
        runtime=TFLM,
        runtime_version=str(tflm_version()),
        kernels="TFLM reference",
        inputs=tuple(replace(spec, name="") for spec in artifact.inputs),
        outputs=tuple(replace(spec, name="") for spec in artifact.outputs),
        model=artifact.name,
    )
    # As the firmware does: an input larger than a frame goes in by WRITE only.
    one_fits = Capability.INFER if hello.max_infer else Capability(0)
    state = Capability.STATE if artifact.stateful else Capability(0)
    return replace(hello, capabilities=hello.capabilities | one_fits | state)


class TflmModel:
    """Runs the model in TFLM and counts ticks, with the faults `wrong_output` and `slow`."""

    def __init__(
        self,
        artifact: Artifact,
        faults: Faults,
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self._interpreter = TflmInterpreter(artifact.content, name=artifact.name)
        self._takes = Layout(specs=artifact.inputs)
        self._faults = faults
        self._invokes = 0

    def invoke(self, raw: bytes) -> bytes:
        given = self._takes.tensors(self._takes.from_bytes(raw), 0)
        try:
            outputs = self._interpreter.run_all(given)
        except RuntimeError as error:
            raise InvokeFailed from error
        self._invokes += 1
        if self._faults.wrong_output and self._invokes % self._faults.wrong_output == 0:
            first = outputs[0].reshape(-1)[:1]
            first[...] = ~first if first.dtype == bool else first + (1 if first[0] < 100 else -1)
        return b"".join(output.tobytes() for output in outputs)

    def reset(self) -> None:
        self._interpreter.reset()

    def ticks(self) -> int:
        """The counter: nanoseconds, which the fault `slow` stretches."""
        return int(self._clock_ns() * self._faults.slow)

    def read_cost(self) -> int:
        """The fewest ticks between two reads of the counter."""
        pairs = ((self.ticks(), self.ticks()) for _ in range(100))
        return min(second - first for first, second in pairs)


class _Running:
    """What runs models at the moment."""

    def __init__(self, model: TflmModel) -> None:
        self.model = model

    def begin(self, model: TflmModel) -> None:
        self.model = model


class VirtualModels:
    """Models that are brought to the virtual board, beside its own: TFLM on the host runs them.

    Args:
        operators: kinds that a model may have, as those of a firmware's resolver.
        begins: told of what runs models from now on.
    """

    def __init__(
        self,
        own: TflmModel,
        hello: Hello,
        faults: Faults,
        *,
        operators: tuple[str, ...],
        begins: Callable[[TflmModel], None],
    ) -> None:
        self._own = own
        self._hello = hello
        self._faults = faults
        self._operators = operators
        self._begins = begins

    def own(self) -> Hello:
        self._own.reset()
        self._begins(self._own)
        return self._hello

    def swap(self, model: Brought) -> tuple[Committed, Hello | None]:
        try:
            artifact = described(Path(f"{model.name}.tflite"), model.content)
            kinds = read_graph(model.content, name=model.name).kinds
        except HilError as error:
            return _refused(Status.BAD_MODEL, error.what), None
        unknown = [kind for kind in kinds if kind not in self._operators]
        if unknown:
            return _refused(Status.UNKNOWN_OPERATOR, f"operator {unknown[0]}"), None
        # In a process of its own first: a hostile file crashes that, and the board answers.
        answer = ask_tflm(model.content)
        if answer is not None and answer.refusal is not None:
            return _refused(Status.MODEL_NOT_LOADED, answer.refusal.sentence), None
        try:
            self._begins(TflmModel(artifact, self._faults))
        except ModelError as error:
            return _refused(Status.MODEL_NOT_LOADED, error.what), None
        read_ticks = self._hello.timer_read_ticks
        hello = virtual_hello(artifact, self._faults, timer_read_ticks=read_ticks)
        fresh = replace(hello, build_id=self._hello.build_id, model=model.name)
        return _refused(Status.OK, ""), fresh


def _refused(status: Status, note: str) -> Committed:
    return Committed(status=status, arena_used=0, arena_capacity=0, note=note)


class Server:
    """Serves one board on a pty's master side, until `stop_fd` closes if there is one."""

    def __init__(self, board: FaultyBoard, master: int, stop_fd: int | None) -> None:
        self._board = board
        self._master = master
        self._stop = stop_fd

    def run(self) -> None:
        """Answer until told to stop, or until the board is unplugged."""
        watched = [self._master] if self._stop is None else [self._master, self._stop]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if self._stop in ready and not os.read(self._stop, 1):
                return
            if self._master in ready:
                try:
                    reply, late_s = self._board.feed(os.read(self._master, 65536))
                except Unplugged:
                    return
                time.sleep(late_s)
                self._send(reply)

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data) :]


def serve(
    artifact: Artifact,
    faults: Faults,
    *,
    stop_fd: int | None = None,
    room_bytes: int = 0,
    operators: tuple[str, ...] = (),
    build_id: str | None = None,
) -> None:
    """Open a pty, print its path, and serve the virtual board on it.

    Args:
        room_bytes: the largest model that can be brought over the link, of these `operators`; 0:
            none can.
        build_id: 16 bytes in hex, instead of that of the model.
        stop_fd: serving ends when this descriptor closes, as the standard input of a child does
            when its parent is gone. None: only a signal ends it.
    """
    largest = max(artifact.content, bytes(room_bytes), key=len)
    limit_model(largest, host_arena_bytes(largest))
    model = TflmModel(artifact, faults)
    hello = virtual_hello(artifact, faults, timer_read_ticks=model.read_cost())
    if build_id is not None:
        hello = replace(hello, build_id=bytes.fromhex(build_id))
    running = _Running(model)
    board = VirtualBoard(
        hello,
        lambda raw: running.model.invoke(raw),
        ticks=model.ticks,
        clock=time.monotonic,
        reset_state=lambda: running.model.reset(),
        models=VirtualModels(model, hello, faults, operators=operators, begins=running.begin)
        if room_bytes
        else None,
        model_bytes=room_bytes,
        operators=operators,
    )
    master, slave = os.openpty()
    # The slave side stays open here too: reading a master without any slave raises EIO.
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    Server(FaultyBoard(board, faults), master, stop_fd).run()


CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}
)
"""Signals with which a process ends by its own fault."""


class VirtualProcess(PtyProcess):
    """A virtual board in a process of its own; `with` starts and stops it.

    Where TFLM crashed on the model, that its port closed is not the link's fault: reading, writing
    and opening it raise ModelError.

    Args:
        swap: what it is to have for models that are brought to it; None: it takes none.
        command: what to start instead of `python -m harness.rig.virtual`; it prints its port.
        clock: seconds, monotonic, for the deadline START_S.

    Raises on entry:
        StartFailed: it ended, or printed no port, within START_S; with the end of its output.
        ModelError: it ended since TFLM does not load the model.
    """

    def __init__(
        self,
        artifact: Artifact,
        faults: Faults,
        *,
        where: Where,
        swap: SwapPlan | None = None,
        command: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        command = command or [*_command(artifact, faults), *_room(swap)]
        super().__init__("virtual board", command, where=where, clock=clock)

    def failure(self, what: str, words: str, status: int | None) -> HilError:
        if status == EXIT_MODEL:
            return ModelError(" ".join(words.split()), where=self.where)
        return self._crash(status) or super().failure(what, words, status)

    def lost(self, error: StreamClosed) -> Exception:
        return self._crash(self.status(ENDING_S)) or super().lost(error)

    def reopen(self) -> ByteStream:
        """Open the port, again after it was lost.

        Raises:
            StartFailed: it is gone, with its process.
            ModelError: TFLM crashed on the model.
        """
        if (crash := self._crash(self.status())) is not None:
            raise crash
        return super().reopen()

    def _crash(self, status: int | None) -> ModelError | None:
        """The error for a model on which the process crashed; None if it did not."""
        if status is None or -status not in CRASHES:
            return None
        return crash_of(TFLM, Ending(status=status, said=""), str(self.where.model), MOST_S)


def _command(artifact: Artifact, faults: Faults) -> list[str]:
    pairs = (f"{name}={_plain(getattr(faults, name))}" for name in Faults.__slots__)
    command = [sys.executable, "-m", "harness.rig.virtual", str(artifact.path)]
    return [*command, "--faults", "&".join(pairs)]


def _room(swap: SwapPlan | None) -> list[str]:
    if swap is None:
        return []
    build_id = virtual_build_id(f"{swap.own.sha256} {swap.identity}")
    return [
        *("--room", str(swap.model_bytes)),
        *("--operators", ",".join(swap.operators)),
        *("--build-id", build_id),
    ]


def _plain(value: float | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m harness.rig.virtual`."""
    parser = argparse.ArgumentParser(prog="python -m harness.rig.virtual", description=__doc__)
    parser.add_argument("model", help="a .tflite file")
    parser.add_argument("--faults", default="", help="such as flip=0.01&hang_after=20")
    parser.add_argument("--room", type=int, default=0, help="bytes of a model that is brought")
    parser.add_argument("--operators", default="", help="that such a model may have")
    parser.add_argument("--build-id", help="instead of the model's")
    options = parser.parse_args(arguments)
    try:
        artifact = resolve_model(options.model, Path())
        serve(
            artifact,
            parse_faults(options.faults),
            stop_fd=sys.stdin.fileno(),
            room_bytes=options.room,
            operators=tuple(filter(None, options.operators.split(","))),
            build_id=options.build_id,
        )
    except KeyboardInterrupt:
        pass
    except ModelError as error:
        print(error.what, file=sys.stderr)
        return EXIT_MODEL
    except HilError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
