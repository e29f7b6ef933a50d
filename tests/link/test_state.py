"""A model with state over a link: independent samples, sequences, and what a loss does to them.

The board is the one of tests/vectors/dialogues.txt: its second output counts the invokes since the
state was reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fakes.fakeboard import Bench

from harness.errors import BoardRebooted, LinkTimeout, ProtocolError, Where
from harness.link.dut import Dut
from harness.link.faults import Faults, Noise
from harness.link.link import Link
from harness.link.protocol import Op, StateMode
from harness.link.streams import StreamClosed

WHERE = Where(board="fake", port="memory", model="counting")
ALL_LOST = range(10**6)


class Line:
    """A ByteStream to the bench; `lost` numbers the answers to INFER that do not come back."""

    def __init__(self, bench: Bench, faults: Faults | None = None) -> None:
        self.bench = bench
        self.lost: range | tuple[int, ...] = ()
        self.sent: list[int] = []
        self.before: dict[int, Callable[[], None]] = {}
        self.unplugged_at: int | None = None
        self._noise = Noise(faults or Faults())
        self._pending = b""

    def write(self, data: bytes) -> None:
        self.bench.now_s += 0.001
        ops = [op for op in (Op.INFER, Op.STATE) if _op_of(data) == op]
        self.sent += ops
        number = self.sent.count(Op.INFER) - 1
        if ops == [Op.INFER] and number in self.before:
            self.before.pop(number)()
        self.bench.send(self._noise(data))
        answer, self.bench.sent = self.bench.sent, b""
        if ops == [Op.INFER] and number in self.lost:
            answer = b"\0noise\0"
        self._pending += self._noise(answer)

    def read(self, timeout_s: float) -> bytes:
        if self.sent.count(Op.INFER) - 1 == self.unplugged_at:
            self.unplugged_at, self._pending = None, b""
            raise StreamClosed("unplugged")
        self.bench.now_s += 0 if self._pending else timeout_s
        data, self._pending = self._pending, b""
        return data

    def close(self) -> None:
        pass


def _op_of(data: bytes) -> int:
    """The op of a frame with a body that begins with no zero: COBS's code byte, seq, op."""
    frame = data.lstrip(b"\0")
    return frame[2] if len(frame) > 2 else 0


def opened(faults: Faults | None = None, *, stateful: bool = True) -> tuple[Dut, Line]:
    bench = Bench()
    bench.set("stateful", str(int(stateful)))
    line = Line(bench, faults)
    link = Link(line, where=WHERE, reopen=lambda: line, clock=lambda: bench.now_s)
    dut = Dut(link, clock=lambda: bench.now_s)
    dut.greet()
    return dut, line


def batch(count: int) -> np.ndarray:
    return np.tile(np.array([1, 2, 4, 3], dtype=np.int8), (count, 1))


def counts(outputs: np.ndarray) -> list[int]:
    """What the second outputs add to 4 - 3: invokes since the state was reset."""
    return [int(value) - 1 for value in outputs.reshape(-1, 2)[:, 1]]


def test_samples_do_not_depend_on_one_another() -> None:
    dut, _ = opened()
    assert dut.keeps_state
    for _ in range(2):
        assert counts(dut.infer(batch(5)).outputs) == [0] * 5
    assert counts(dut.infer_staged(batch(3)).outputs) == [0] * 3


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_sequence_begins_anew_and_goes_on_over_requests(count: int) -> None:
    dut, line = opened()
    for _ in range(2):
        line.sent.clear()
        outputs = dut.infer(batch(count), keep_state=True).outputs
        assert counts(outputs) == list(range(count))
        assert (line.sent[0], line.sent[-1]) == (Op.STATE, Op.STATE)
    assert count < 42 or line.sent.count(Op.INFER) > 2
    assert counts(dut.infer(batch(3)).outputs) == [0] * 3


def test_a_staged_sequence_is_the_same() -> None:
    dut, _ = opened()
    assert counts(dut.infer_staged(batch(4), keep_state=True).outputs) == [0, 1, 2, 3]


def test_measuring_neither_depends_on_state_nor_leaves_any() -> None:
    dut, line = opened()
    dut.infer(batch(7), keep_state=True)
    measured = dut.measure(batch(1), 30)
    assert measured.state == "reset"
    # What was last read back is an answer of a fresh state.
    assert counts(np.frombuffer(line.bench.board.output, dtype=np.int8)) == [0]
    assert counts(dut.infer(batch(3), keep_state=True).outputs) == [0, 1, 2]


def test_a_stream_is_measured_with_its_state_kept() -> None:
    dut, line = opened()
    measured = dut.measure(batch(1), 30, keep_state=True)
    assert measured.state == "kept"
    assert counts(np.frombuffer(line.bench.board.output, dtype=np.int8)) == [
        30 + measured.warmup - 1
    ]
    assert counts(dut.infer(batch(3)).outputs) == [0] * 3


def test_nothing_is_sent_for_a_model_without_state() -> None:
    dut, line = opened(stateful=False)
    dut.reset_state()
    assert dut.measure(batch(1), 3).state is None
    assert counts(dut.infer(batch(3), keep_state=True).outputs) == [0] * 3
    assert not dut.keeps_state and Op.STATE not in line.sent


def test_reset_state_is_of_now() -> None:
    dut, line = opened()
    dut.link.request(Op.STATE, bytes((StateMode.KEEP,)))
    dut.link.request(Op.INFER, b"\1\0" + batch(1).tobytes())
    line.sent.clear()
    dut.reset_state()
    assert line.sent == [Op.STATE]
    assert counts(dut.infer(batch(1)).outputs) == [0]


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_advance_the_state(seed: int) -> None:
    dut, _ = opened(Faults(flip=0.001, drop=0.001, seed=seed))
    found = dut.infer(batch(300), keep_state=True)
    assert counts(found.outputs) == [min(number, 126) for number in range(300)]
    assert found.retries > 0


def test_a_repeated_request_is_answered_again_and_not_run_again() -> None:
    dut, line = opened()
    line.lost = (0, 1)
    found = dut.infer(batch(1), keep_state=True)
    assert counts(found.outputs) == [0] and found.retries == 2


def test_a_part_that_is_lost_for_good_begins_the_sequence_anew() -> None:
    dut, line = opened()
    dut.infer(batch(100))  # Batches have grown.
    line.sent.clear()
    # The board ran the second part, but its answer never came: asked for less, it would go on.
    line.lost = (1, 2, 3, 4)
    assert counts(dut.infer(batch(100), keep_state=True).outputs) == list(range(100))
    begun = [number for number, op in enumerate(line.sent) if op is Op.STATE]
    assert len(begun) == 3 and line.sent[begun[1] - 4 : begun[1]] == [Op.INFER] * 4


def test_a_sequence_that_never_gets_through_ends_in_a_timeout_and_leaves_no_state() -> None:
    dut, line = opened()
    line.lost = ALL_LOST
    with pytest.raises(LinkTimeout):
        dut.infer(batch(100), keep_state=True)
    line.lost = ()
    assert counts(dut.infer(batch(3)).outputs) == [0] * 3


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_port_lost_in_a_sequence_and_found_again_costs_nothing(at: int) -> None:
    # The board ran the part whose answer was lost, and answers it from its memory.
    dut, line = opened()
    line.unplugged_at = at
    assert counts(dut.infer(batch(100), keep_state=True).outputs) == list(range(100))
    assert dut.link.stats.reconnects == 1


@pytest.mark.parametrize("at", [0, 1, 4])
def test_a_reboot_in_a_sequence_is_an_error_that_says_to_begin_anew(at: int) -> None:
    dut, line = opened()
    line.before[at] = line.bench.board.boot
    with pytest.raises(BoardRebooted, match="A sequence of 200 was under way: send it again"):
        dut.infer(batch(200), keep_state=True)
    dut.greet()
    assert counts(dut.infer(batch(9), keep_state=True).outputs) == list(range(9))


def test_another_who_speaks_to_the_board_is_noticed() -> None:
    dut, line = opened()
    line.before[1] = lambda: other_client(line.bench)
    with pytest.raises(ProtocolError, match="went through 101 invokes in a sequence of 100"):
        dut.infer(batch(100), keep_state=True)


def other_client(bench: Bench) -> None:
    bench.send(b"1 2 3 4\n")
    bench.sent = b""


def test_state_is_announced_anew_by_each_hello() -> None:
    dut, line = opened()
    line.bench.board.hello = replace(
        line.bench.board.hello, capabilities=opened(stateful=False)[0].hello.capabilities
    )
    dut.greet()
    assert not dut.keeps_state
