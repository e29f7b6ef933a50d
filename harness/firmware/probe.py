"""Asks TFLM on the host whether it runs a model: plans and invokes it in a process of its own.

Nothing else knows what TFLM's kernels check, some when they are planned and some when invoked. A
hostile file may make it abort, crash or hang; then that is the answer.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from harness.firmware.frame import TFLM
from harness.firmware.server import MORE_S, MOST_S, SERVERS, Ended, Ending, Server
from harness.model.wheels import host_arena_bytes, tflm_installed

PROBE_S = MOST_S
"""Until an answer: an image network takes TFLM's reference kernels some seconds."""

MOST_SENTENCE = 300

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
    return _asked(content) if tflm_installed() else None


@lru_cache(maxsize=32)
def _asked(content: bytes) -> Answer:
    with Question(content) as question:
        return question.answer()


class Question:
    """A process that tries a model, begun on entry so that the caller can do other work meanwhile.

    Args:
        child: Python source of the process; for tests.
        most_s: seconds until it is given up.
    """

    def __init__(
        self, content: bytes, *, child: str | None = None, most_s: float = PROBE_S
    ) -> None:
        self._content = content
        self._child = child
        self._most_s = most_s
        self._patience_s = most_s + (MORE_S if child is None else 0.0)
        self._ended: Ending | None = None

    def __enter__(self) -> Question:
        self._server = Server(TFLM, child=self._child) if self._child else SERVERS[TFLM].take()
        from harness.model.legal import mild_values  # NumPy takes 0.1 s: while the server starts

        header = {
            "what": "ask",
            "arena_bytes": host_arena_bytes(self._content),
            "values": mild_values(self._content),
            "most_s": self._most_s,
        }
        try:
            self._server.send(header, self._content, most_s=self._patience_s)
        except Ended as ended:
            self._ended = ended.ending
        except BaseException:
            self._server.close()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._child or kind is not None or self._ended is not None:
            self._server.close()
        else:
            SERVERS[TFLM].give_back(self._server)

    def answer(self) -> Answer:
        """Wait for the process's answer or its end, `most_s` at most, and tell what it said."""
        ran = False
        try:
            if self._ended is None:
                ran = "ran" in self._server.receive(most_s=self._patience_s)[0]
        except Ended as ended:
            self._ended = ended.ending
        said = self._server.said() if self._ended is None else self._ended.said
        if ran:
            return Answer(refusal=None, allocations=parse_allocations(said))
        how = "" if self._ended is None else _ending(self._ended, self._most_s)
        return Answer(refusal=parse_refusal(said, how))


def _ending(ending: Ending, most_s: float) -> str:
    """How the process ended, in a few words; empty where it did so in order."""
    if ending.hung:
        return f"TFLM does not end within {most_s:g} s"
    if ending.signal is signal.SIGABRT:
        return ABORTS
    if ending.signal is not None:
        return f"TFLite Micro on the host {CRASHES} ({ending.signal.name}) on this model"
    return ""


ABORTS = "TFLM aborts"
CRASHES = "crashes"
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
