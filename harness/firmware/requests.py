"""Requests to run a model, and their answers: the end that has the interpreter. See `served`."""

from __future__ import annotations

import math
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HilError
from harness.firmware.frame import TFLM, Header, read_frame, write_frame
from harness.model.wheels import host_arena_bytes, tflm_runtime

if TYPE_CHECKING:
    from harness.model.tensor import TensorSpec

Arrays = Sequence[NDArray[Any]]

MOST_SAID = 1 << 24
"""Bytes that an interpreter may write on standard error."""

MOST_MEMORY = 1 << 30
"""Bytes of memory of a model's process, beside an arena of TFLM's and copies of the file."""

_COPIES = 6
"""Copies of the file that wheels and readers keep, and one to spare."""

_GROUP_BYTES, _GROUP_S = 1 << 20, 0.2
"""Samples are answered in groups of this size, or after this time."""


def described(arrays: Arrays) -> list[list[Any]]:
    """Type and shape of each array, for a header."""
    return [[array.dtype.str, list(array.shape)] for array in arrays]


def unpacked(payload: bytes, shapes: list[list[Any]], count: int) -> list[list[NDArray[Any]]]:
    """`count` times the arrays that `described` named, out of their bytes.

    Raises:
        ValueError, TypeError: the bytes are not as many, or elements are not plain numbers.
    """
    # The wheels write into what they are given, so that it must be writable.
    whole, at = bytearray(payload), 0
    types = [(np.dtype(dtype), tuple(shape)) for dtype, shape in shapes]
    if any(dtype.kind not in "biufc" for dtype, _ in types):
        raise ValueError("elements that are no numbers")
    sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in types]
    if count < 0 or min(sizes, default=0) < 0 or sum(sizes) * count != len(payload):
        raise ValueError(f"{len(payload)} bytes instead of {count} times {sum(sizes)}")
    columns: list[NDArray[Any]] = []
    for (dtype, shape), size in zip(types, sizes, strict=True):
        # Of every sample, the bytes of this array.
        rows = np.frombuffer(whole, np.uint8).reshape(count, sum(sizes))[:, at : at + size]
        columns.append(np.ascontiguousarray(rows).view(dtype).reshape(count, *shape))
        at += size
    return [[column[index, ...] for column in columns] for index in range(count)]


def limit_model(content: bytes, arena_bytes: int) -> None:
    """Bound what this process may take for a model: memory, what it writes into files, no core."""
    most_bytes = MOST_MEMORY + arena_bytes + _COPIES * len(content)
    for name, most in (("CORE", 0), ("FSIZE", MOST_SAID), ("DATA", most_bytes)):
        number = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(number)
        if hard == resource.RLIM_INFINITY or hard > most:
            resource.setrlimit(number, (most, hard))


class Requests:
    """Requests about one model, each with one answer or, to `run`, several."""

    def __init__(
        self, kind: str, read: Callable[[int], bytes], write: Callable[[bytes], None]
    ) -> None:
        self._kind = kind
        self._read, self._write = read, write
        self._interpreter: Any = None
        self._most_s = 0.0

    def serve(self) -> None:
        """Answer until told to end."""
        while True:
            header, payload = read_frame(self._read)
            what = header.pop("what")
            if what == "end":
                self._answer({"ended": True})
                return
            try:
                for answer, data in getattr(self, f"_{what}")(payload, **header):
                    self._answer(answer, data)
            except HilError as error:
                self._answer({"error": error.what})
            except Exception as error:  # The wheels raise what they like.
                traceback.print_exc()
                self._answer({"error": f"{type(error).__name__}: {error}"[:1000]})
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _answer(self, header: Header, payload: bytes = b"") -> None:
        write_frame(self._write, header, payload)

    def _arm(self) -> None:
        """From now on, the model has this long before the process is ended by SIGALRM."""
        signal.setitimer(signal.ITIMER_REAL, self._most_s)

    def _load(
        self,
        content: bytes,
        *,
        name: str,
        most_s: float,
        arena_bytes: int | None = None,
        keep_tensors: bool = False,
        default_delegates: bool = False,
    ) -> Iterator[tuple[Header, bytes]]:
        # 0.1 s, which a question does without.
        from harness.model.interpreters import LiteRtInterpreter, TflmInterpreter

        arena = 0
        if self._kind == TFLM:
            arena = arena_bytes or host_arena_bytes(content)
        limit_model(content, arena)
        self._most_s = most_s
        self._arm()
        takes: list[Header] = []
        gives: list[Header] = []
        if self._kind == TFLM:
            self._interpreter = TflmInterpreter(
                content, name=name, arena_bytes=arena_bytes, keep_tensors=keep_tensors
            )
        else:
            self._interpreter = LiteRtInterpreter(
                content, name=name, default_delegates=default_delegates, keep_tensors=keep_tensors
            )
            takes = [_fields(spec) for spec in self._interpreter.takes]
            gives = [_fields(spec) for spec in self._interpreter.gives]
        yield {"source": self._interpreter.source, "takes": takes, "gives": gives}, b""

    def _run(
        self, payload: bytes, *, arrays: list[list[Any]], count: int, reset: str
    ) -> Iterator[tuple[Header, bytes]]:
        """`reset`: before `each` sample, before the `first`, or `never`."""
        group: list[tuple[NDArray[Any], ...]] = []
        times: list[float] = []
        size, begun = 0, time.perf_counter()
        for index, sample in enumerate(unpacked(payload, arrays, count)):
            self._arm()
            if reset == "each" or (reset == "first" and index == 0):
                self._interpreter.reset()
            start = time.perf_counter()
            outputs = self._interpreter.run_all(sample)
            end = time.perf_counter()
            times.append(end - start)
            group.append(outputs)
            size += sum(output.nbytes for output in outputs)
            # What a model says of its outputs' shapes may change from one sample to the next.
            if size >= _GROUP_BYTES or end - begun >= _GROUP_S or index == count - 1:
                yield from _grouped(group, times)
                group, times, size, begun = [], [], 0, end

    def _reset(self, _: bytes) -> Iterator[tuple[Header, bytes]]:
        self._arm()
        self._interpreter.reset()
        yield {"reset": True}, b""

    def _tensor(self, _: bytes, *, index: int) -> Iterator[tuple[Header, bytes]]:
        self._arm()
        if self._kind == TFLM:
            values = self._interpreter.tensor(index)
        else:
            values = np.array(self._interpreter.details.get_tensor(index))
        yield {"arrays": described([values])}, values.tobytes()

    def _ask(
        self, content: bytes, *, arena_bytes: int, values: list[float], most_s: float
    ) -> Iterator[tuple[Header, bytes]]:
        """Plan and invoke a model once, and print what it takes of the arena."""
        limit_model(content, arena_bytes)
        self._most_s = most_s
        self._arm()
        interpreter = tflm_runtime().Interpreter.from_bytes(content, arena_size=arena_bytes)

        def fill(index: int) -> None:
            given = interpreter.get_input_details(index)
            value = values[index] if index < len(values) else 0
            interpreter.set_input(np.full(given["shape"], value, given["dtype"]), index)

        _each(fill)
        interpreter.invoke()
        _each(interpreter.get_output)
        interpreter.print_allocations()
        yield {"ran": True}, b""


def _fields(spec: TensorSpec) -> Header:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def _grouped(
    group: list[tuple[NDArray[Any], ...]], times: list[float]
) -> Iterator[tuple[Header, bytes]]:
    """Answers with the outputs of successive samples that have the same types and shapes."""
    start = 0
    for end in range(1, len(group) + 1):
        if end == len(group) or _shapes(group[end]) != _shapes(group[start]):
            header = {
                "arrays": described(group[start]),
                "count": end - start,
                "seconds": times[start:end],
            }
            data = b"".join(output.tobytes() for item in group[start:end] for output in item)
            yield header, data
            start = end


def _shapes(arrays: Arrays) -> list[Any]:
    return [(array.dtype, array.shape) for array in arrays]


def _each(act: Callable[[int], Any]) -> None:
    """Do it for index 0, 1, and so on, until there is none."""
    index = 0
    while True:
        try:
            act(index)
        except IndexError:
            return
        index += 1
