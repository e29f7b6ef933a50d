"""Asks TFLM on the host whether it runs a model: plans and invokes it in a process of its own.

Nothing else knows what TFLM's kernels check, some when they are planned and some when invoked. A
hostile file may make it abort, crash or hang; then that is the answer.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import IO

from harness.model.legal import mild_values
from harness.model.wheels import host_arena_bytes, tflm_version
from harness.process import end_group, start

PROBE_S = 60.0
"""Until an answer: an image network takes TFLM's reference kernels some seconds."""

MOST_SAID = 64 * 1024
"""Bytes of the process's output that are kept."""

MOST_SENTENCE = 300

_CHILD = """\
import resource, sys
for name, most in (("CORE", 0), ("FSIZE", 1 << 24), ("CPU", 60), ("AS", 4 << 30)):
    limit = getattr(resource, "RLIMIT_" + name)
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(limit, (most, hard))
from tflite_micro import runtime
import numpy
def each(act):
    index = 0
    while True:
        try:
            act(index)
        except IndexError:
            return
        index += 1
values = [float(value) for value in sys.argv[2:]]
def fill(index):
    given = interpreter.get_input_details(index)
    value = values[index] if index < len(values) else 0
    interpreter.set_input(numpy.full(given["shape"], value, given["dtype"]), index)
interpreter = runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=int(sys.argv[1]))
each(fill)
interpreter.invoke()
each(interpreter.get_output)
interpreter.print_allocations()
print("ran")
"""

_NODE = re.compile(r"Node (?P<kind>.+) \(number (?P<number>\d+)\) failed to (?:prepare|invoke)")
_UNKNOWN = re.compile(r"Failed to get registration from op code (?P<kind>\S+)")
_NOISE = re.compile(
    r"\s*$|(Input|Output) index \d+ out of range|\[RecordingMicroAllocator\]|Traceback|  |"
    r"Didn't find op for builtin opcode"
)
_SOURCE = re.compile(r"^\S*/(?P<file>[\w.]+\.cc)(?P<line>:\d+)?:? ")
_RAISED = re.compile(r"(?P<error>\w+Error): (?P<text>.*)")
_NUMBER = {
    "head": re.compile(r"Arena allocation head (\d+) bytes"),
    "tail": re.compile(r"Arena allocation tail (\d+) bytes"),
    "tensors": re.compile(r"'TfLiteEvalTensor data' .* for (\d+) allocations"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocations:
    """Bytes that TFLM takes of an arena on the host: `head` for activations and scratch buffers,
    `tail` for records that stay. `tensors` counts all tensors of the model."""

    head: int
    tail: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why TFLM does not run a model: `sentence` quotes it where it said something.

    `number` and `kind` are those of the operator that it names; None where it names none.
    """

    sentence: str
    number: int | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What TFLM made of a model: `refusal` is None where it ran it, once, on
    zeros or, where the graph does not allow these, on the nearest values that it does."""

    refusal: Refusal | None
    allocations: Allocations | None = None


def ask_tflm(content: bytes) -> Answer | None:
    """Let TFLM plan and invoke a model; None without the tflite-micro wheel on this machine."""
    return _asked(content) if tflm_version() is not None else None


@lru_cache(maxsize=32)
def _asked(content: bytes) -> Answer:
    with Question(content) as question:
        return question.answer()


class Question:
    """A process that tries a model, begun on entry so that the caller can do other work meanwhile.

    Args:
        child: Python source of the process.
        most_s: seconds until it is given up.
    """

    def __init__(self, content: bytes, *, child: str = _CHILD, most_s: float = PROBE_S) -> None:
        self._content = content
        self._child = child
        self._most_s = most_s
        self._stack = ExitStack()

    def __enter__(self) -> Question:
        with ExitStack() as stack:
            given, said = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            given.write(self._content)
            given.seek(0)
            self._said: IO[bytes] = said
            arguments = (host_arena_bytes(self._content), *mild_values(self._content))
            command = [sys.executable, "-c", self._child, *map(str, arguments)]
            self._process = start(
                command,
                stdin=given.fileno(),
                stdout=subprocess.PIPE,
                stderr=said,
                # A thread of NumPy for each core would only take its time to start.
                environment={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            stack.callback(end_group, self._process)
            assert self._process.stdout is not None
            stack.enter_context(self._process.stdout)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def answer(self) -> Answer:
        """Wait for the process to end, `most_s` at most, and tell what it said."""
        output, ended = self._output()
        status = self._process.wait(1.0) if ended else None
        said = _read_ends(self._said).decode(errors="replace")
        if status == 0 and output.endswith(b"ran\n"):
            return Answer(refusal=None, allocations=parse_allocations(said))
        how = _ending(status, self._most_s)
        return Answer(refusal=parse_refusal(said, how))

    def _output(self) -> tuple[bytes, bool]:
        """What it printed, and whether it has ended: then its output is closed."""
        pipe = self._process.stdout
        assert pipe is not None
        deadline, text = time.monotonic() + self._most_s, b""
        while (left_s := deadline - time.monotonic()) > 0 and len(text) < MOST_SAID:
            if select.select([pipe], [], [], left_s)[0]:
                data = pipe.read(4096)
                text += data
                if not data:
                    return text, True
        return text, False


def _read_ends(file: IO[bytes]) -> bytes:
    """A file that its writer may have filled: the start and the end of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= 2 * MOST_SAID:
        return file.read()
    start_of_it = file.read(MOST_SAID)
    file.seek(-MOST_SAID, os.SEEK_END)
    return start_of_it + b"\n" + file.read()


def _ending(status: int | None, most_s: float) -> str:
    """How the process ended, in a few words; empty where it did so in order."""
    if status is None or -status == signal.SIGXCPU:
        return f"TFLM does not end within {most_s:g} s"
    if -status == signal.SIGABRT:
        return ABORTS
    if status < 0:
        return f"TFLM crashes ({signal.Signals(-status).name})"
    return ""


ABORTS = "TFLM aborts"
NO_KERNEL = "TFLM has no kernel for it"


def parse_allocations(report: str) -> Allocations | None:
    """The figures in the text of `print_allocations`; None if they are not there."""
    found = {name: pattern.search(report) for name, pattern in _NUMBER.items()}
    if any(match is None for match in found.values()):
        return None
    return Allocations(**{name: int(match[1]) for name, match in found.items() if match})


def parse_refusal(said: str, ending: str = "") -> Refusal:
    """Why TFLM does not run a model, from what its process wrote on standard error.

    Args:
        ending: how the process ended, if not in order.
    """
    lines = [line for line in said.replace("\r", "").split("\n") if not _NOISE.match(line)]
    node = next((match for line in lines if (match := _NODE.search(line))), None)
    unknown = next((match for line in lines if (match := _UNKNOWN.search(line))), None)
    reasons = [*_reasons(lines), *_raised(lines)]
    if unknown is not None and node is None and not ending:
        return Refusal(sentence=NO_KERNEL, kind=_shown(unknown["kind"]))
    how = ending or "TFLM says"
    sentence = _shown(f"{how}: {reasons[0]}" if reasons else ending or "TFLM does not say why")
    if node is None:
        return Refusal(sentence=sentence)
    return Refusal(sentence=sentence, number=int(node["number"]), kind=_shown(node["kind"]))


def _raised(lines: Sequence[str]) -> Iterator[str]:
    """The text of the exception that ended the process."""
    return (match["text"] for line in lines if (match := _RAISED.match(line)))


def _reasons(lines: Sequence[str]) -> Iterator[str]:
    """What it said last before it named the operator, or before Python's own words."""
    said = list(takewhile(lambda line: not (_NODE.search(line) or _RAISED.match(line)), lines))
    # The file says which kernel it was; the folder is the builder's.
    shortened = (
        _SOURCE.sub(lambda found: f"{found['file']}{found['line'] or ''}: ", x) for x in said
    )
    return reversed(list(shortened))


def _shown(text: str) -> str:
    plain = "".join(char if char.isprintable() else "?" for char in text.strip().rstrip("."))
    return plain[:MOST_SENTENCE]
