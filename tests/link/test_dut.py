"""The conversation with a board, over a virtual board in memory."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from fakes import described
from fakes.fakeboard import Bench

from harness.errors import (
    BoardStatus,
    LinkTimeout,
    ModelRefused,
    ProtocolError,
    StaleFirmware,
    TensorError,
    Where,
)
from harness.link.answers import MOST_IN_WINDOW
from harness.link.dut import MAX_WARMUP, Dut
from harness.link.faults import Faults, Noise
from harness.link.identity import check_identity, check_tensors
from harness.link.link import Link, LinkOptions
from harness.link.protocol import OF_THE_MODEL, BoardMemory, Capability, Hello, Status
from harness.link.virtual import InvokeFailed, VirtualBoard
from harness.model.tensor import TensorSpec

WHERE = Where(board="memory", port="none", model="negate")


def hello(elements: int = 2, **changes) -> Hello:
    spec = TensorSpec(shape=(1, elements), dtype="int8", scale=0.5, zero_point=1)
    return described.hello(**{"inputs": (spec,), "outputs": (spec,), **changes})


class Wire:
    """A ByteStream to a board that negates its input; the counter follows `durations`."""

    def __init__(self, described: Hello, faults: Faults | None = None, durations=(10,)) -> None:
        self.now = 0.0
        self.invokes = 0
        self.requests = 0
        self._durations = durations
        self._ticks = 0
        self._noise = Noise(faults or Faults())
        self._pending = b""
        self.board = VirtualBoard(
            described, self._invoke, ticks=lambda: self._ticks, clock=lambda: self.now
        )

    def _invoke(self, raw: bytes) -> bytes:
        self._ticks += self._durations[min(self.invokes, len(self._durations) - 1)]
        self.invokes += 1
        return (-np.frombuffer(raw, dtype=np.int8).astype(np.int16)).astype(np.int8).tobytes()

    def read(self, timeout_s: float) -> bytes:
        self.now += 0 if self._pending else timeout_s
        data, self._pending = self._pending, b""
        return data

    def write(self, data: bytes) -> None:
        self.now += 0.001
        self.requests += 1
        self._pending += self._noise(self.board.feed(self._noise(data)))

    def close(self) -> None:
        pass


def greeted(wire: Wire, options: LinkOptions | None = None) -> Dut:
    link = Link(wire, where=WHERE, clock=lambda: wire.now, options=options)
    dut = Dut(link, clock=lambda: wire.now)
    dut.greet()
    return dut


def samples(count: int, elements: int = 2) -> np.ndarray:
    random = np.random.default_rng(count)
    return random.integers(-127, 128, (count, elements)).astype(np.int8)


def test_a_batch_larger_than_a_frame_comes_back_in_order() -> None:
    dut = greeted(Wire(hello()))
    inputs = samples(1000)
    answered = dut.infer(inputs)
    np.testing.assert_array_equal(answered.outputs, -inputs)
    assert answered.ticks.tolist() == [10] * 1000 and answered.retries == 0


def test_a_tensor_larger_than_a_frame_travels_in_pieces_and_keeps_its_bytes() -> None:
    wire = Wire(hello(elements=1000))
    dut = greeted(wire)
    inputs = samples(3, 1000)
    assert dut.hello.max_infer == 0
    np.testing.assert_array_equal(dut.infer(inputs).outputs, -inputs)
    assert wire.invokes == 3


def test_both_paths_to_the_board_give_the_same_bytes() -> None:
    dut = greeted(Wire(hello()))
    inputs = samples(20)
    np.testing.assert_array_equal(dut.infer(inputs).outputs, dut.infer_staged(inputs).outputs)


def test_a_noisy_line_makes_smaller_batches_and_no_wrong_tensor() -> None:
    noise = Faults(flip=0.004, drop=0.001, duplicate=0.001, seed=2)
    wire = Wire(hello(), noise)
    dut = greeted(wire, LinkOptions(timeout_s=0.05, attempts=100, silent_attempts=100))
    inputs = samples(2000)
    answered = dut.infer(inputs)
    np.testing.assert_array_equal(answered.outputs, -inputs)
    stats = dut.link.stats
    assert 0 < answered.retries <= stats.retries
    # Every write to the line is a request, a retry, or the one 00 of a resync.
    assert wire.requests == stats.requests + stats.retries + 1


def test_silence_is_not_taken_for_noise() -> None:
    wire = Wire(hello())
    dut = greeted(wire)
    wire.board.feed = lambda data: b""
    with pytest.raises(LinkTimeout, match="no reply to INFER") as caught:
        dut.infer(samples(100))
    assert caught.value.attempts == LinkOptions().silent_attempts


def test_a_board_that_faulted_in_a_batch_is_not_asked_for_a_smaller_one() -> None:
    """Its silence then would be the error, and what its fault handler said forgotten."""
    wire = Wire(hello())
    dut = greeted(wire)
    dut.infer(samples(100))  # The first batch is small, to see what the board takes.
    said = [b"\0\0firmware fault: HardFault (BusFault) pc=0x08006084\n"]
    wire.board.feed = lambda data: said.pop() if said else b""
    with pytest.raises(LinkTimeout, match="no reply to INFER") as caught:
        dut.infer(samples(100))
    assert caught.value.fault == "firmware fault: HardFault (BusFault) pc=0x08006084"


def test_requests_are_cut_to_what_a_board_computes_in_their_time_budget() -> None:
    wire = Wire(hello())
    slow = wire._invoke

    def invoke(raw: bytes) -> bytes:
        wire.now += 0.3
        return slow(raw)

    wire.board._invoke = invoke
    dut = greeted(wire)
    before = dut.link.stats.requests
    dut.infer(samples(31))
    assert dut.link.stats.requests - before == 11  # one to learn, then three at a time


def test_warm_up_ends_when_two_invokes_agree_and_is_not_measured() -> None:
    wire = Wire(hello(), durations=(1000, 500, 300, 299, 100))
    measured = greeted(wire).measure(samples(1), 7)
    assert measured.warmup == 4
    assert measured.ticks.tolist() == [100] * 7
    assert measured.timer.us(measured.ticks).tolist() == [98.0] * 7


def test_warm_up_of_a_board_that_never_settles_ends_all_the_same() -> None:
    wire = Wire(hello(), durations=tuple(100 * (1 + index % 2) for index in range(100)))
    assert greeted(wire).measure(samples(1), 3).warmup == MAX_WARMUP


def test_warm_up_of_a_slow_board_that_never_settles_ends_after_some_seconds() -> None:
    wire = Wire(hello(), durations=tuple(10**6 * (1 + index % 2) for index in range(100)))
    assert greeted(wire).measure(samples(1), 3).warmup == 4  # 1 + 2 + 1 + 2 s


def test_how_many_invokes_are_timed_can_follow_from_the_last_of_the_warm_up() -> None:
    asked: list[int] = []
    wire = Wire(hello(), durations=(1000, 500, 300, 299, 100))
    measured = greeted(wire).measure(samples(1), lambda ticks: asked.append(ticks) or 6)
    assert (asked, measured.ticks.tolist()) == ([299], [100] * 6)


def test_reals_go_in_and_come_out_in_the_models_unit() -> None:
    outputs = greeted(Wire(hello())).infer_real(np.array([[1.0, -2.0]]))
    # q = 3, -3; negated -3, 3; real = 0.5 (q - 1)
    np.testing.assert_allclose(outputs, [[-2.0, 1.0]])


def test_reset_boots_the_board_and_opens_a_new_session() -> None:
    dut = greeted(Wire(hello()))
    assert dut.reset() == hello()
    assert len(dut.infer(samples(1)).outputs) == 1


def test_a_board_that_cannot_reset_is_not_asked_to() -> None:
    dut = greeted(Wire(hello(capabilities=Capability.INFER)))
    with pytest.raises(BoardStatus, match="board refused RESET: unsupported"):
        dut.reset()


def test_a_board_that_knows_no_stack_is_not_asked_for_it() -> None:
    wire = Wire(hello())
    dut = greeted(wire)
    before = wire.requests
    assert dut.memory() is None
    assert wire.requests == before


def test_a_board_says_how_deep_its_stack_was() -> None:
    wire = Wire(hello(capabilities=hello().capabilities | Capability.MEMORY))
    wire.board.memory = BoardMemory(stack_bytes=1000, stack_used_bytes=300)
    assert greeted(wire).memory() == wire.board.memory


def test_a_stack_of_which_more_than_all_is_used_is_the_boards_error() -> None:
    wire = Wire(hello(capabilities=hello().capabilities | Capability.MEMORY))
    wire.board.memory = BoardMemory(stack_bytes=1000, stack_used_bytes=1004)
    with pytest.raises(ProtocolError, match="1004 of 1000 bytes of stack .*board memory"):
        greeted(wire).memory()


def test_failed_setup_is_named_when_greeting() -> None:
    with pytest.raises(BoardStatus, match="setup: timer_stuck .board memory"):
        greeted(Wire(hello(status=Status.TIMER_STUCK)))


@pytest.mark.parametrize("status", OF_THE_MODEL)
def test_setup_that_fails_because_of_the_model_is_an_error_of_the_model(status: Status) -> None:
    name = status.name.lower()
    with pytest.raises(
        ModelRefused, match=f"answered setup with {name}: 12 B .board mem"
    ) as caught:
        greeted(Wire(hello(status=status, note="12 B")))
    assert (caught.value.op, caught.value.status, caught.value.note) == ("setup", name, "12 B")


def test_an_invoke_that_fails_is_an_error_of_the_model() -> None:
    def fail(raw: bytes) -> bytes:
        raise InvokeFailed

    wire = Wire(hello())
    dut = greeted(wire)
    wire.board._invoke = fail
    with pytest.raises(ModelRefused, match="answered INFER with invoke_failed .board memory"):
        dut.infer(np.zeros((1, 2), np.int8))


def two_of_each() -> Dut:
    """A board that negates five bytes: inputs of 2 and 3 come out as outputs of 1 and 4."""
    sizes = {size: TensorSpec(shape=(1, size), dtype="int8") for size in (1, 2, 3, 4)}
    described = hello(inputs=(sizes[2], sizes[3]), outputs=(sizes[1], sizes[4]))
    return greeted(Wire(described))


@pytest.mark.parametrize("path", ["infer", "infer_staged"])
def test_several_tensors_go_by_their_positions_until_they_are_named(path: str) -> None:
    dut = two_of_each()
    batch = {"1": samples(70, 3), "0": samples(70, 2)}
    expected = -np.hstack([batch["0"], batch["1"]])
    outputs = getattr(dut, path)(batch).outputs
    np.testing.assert_array_equal(outputs["0"], expected[:, :1])
    np.testing.assert_array_equal(outputs["1"], expected[:, 1:])

    names = [TensorSpec(shape=(1,), dtype="int8", name=name) for name in ("a", "b", "c", "d")]
    dut.name_tensors(names[:2], names[2:])
    named = getattr(dut, path)({"a": batch["0"], "b": batch["1"]}).outputs
    np.testing.assert_array_equal(named["d"], outputs["1"])
    with pytest.raises(TensorError, match="no tensor 'x': the model has 'a' of int8 .1, 2., 'b'"):
        dut.infer({"x": batch["0"], "b": batch["1"]})


def test_reals_of_several_tensors_come_back_by_name() -> None:
    dut = two_of_each()
    outputs = dut.infer_real([np.array([1.0, 2.5]), np.array([0, 0, 300])])
    # By hand: halves round away from zero, 300 saturates at 127.
    assert outputs["0"].tolist() == [[-1.0]]
    assert outputs["1"].tolist() == [[-3.0, 0.0, 0.0, -127.0]]


def test_several_tensors_are_timed_on_one_sample_of_all() -> None:
    dut = two_of_each()
    assert dut.measure([samples(1, 2), samples(1, 3)], 20).ticks.tolist() == [10] * 20


def test_another_dtype_is_not_cast_silently() -> None:
    with pytest.raises(TensorError, match="got float64"):
        greeted(Wire(hello())).infer(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("model SHA-256", {"model_sha256": bytes(32)}),
        ("build id", {"build_id": bytes(16)}),
        ("runtime", {"runtime": "tflm"}),
    ],
)
def test_firmware_that_is_not_what_was_built_is_refused(field: str, changes: dict) -> None:
    expected = {
        "where": WHERE,
        "model_sha256": bytes(range(32)).hex(),
        "build_id": bytes(range(16)).hex(),
        "runtime": "aot",
    }
    check_identity(hello(), **expected)
    said = f"different firmware than the one just built: {field} is .*board memory"
    with pytest.raises(StaleFirmware, match=said):
        check_identity(hello(**changes), **expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"scale": 0.75},
            "0.75, zero point 1], expected [1x2 int8, scale 0.5, zero point 1]",
        ),
        (
            {"zero_point": -3},
            "scale 0.5, zero point -3], expected [1x2 int8, scale 0.5, zero point 1]",
        ),
        ({"shape": (2, 1)}, "input 1 is [2x1 int8"),
        ({"dtype": "uint8"}, "input 1 is [1x2 uint8"),
    ],
)
def test_tensors_that_are_not_the_models_are_refused_and_both_are_shown(changes, said) -> None:
    good = hello()
    wanted = {"where": WHERE, "inputs": good.inputs, "outputs": good.outputs}
    check_tensors(good, **wanted)
    with pytest.raises(StaleFirmware) as caught:
        check_tensors(replace(good, inputs=(replace(good.inputs[0], **changes),)), **wanted)
    assert said in str(caught.value)
    with pytest.raises(StaleFirmware, match="number of outputs is 0, expected 1"):
        check_tensors(replace(good, outputs=()), **wanted)


class BenchWire:
    """A ByteStream to the board of the dialogues, with a model of so many steps."""

    def __init__(self, steps: int, spoil=lambda data: data) -> None:
        self.now = 0.0
        self.bench = Bench()
        self.bench.set("steps", str(steps))
        self._spoil = spoil

    def read(self, timeout_s: float) -> bytes:
        data, self.bench.sent = self.bench.sent, b""
        self.now += 0 if data else timeout_s
        return self._spoil(data)

    def write(self, data: bytes) -> None:
        self.now += 0.001
        self.bench.now_s = self.now
        self.bench.send(data)

    def close(self) -> None:
        pass


SAMPLE = np.zeros((1, 2), dtype=np.int8)
ZEROS = np.zeros((1, 4), dtype=np.int8)


@pytest.mark.parametrize("steps", [1, 58, 59, 60])
def test_ticks_of_all_steps_are_told_however_many_frames_it_takes(steps: int) -> None:
    ticks = greeted(BenchWire(steps)).profile(ZEROS, 2)
    # Each reading of that board's counter takes 5, and step i takes 10 * i.
    np.testing.assert_array_equal(ticks.steps, [[5 + 10 * step for step in range(steps)]] * 2)
    whole = 5 * (2 * steps + 1) + 10 * sum(range(steps))
    assert ticks.whole.tolist() == [whole] * 2
    assert (ticks.empty.tolist(), ticks.pitch.tolist()) == ([5, 5], [10, 10])
    assert ticks.timer.read_ticks == 5


def test_checksums_and_outputs_are_told_over_several_frames() -> None:
    dut = greeted(BenchWire(60))
    sample = np.array([[-128, 0, 0, 0]], dtype=np.int8)
    outputs = [
        bytes((128 + step + at) % 256 for at in range(100 * (step + 1))) for step in range(60)
    ]
    checksums = dut.step_checksums(sample)
    assert checksums.tolist() == [zlib.crc32(output) for output in outputs]
    for step in (0, 2, 59):
        assert dut.step_output(sample, step, checksum=int(checksums[step])) == outputs[step]


def test_output_that_fails_its_checksum_is_no_output() -> None:
    with pytest.raises(ProtocolError, match="step 1's output fails its checksum"):
        greeted(BenchWire(2)).step_output(ZEROS, 1, checksum=1)


def test_profile_over_a_noisy_link_is_the_same() -> None:
    noise = Noise(Faults(flip=0.002, seed=5))
    wire = BenchWire(60, spoil=noise)
    dut = greeted(wire, LinkOptions(timeout_s=0.5, attempts=20, silent_attempts=20))
    clean = greeted(BenchWire(60)).profile(ZEROS, 3)
    noisy = dut.profile(ZEROS, 3)
    assert dut.link.stats.retries > 0
    np.testing.assert_array_equal(noisy.steps, clean.steps)
    assert noisy.whole.tolist() == clean.whole.tolist()


def test_board_without_the_capability_is_not_asked_to_profile() -> None:
    wire = Wire(hello())
    dut = greeted(wire)
    asked = wire.requests
    for ask in (lambda: dut.profile(SAMPLE, 1), lambda: dut.step_checksums(SAMPLE)):
        with pytest.raises(BoardStatus, match="refused PROFILE: unsupported"):
            ask()
    assert wire.requests == asked


def test_a_window_is_as_many_invokes_as_asked_for_and_told_by_their_sums() -> None:
    wire = Wire(hello(timer_read_ticks=2))
    window = greeted(wire).run_window(samples(1), 5000)
    assert wire.invokes == window.invokes == 5000
    assert window.invoke_ticks == 50_000 and window.length_s == 0.05
    assert window.invokes_share == 1.0 and window.answered_s > window.sent_s


def test_a_window_of_too_many_invokes_is_refused_by_the_board() -> None:
    wire = Wire(hello())
    with pytest.raises(BoardStatus, match="more"):
        greeted(wire).run_window(samples(1), MOST_IN_WINDOW + 1)
    assert wire.invokes == 0


def test_who_marks_windows_says_so() -> None:
    plain = hello()
    assert not greeted(Wire(plain)).marks_windows
    marking = replace(plain, capabilities=plain.capabilities | Capability.WINDOWS)
    assert greeted(Wire(marking)).marks_windows
