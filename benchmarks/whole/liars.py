"""Boards that lie: every wait must end, no buffer grow, every error be one of ours, all text plain.

python -m benchmarks.whole.liars [--count N] [--seed N]

Each liar is a good board behind a stream that tells one kind of lie from a random answer on, or
about some of its answers. It is greeted, asked, measured and profiled by the harness's own code, in
this process, with a clock that moves only when something is waited for. Exit status 1 if anything
was counted.
"""

import argparse
import random
import re
import sys
import tempfile
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.whole.deadline import Hang, within
from benchmarks.whole.lies import LIES, Lie, Piece, Scene, once
from harness import load_registry, resolve_model
from harness.errors import HilError, Where
from harness.link.dut import Dut
from harness.link.faults import Faults
from harness.link.link import Link
from harness.link.protocol import (
    BoardMemory,
    Capability,
    Hello,
)
from harness.link.virtual import VirtualBoard
from harness.model.interpreters import TflmInterpreter
from harness.model.samples import Layout
from harness.project import find_project
from harness.rig.opened import OpenBoard
from harness.rig.ready import Expected, greet
from harness.rig.recovery import Remedy, reopen, request_reset
from harness.rig.sessions import Plan, measure_board
from harness.rig.virtual import virtual_hello

DEADLINE_S = 120.0
"""Of the scripted clock, without a true answer: all attempts of a request, then all remedies."""

WHOLE_S = 3600.0
"""For one liar in all; one that answers truly takes the time that its answers take."""

WALL_S = 60.0
"""Of this machine's time, for code that would run on without asking for more bytes."""

MOST_BYTES = 32 << 20
"""Of memory that one liar may make the harness take beyond what it had."""

_RAW = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\ud800-\udfff]|^\s*::", re.M
)


class LyingStream:
    """A good board that tells a lie from its `begin`-th answer on, with a probability; its clock.

    Bytes that come without end go on until the stream is opened again.
    """

    def __init__(
        self, board: VirtualBoard, lie: Lie, rng: random.Random, *, begin: int, share: float
    ) -> None:
        self.now_s = 0.0
        self.board = board
        self._lie = lie
        self._rng = rng
        self._begin = begin
        self._share = share
        self._answers = 0
        self._last = self._tail = b""
        self._true_s = 0.0
        self._coming: deque[Iterator[Piece]] = deque()
        self._next: tuple[float, bytes] | None = None

    def clock(self) -> float:
        """Seconds; waiting and asking make them pass."""
        return self.now_s

    def write(self, data: bytes) -> None:
        self._spend(1e-4)
        truth = self.board.feed(data)
        if not truth:
            return
        self._answers += 1
        scene = Scene(self._rng, data.strip(b"\0"), truth, self._last, self._answers)
        lies = self._answers >= self._begin and self._rng.random() < self._share
        self._coming.append(self._lie(scene) if lies else once(truth))
        self._last = truth

    def read(self, timeout_s: float) -> bytes:
        self._spend(1e-5)
        end_s = self.now_s + max(0.0, timeout_s)
        if self._next is None:
            self._next = self._following()
        if self._next is None or self._next[0] > end_s:
            self._spend(end_s - self.now_s)
            return b""
        at_s, data = self._next
        self._spend(max(0.0, at_s - self.now_s))
        self._next = None
        self._tail = (self._tail + data)[-len(self._last) :]
        if self._tail == self._last:
            self._true_s = self.now_s
        return data

    def reopen(self) -> "LyingStream":
        """As a port that is opened again; the board is reset by it, as many are."""
        self._coming.clear()
        self._next = None
        self.board.boot()
        return self

    def close(self) -> None:
        pass

    def _following(self) -> tuple[float, bytes] | None:
        while self._coming:
            for after_s, data in self._coming[0]:
                return self.now_s + after_s, data
            self._coming.popleft()
        return None

    def _spend(self, seconds: float) -> None:
        self.now_s += seconds
        silent_s = self.now_s - self._true_s
        if silent_s > DEADLINE_S or self.now_s > WHOLE_S:
            raise Hang(f"{silent_s:.0f} s without a true answer, {self.now_s:.0f} s in all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one liar: the error's class, and what is counted against the harness."""

    lie: str
    seed: int
    ended: str
    seconds: float
    peak_bytes: int
    text: str = ""
    traceback: bool = False

    @property
    def hang(self) -> bool:
        return self.ended == Hang.__name__

    @property
    def raw(self) -> bool:
        """Whether what it says could act on a terminal or a CI runner."""
        return _RAW.search(self.text) is not None

    @property
    def greedy(self) -> bool:
        return self.peak_bytes > MOST_BYTES

    @property
    def bad(self) -> bool:
        return self.hang or self.raw or self.greedy or self.traceback


@dataclass(slots=True)
class Tally:
    """All liars of a run, and what is counted against the harness."""

    told: list[Told] = field(default_factory=list)

    def _count(self, name: str) -> int:
        return sum(bool(getattr(one, name)) for one in self.told)

    @property
    def counts(self) -> dict[str, int]:
        """Hangs over their deadline, memory over its bound, tracebacks, raw text; all 0 if well."""
        names = {"hangs": "hang", "memory": "greedy", "tracebacks": "traceback", "raw": "raw"}
        return {name: self._count(attribute) for name, attribute in names.items()}

    def __str__(self) -> str:
        ended = Counter(one.ended for one in self.told)
        slowest = max(self.told, key=lambda one: one.seconds)
        largest = max(self.told, key=lambda one: one.peak_bytes)
        lines = [
            f"{len(self.told)} liars of {len({one.lie for one in self.told})} kinds: "
            + ", ".join(f"{count} {name}" for name, count in ended.most_common()),
            f"longest {slowest.seconds:.0f} s of the scripted clock ({slowest.lie}), "
            f"most memory {largest.peak_bytes / 1e6:.1f} MB ({largest.lie})",
            ", ".join(f"{name} {count}" for name, count in self.counts.items()),
        ]
        bad = [one for one in self.told if one.bad]
        return "\n".join([*lines, *(f"{one.lie}, seed {one.seed}: {one.text}" for one in bad)])


def _with_memory(hello: Hello) -> Hello:
    return replace(hello, capabilities=hello.capabilities | Capability.MEMORY)


class Bench:
    """Opens and measures liars; what is loaded once is loaded once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._artifact = resolve_model("sine", find_project().artifacts)
        self._declared = replace(load_registry()["virtual"], attachment="serial")
        self._interpreter = TflmInterpreter(self._artifact.content, name=self._artifact.name)
        self._takes = Layout(specs=self._artifact.inputs)
        self._outputs: dict[bytes, bytes] = {}

    def _invoke(self, raw: bytes) -> bytes:
        if raw not in self._outputs:
            given = self._takes.tensors(self._takes.from_bytes(raw), 0)
            outputs = self._interpreter.run_all(given)
            self._outputs[raw] = b"".join(output.tobytes() for output in outputs)
        return self._outputs[raw]

    def _stream(self, lie: Lie, rng: random.Random) -> LyingStream:
        hello = _with_memory(virtual_hello(self._artifact, Faults(), timer_read_ticks=3))
        ticks = iter(range(0, 1 << 62, 1000))
        board = VirtualBoard(
            hello,
            self._invoke,
            ticks=lambda: next(ticks),
            clock=lambda: stream.now_s,
            memory=BoardMemory(stack_bytes=1000, stack_used_bytes=300),
        )
        share = rng.choice((1.0, 1.0, 0.3))
        stream = LyingStream(board, lie, rng, begin=rng.choice((1, 1, 2, 3, 7, 20)), share=share)
        return stream

    def work(self, stream: LyingStream) -> str:
        """Greet a board, ask it, measure it in two sessions, profile it; what it printed."""
        where = Where(board="virtual", port="liar", model=self._artifact.name)
        link = Link(stream, where=where, reopen=stream.reopen, clock=stream.clock)
        hello = stream.board.hello
        expected = Expected(
            model_sha256=self._artifact.sha256,
            build_id=hello.build_id.hex(),
            runtime=hello.runtime,
            inputs=tuple(self._artifact.inputs),
            outputs=tuple(self._artifact.outputs),
        )
        remedies = (
            Remedy(name="open the port again", act=reopen),
            Remedy(name="RESET request", act=request_reset),
        )
        ready = greet(Dut(link, clock=stream.clock), expected, remedies)
        opened = OpenBoard(
            declared=self._declared,
            artifact=self._artifact,
            runtime=hello.runtime,
            firmware=None,
            ready=replace(ready, fresh=True),
            cold_ticks=None,
        )
        said: list[str] = []
        plan = Plan(
            samples=30,
            sessions=2,
            csv=self._folder / "latency.csv",
            sleep=stream._spend,
            recovered=lambda error, steps: said.extend((error.what, *map(str, steps))),
        )
        row = measure_board(opened, plan).run
        said.append(str(opened.comparison()))
        said += [str(row), self._profiled(opened)]
        return "\n".join(said)

    def _profiled(self, opened: OpenBoard) -> str:
        if not opened.dut.hello.capabilities & Capability.PROFILE:
            return ""
        sample = np.zeros((1, *opened.dut.input.shape), dtype=np.int8)
        opened.dut.step_output(sample, 0, checksum=0)
        return str(opened.dut.profile(sample, 3).steps.shape)

    def hear(self, name: str, seed: int) -> Told:
        """Let one liar tell its lie."""
        rng = random.Random(f"{name} {seed}")
        stream = self._stream(LIES[name], rng)
        ended, text, traceback = "passed", "", False
        tracemalloc.start()
        try:
            with within(WALL_S):
                text = self.work(stream)
        except HilError as error:
            ended, text = type(error).__name__, "\n".join((str(error), *error.link_log))
        except Hang as hang:
            ended, text = Hang.__name__, str(hang)
        except Exception as error:  # What a traceback would be shown of.
            ended, text, traceback = type(error).__name__, repr(error), True
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return Told(
            lie=name,
            seed=seed,
            ended=ended,
            seconds=stream.now_s,
            peak_bytes=peak,
            text=text,
            traceback=traceback,
        )


def lie(count: int = 200, seed: int = 0) -> Tally:
    """Let so many liars tell their lies, the kinds in turn, in an order that the seed says.

    Returns:
        A tally whose `counts` are all 0 if the harness held.
    """
    tally = Tally()
    names = random.Random(seed).sample(sorted(LIES), len(LIES))
    with tempfile.TemporaryDirectory(prefix="hil-liars-") as folder:
        bench = Bench(Path(folder))
        for number in range(count):
            tally.told.append(bench.hear(names[number % len(names)], seed + number // len(names)))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tally = lie(options.count, options.seed)
    print(tally)
    return int(any(tally.counts.values()))


if __name__ == "__main__":
    sys.exit(main())
