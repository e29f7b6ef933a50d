"""A board in Python that can be observed step by step, as profiling firmware can."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from harness.link.protocol import Status, StepValues, What, pack_ticks
from harness.link.virtual import InvokeFailed, VirtualBoard, _Refusal, _require_size

EMPTY_STEPS = 16
"""Pairs of empty steps that a board observes to learn what observing costs."""


class StepObserver(Protocol):
    """Told before and after each step of an inference."""

    def begin(self) -> None: ...

    def end(self, output: bytes) -> None: ...


class Observable(Protocol):
    """A runtime that can be observed step by step."""

    @property
    def steps(self) -> int: ...

    def invoke(self, raw: bytes, observer: StepObserver) -> bytes:
        """Output bytes for input bytes; InvokeFailed if the runtime fails."""


class _Stopwatch:
    def __init__(self, ticks: Callable[[], int]) -> None:
        self._ticks = ticks
        self._starts: list[int] = []
        self.values: list[int] = []

    def begin(self) -> None:
        self._starts.append(self._ticks())

    def end(self, output: bytes) -> None:
        self.values.append((self._ticks() - self._starts[-1]) & 0xFFFFFFFF)

    @property
    def pitch(self) -> int:
        return (self._starts[-1] - self._starts[-2]) & 0xFFFFFFFF


class _Outputs:
    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def begin(self) -> None:
        pass

    def end(self, output: bytes) -> None:
        self.seen.append(output)


def step_values_body(reply: StepValues) -> bytes:
    """Body of a PROFILE reply about ticks or checksums."""
    head = struct.pack(
        "<HIIIH",
        reply.steps,
        reply.whole_ticks,
        reply.empty_ticks,
        reply.pitch_ticks,
        len(reply.values),
    )
    return head + pack_ticks(reply.values)


def max_step_values(max_payload: int) -> int:
    """Values in one reply; as many as fit when packed at full width."""
    return (max_payload - 23) // 4


class ObservedBoard(VirtualBoard):
    """Answers PROFILE as well, where its HELLO announces it.

    Args:
        observable: the runtime of `invoke`, observed.
    """

    def __init__(self, *board: Any, observable: Observable, **more: Any) -> None:
        self._observable = observable
        super().__init__(*board, **more)

    def boot(self) -> None:
        self._kept: tuple[What, StepValues] | None = None
        super().boot()

    def _profile(self, body: bytes) -> bytes:
        if len(body) < 7:
            raise _Refusal(Status.BAD_SIZE, field="body", detail=7)
        if body[0] > What.OUTPUT:
            raise _Refusal(Status.BAD_VALUE, field="what", detail=What.OUTPUT)
        what = What(body[0])
        step, crc = int.from_bytes(body[1:3], "little"), int.from_bytes(body[3:7], "little")
        _require_size(body, 11 if what is What.OUTPUT else 7)
        kept = self._kept is not None and self._kept[0] is what
        last = self._observable.steps - 1 if kept or what is What.OUTPUT else 0
        if step > last:
            raise _Refusal(Status.BAD_VALUE, field="step", detail=last)
        held = zlib.crc32(self.input)
        if held != crc:
            raise _Refusal(Status.BAD_INPUT, field="input_crc", detail=held)
        if what is not What.OUTPUT:
            return self._step_values(what, step)
        self._before_invoke(0)
        outputs = _Outputs()
        self._observe(outputs)
        output, offset = outputs.seen[step], int.from_bytes(body[7:], "little")
        if offset >= len(output):
            raise _Refusal(Status.BAD_VALUE, field="offset", detail=len(output))
        room = self.hello.max_payload - 6
        return len(output).to_bytes(4, "little") + output[offset : offset + room]

    def _step_values(self, what: What, first: int) -> bytes:
        if first == 0:
            self._kept = None
            run = self._step_ticks if what is What.TICKS else self._step_checksums
            self._kept = what, run()
        assert self._kept is not None, "the step was checked against it"
        whole = self._kept[1]
        values = whole.values[first : first + max_step_values(self.hello.max_payload)]
        return step_values_body(replace(whole, values=values))

    def _step_ticks(self) -> StepValues:
        self._before_invoke(0)
        empty = [_Stopwatch(self._ticks) for _ in range(EMPTY_STEPS)]
        for stopwatch in empty:
            for _ in range(2):
                stopwatch.begin()
                stopwatch.end(b"")
        stopwatch = _Stopwatch(self._ticks)
        start = self._ticks()
        self._observe(stopwatch)
        return StepValues(
            steps=self._observable.steps,
            whole_ticks=(self._ticks() - start) & 0xFFFFFFFF,
            empty_ticks=min(min(stopwatch.values) for stopwatch in empty),
            pitch_ticks=min(stopwatch.pitch for stopwatch in empty),
            values=np.array(stopwatch.values, dtype=np.uint32),
        )

    def _step_checksums(self) -> StepValues:
        self._before_invoke(0)
        outputs = _Outputs()
        self._observe(outputs)
        values = [zlib.crc32(output) for output in outputs.seen]
        return StepValues(
            steps=self._observable.steps,
            whole_ticks=0,
            empty_ticks=0,
            pitch_ticks=0,
            values=np.array(values, dtype=np.uint32),
        )

    def _observe(self, observer: StepObserver) -> None:
        try:
            self.output = self._observable.invoke(bytes(self.input), observer)
        except InvokeFailed:
            raise _Refusal(Status.INVOKE_FAILED) from None
