"""The virtual board against the dialogues that the firmware's own code passes too."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cobs import cobs
from described import hello

from harness.protocol import Status
from harness.tensor import TensorSpec
from harness.virtual import InvokeFailed, VirtualBoard

DIALOGUES = Path(__file__).parent / "vectors" / "dialogues.txt"

HELLO = hello(
    timer_step_ticks=5,
    timer_read_ticks=5,
    arena_used=100,
    arena_capacity=200,
    build_id=bytes(range(0xA0, 0xB0)),
    board="fake",
    board_uid="0123",
    runtime="fake",
    runtime_version="1.0",
    inputs=(TensorSpec(shape=(1, 4), dtype="int8", scale=0.5, zero_point=-1),),
    outputs=(TensorSpec(shape=(1, 2), dtype="int8", scale=0.25, zero_point=3),),
)


class Bench:
    """The board that the dialogues describe, its clock, and what it has sent."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sent = b""
        self._setup_status = Status.OK
        self.boot()

    def boot(self) -> None:
        self._ticks = 0xFFFFFFF0
        self._invokes = self._extra = self._fails = 0
        self.board = FakeBoard(self)

    def next_setup_status(self) -> Status:
        status, self._setup_status = self._setup_status, Status.OK
        return status

    def set(self, name: str, value: str) -> None:
        if name == "note":
            self.board.hello = replace(self.board.hello, note=value.strip('"'))
            return
        number = int(value)
        if name == "setup_status":
            self._setup_status = Status(number)
        elif name == "invoke_fails":
            self._fails = number
        else:
            assert name == "extra_ticks"
            self._extra, self._invokes = number, 0

    def send(self, data: bytes) -> None:
        for byte in data:
            self.sent += self.board.feed(bytes((byte,)))

    def expect(self, wanted: bytes) -> None:
        assert self.sent[: len(wanted)].hex() == wanted.hex()
        self.sent = self.sent[len(wanted) :]

    def expect_line(self, wanted: str) -> None:
        line, _, self.sent = self.sent.partition(b"\n")
        text = line.decode()
        if wanted.endswith("..."):
            assert text.startswith(wanted[:-3])
        else:
            assert text == wanted

    def count(self) -> int:
        self._ticks += 5
        return self._ticks

    def invoke(self, raw: bytes) -> bytes:
        if self._fails:
            self._fails -= 1
            if not self._fails:
                raise InvokeFailed
        self._ticks += self._extra * self._invokes
        self._invokes += 1
        a, b, c, d = np.frombuffer(raw, dtype=np.int8).astype(int)
        return np.clip([a + b, c - d], -128, 127).astype(np.int8).tobytes()


class FakeBoard(VirtualBoard):
    """Asks the bench for its setup status whenever it boots, also when told to by RESET."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        super().__init__(HELLO, bench.invoke, ticks=bench.count, clock=lambda: bench.now_s)

    def boot(self) -> None:
        self.hello = replace(HELLO, status=self._bench.next_setup_status())
        super().boot()


def sealed(text: str) -> bytes:
    """As `encode_frame`, but of any payload, also too short a one."""
    payload = bytes.fromhex(text)
    crc = zlib.crc32(payload).to_bytes(4, "little")
    return b"\0" + cobs.encode(payload + crc) + b"\0"


def step(bench: Bench, line: str) -> None:
    verb, _, rest = line.partition(" ")
    quoted = rest.partition('"')[2][:-1] if rest.startswith(("text", "command")) else None
    if not verb.startswith("<"):
        assert bench.sent.hex() == "", "not expected"
    if verb == ">":
        end = b"\n" if rest.startswith("text") else b"%"
        bench.send(sealed(rest) if quoted is None else quoted.encode() + end)
    elif verb == ">>":
        bench.send(bytes.fromhex(rest))
    elif verb == "<" and rest == "-":
        assert bench.sent == b""
    elif verb == "<" and quoted is not None:
        bench.expect_line(quoted)
    elif verb in ("<", "<<"):
        bench.expect(sealed(rest) if verb == "<" else bytes.fromhex(rest))
    elif verb == "wait":
        bench.now_s += int(rest) / 1000
    elif verb == "boot":
        bench.boot()
    else:
        assert verb == "set"
        bench.set(*rest.split(" ", 1))


def dialogues() -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    steps: list[tuple[int, str]] = []
    for number, line in enumerate(DIALOGUES.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("== "):
            steps = found.setdefault(line[3:], [])
        elif line and not line.startswith("#"):
            steps.append((number, line))
    return found


@pytest.mark.parametrize("name", dialogues())
def test_virtual_board_answers_as_the_firmware_does(name: str) -> None:
    bench = Bench()
    for number, line in dialogues()[name]:
        try:
            step(bench, line)
        except AssertionError as error:
            raise AssertionError(f"line {number}: {line}\n{error}") from error
    assert bench.sent == b""
