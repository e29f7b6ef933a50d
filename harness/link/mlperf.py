"""The MLPerf Tiny runner's commands, as the virtual board answers them (docs/protocol.md)."""

from __future__ import annotations

from typing import Protocol

from harness.link.protocol import Hello, Status
from harness.model.samples import Layout

MAX_INVOKES = 1_000_000
_DEFAULT_WARMUP = 10
_PER_LINE = 8
_MEASURES = ("timestamp", "db", "infer", "results")
_HEX = "0123456789abcdefABCDEF"
_HELP = (
    "name                 this board",
    "profile              the benchmark and the model",
    "timestamp            microseconds since power came on",
    "db load N            announce the N bytes of an input, as the model's tensors hold them",
    "db HEX               some of them",
    "db print             the input",
    "infer [N=1 [W=10]]   N timed invokes after W others",
    "results              the last output",
)


class Device(Protocol):
    """What the commands need of a board."""

    hello: Hello
    input: bytearray
    output: bytes

    mlperf_energy: bool
    """Whether timestamps are pulses of a pin, and nothing is said of them."""

    def microseconds(self) -> int:
        """Since some moment before the first call."""

    def pulse(self) -> None:
        """Let the pin fall, and rise again."""

    def reset_state(self) -> bool:
        """Whether the model's state could be reset, if it has any."""

    def invoke_times(self, count: int) -> bool:
        """Whether all invokes on the input succeeded."""


class Mlperf:
    """Answers commands; remembers how much of an input is still to come."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._missing = 0

    def answer(self, command: str) -> str:
        """All lines of the answer to a command without its `%`."""
        words = command.split(" ")
        lines = self._execute([word for word in words if word])
        return "".join(f"{line}\n" for line in (*lines, "m-ready"))

    def _execute(self, words: list[str]) -> list[str]:
        if not words:
            return []
        verb, *rest = words
        hello = self._device.hello
        if verb in _MEASURES and hello.status is not Status.OK:
            return [f"e-[{hello.status.name.lower()}]"]
        if verb == "name":
            return [f"m-name-dut-[{hello.board}]"]
        if verb == "profile":
            mode = ["m-timestamp-mode-energy"] if self._device.mlperf_energy else []
            firmware = "m-profile-[ULPMark for tinyML Firmware V0.0.1]"
            return [firmware, f"m-model-[{hello.model}]", *mode]
        if verb == "help":
            return list(_HELP)
        if verb == "timestamp":
            return self._timestamp()
        if verb == "db":
            return self._buffer(rest)
        if verb == "infer":
            return self._infer(rest)
        if verb == "results":
            return [self._results()]
        return [f"e-[Unknown command: {verb}]"]

    def _timestamp(self) -> list[str]:
        """What is said of one, if anything."""
        if self._device.mlperf_energy:
            self._device.pulse()
            return []
        return [f"m-lap-us-{self._device.microseconds()}"]

    def _buffer(self, words: list[str]) -> list[str]:
        if not words:
            return ["e-[Command 'db' requires a subcommand]"]
        if words[0] == "load":
            return [self._load(words[1:])]
        if words[0] == "print":
            held = self._device.input
            rows = (held[at : at + _PER_LINE] for at in range(0, len(held), _PER_LINE))
            return [f"m-buffer-{row.hex('-')}" for row in rows]
        return self._take(words[0])

    def _load(self, words: list[str]) -> str:
        if not words:
            return "e-[Command 'db load' requires the # of bytes]"
        needed = len(self._device.input)
        if _count(words[0]) != needed:
            return f"e-[The input's bytes are {needed}]"
        self._missing = needed
        return f"m-[Expecting {needed} bytes]"

    def _take(self, digits: str) -> list[str]:
        if len(digits) % 2:
            return ["e-[Insufficent number of hex digits]"]
        wrong = digits.strip(_HEX)
        if wrong:
            return [f"e-[Invalid hex digit '{wrong[0]}']"]
        data = bytes.fromhex(digits)
        if len(data) > self._missing:
            return [f"e-[Bytes expected: {self._missing}]"]
        start = len(self._device.input) - self._missing
        self._device.input[start : start + len(data)] = data
        self._missing -= len(data)
        return [] if self._missing else ["m-load-done"]

    def _infer(self, words: list[str]) -> list[str]:
        count = _count(words[0]) if words else 1
        warmup = _count(words[1]) if len(words) > 1 else _DEFAULT_WARMUP
        if count is None or not 1 <= count <= MAX_INVOKES:
            return [f"e-[Inference iterations must be 1 to {MAX_INVOKES}]"]
        if warmup is None or warmup > MAX_INVOKES:
            return [f"e-[Inference warmup must be 0 to {MAX_INVOKES}]"]
        if self._missing:
            return [f"e-[The input lacks bytes: {self._missing}]"]
        device = self._device
        warm = device.reset_state() and device.invoke_times(warmup) and device.reset_state()
        start = self._timestamp()
        done = warm and device.invoke_times(count)
        stop = self._timestamp()
        if not done:
            return ["e-[invoke_failed]"]
        return [
            f"m-warmup-start-{warmup}",
            "m-warmup-done",
            f"m-infer-start-{count}",
            *start,
            *stop,
            "m-infer-done",
            self._results(),
        ]

    def _results(self) -> str:
        return f"m-results-[{outputs_text(self._device.hello, self._device.output)}]"


def outputs_text(hello: Hello, raw: bytes) -> str:
    """All outputs in the model's unit, four decimals, tensor after tensor."""
    numbers = Layout(specs=hello.outputs).to_numbers(raw)
    return ",".join(f"{number:.4f}" for number in numbers)


def _count(word: str) -> int | None:
    """A decimal number, leading zeros allowed; None for anything but digits."""
    return int(word) if word.isascii() and word.isdigit() else None
