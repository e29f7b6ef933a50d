"""The board of tests/vectors/dialogues.txt, which tests/native/fake.cpp is for the firmware."""

from dataclasses import replace

import numpy as np
from fakes.described import hello
from fakes.steps import ObservedBoard, StepObserver

from harness.link.loading import Brought, Committed
from harness.link.protocol import BoardMemory, Capability, Hello, Status
from harness.link.virtual import InvokeFailed, _Refusal
from harness.link.virtual_loading import Loading
from harness.model.tensor import TensorSpec

HELLO = hello(
    capabilities=Capability.INFER | Capability.TENSORS | Capability.RESET | Capability.MEMORY,
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


RATES = (1_000_000, 460_800)
ECHO = (
    TensorSpec(shape=(), dtype="int32"),
    TensorSpec(shape=(2,), dtype="bool"),
    TensorSpec(shape=(), dtype="int64"),
    TensorSpec(shape=(3,), dtype="float32"),
    TensorSpec(shape=(2,), dtype="uint8", scale=0.5, zero_point=128),
    TensorSpec(shape=(), dtype="int16", scale=0.25),
)


class Bench:
    """The board that the dialogues describe, its clock, and what it has sent."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sent = b""
        self._setup_status = Status.OK
        self.steps = 0
        self.stateful = self.echo = self.rates = self.marks = False
        self.windows = ""
        self.brought: Brought | None = None
        self.room = 0
        self.boot()

    def boot(self) -> None:
        self._ticks = 0xFFFFFFF0
        self._invokes = self._extra = self._fails = 0
        self.begin_state()
        self.board = FakeBoard(self)

    def begin_state(self) -> None:
        self._held = self._reset_fails = 0

    def run(self, brought: Brought | None) -> None:
        self.brought = brought
        self._held = 0

    def next_setup_status(self) -> Status:
        status, self._setup_status = self._setup_status, Status.OK
        return status

    def set(self, name: str, value: str) -> None:
        if name == "note":
            self.board.note = value.strip('"')
            self.board.describe()
            return
        number = int(value)
        if name == "room":
            self.room = number
            self.board.provide(number)
        elif name == "stack_bytes":
            self.board.stack_bytes = number
            self.board.describe()
        elif name == "steps":
            self.steps = number
            self.board.describe()
        elif name == "echo":
            self.echo = bool(number)
            self.boot()
        elif name == "stateful":
            self.stateful = bool(number)
            self.board.describe()
        elif name == "energy":
            self.board.mlperf_energy = bool(number)
        elif name == "marks":
            self.marks = bool(number)
            self.board.describe()
        elif name == "rates":
            self.rates = bool(number)
            self.board.describe()
        elif name == "reset_fails":
            self._reset_fails = number
        elif name == "setup_status":
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

    def mark(self, open: bool) -> None:
        self.windows += "1" if open else "0"

    def expect_windows(self, wanted: str) -> None:
        windows, self.windows = self.windows, ""
        assert windows == wanted

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

    def pass_ticks(self, ticks: int) -> None:
        self._ticks += ticks

    def invoke(self, raw: bytes) -> bytes:
        if self._fails:
            self._fails -= 1
            if not self._fails:
                raise InvokeFailed
        self._ticks += self._extra * self._invokes
        self._invokes += 1
        brought = self.brought
        if self.echo if brought is None else brought.content[:1] == b"e":
            return raw
        a, b, c, d = np.frombuffer(raw, dtype=np.int8).astype(int)
        second = c - d + self._held
        self._held += self.stateful if brought is None else brought.stateful
        return np.clip([a + b, second], -128, 127).astype(np.int8).tobytes()

    def reset_state(self) -> None:
        if self._reset_fails:
            self._reset_fails -= 1
            if not self._reset_fails:
                raise InvokeFailed
        self._held = 0


class FakeModel:
    """The bench's model as the steps that it is said to have."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def steps(self) -> int:
        return self._bench.steps

    def invoke(self, raw: bytes, observer: StepObserver) -> bytes:
        for step in range(self.steps):
            observer.begin()
            self._bench.pass_ticks(10 * step)
            size = 100 * (step + 1)
            observer.end(bytes((raw[0] + step + at) & 0xFF for at in range(size)))
        return self._bench.invoke(raw)


OPERATORS = ("ADD", "CONV_2D", "SOFTMAX", "SignalFilterBankSpectralSubtraction")
REFUSED = {
    b"a": (Status.ARENA_TOO_SMALL, "the arena has 200 bytes, at least 300 are needed"),
    b"u": (Status.UNKNOWN_OPERATOR, "operator MUL"),
}


class FakeModels:
    """Takes any bytes for a model; the first one says what becomes of it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def swap(self, model: Brought) -> tuple[Committed, Hello | None]:
        first = model.content[:1]
        status, note = REFUSED.get(first, (Status.OK, ""))
        used = 300 if status is Status.ARENA_TOO_SMALL else len(model.content)
        said = Committed(status=status, arena_used=used, arena_capacity=200, note=note)
        if status is not Status.OK:
            return said, None
        self._bench.run(model)
        hello = replace(
            HELLO,
            arena_used=used,
            model=model.name,
            model_sha256=model.sha256,
            inputs=ECHO if first == b"e" else HELLO.inputs,
            outputs=ECHO if first == b"e" else HELLO.outputs,
        )
        return said, self._bench.board.announced(hello)

    def own(self) -> Hello:
        self._bench.run(None)
        return self._bench.board.own()


class FakeBoard(ObservedBoard):
    """Asks the bench for its setup status whenever it boots, also when told to by RESET."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        super().__init__(
            HELLO,
            bench.invoke,
            ticks=bench.count,
            clock=lambda: bench.now_s,
            observable=FakeModel(bench),
            reset_state=bench.reset_state,
            window=bench.mark,
        )
        if bench.room:
            self.provide(bench.room)

    def provide(self, room: int) -> None:
        """Make room for a model of so many bytes."""
        self._loading = (
            None
            if room == 0
            else Loading(
                FakeModels(self._bench),
                model_bytes=room,
                operators=OPERATORS,
                refuse=_Refusal,
                begins=self._begin_model,
            )
        )

    def boot(self) -> None:
        self.stack_bytes = 1000
        self.note = ""
        self._status = self._bench.next_setup_status()
        self._bench.begin_state()
        self._bench.brought = None
        self.describe()
        super().boot()

    def own(self) -> Hello:
        """HELLO of the model that is its own."""
        ends = ECHO if self._bench.echo else None
        return self.announced(
            replace(HELLO, inputs=ends or HELLO.inputs, outputs=ends or HELLO.outputs)
        )

    def describe(self) -> None:
        """Announce what the bench gave it: steps to observe, and a stack that is known."""
        self.hello = self.own() if self._bench.brought is None else self.announced(self.hello)
        # Three tenths of it used.
        self.memory = BoardMemory(
            stack_bytes=self.stack_bytes, stack_used_bytes=self.stack_bytes * 3 // 10
        )

    def announced(self, hello: Hello) -> Hello:
        """HELLO of a model with what the bench gave the board."""
        bench = self._bench
        kept = Capability.INFER | Capability.TENSORS | Capability.RESET
        steps = Capability.PROFILE if bench.steps else Capability(0)
        stack = Capability.MEMORY if self.stack_bytes else Capability(0)
        stateful = bench.stateful if bench.brought is None else bench.brought.stateful
        state = Capability.STATE if stateful else Capability(0)
        speed = Capability.SPEED if bench.rates else Capability(0)
        windows = Capability.WINDOWS if bench.marks else Capability(0)
        return replace(
            hello,
            status=self._status,
            capabilities=kept | steps | stack | state | speed | windows,
            rates=RATES if bench.rates else (),
            note=self.note,
        )
