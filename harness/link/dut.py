"""The conversation with a board over an open link: hello, invoke, warm up, measure."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import (
    BoardRebooted,
    BoardStatus,
    LinkTimeout,
    ModelRefused,
    ProtocolError,
    located,
)
from harness.link.answers import Inference, Measurement, Window
from harness.link.link import Link, LinkOptions
from harness.link.loading import Errand, bring
from harness.link.protocol import (
    OF_THE_MODEL,
    VERSION,
    BoardMemory,
    Capability,
    Hello,
    Op,
    Status,
    StepValues,
    What,
    infer_body,
    max_run_count,
    parse_hello,
    parse_infer,
    parse_long_run,
    parse_memory,
    parse_run,
    parse_step_output,
    parse_step_values,
    profile_body,
    run_body,
)
from harness.link.state import KEPT, RESET, BoardState
from harness.measure.clock import ClockStamp
from harness.measure.latency import TimedRequest, Timer, agree
from harness.measure.profile import StepTicks
from harness.model.samples import Batch, Layout
from harness.model.tensor import TensorSpec, dequantize
from harness.progress import Progress, no_progress

REQUEST_BUDGET_S = 1.0
"""Batches are cut so that one request keeps the board busy for about this long at most."""

AFTER_RESET = LinkOptions(timeout_s=0.1, attempts=50, silent_attempts=50)
"""What is sent while a board resets is lost: ask again soon, for 5 s."""

BATCH_ATTEMPTS = 4
"""A batch that comes through damaged this often is cut: the smaller frame has better chances."""

MAX_WARMUP = 50
MOST_REQUESTS = 10_000
"""Of one measurement that are remembered, to be held against the host's clock."""
MAX_WARMUP_S = 5.0
"""By the board's counter, of slow models whose invokes do not agree."""

_LAP = re.compile(r"m-lap-us-([0-9]{1,20})")
_PATIENCE = 10
"""A request may take this many times what the invokes before it took."""

MOST_COMPUTE_S = 600.0
"""No request may take longer: a board that answers ever later would be waited for ever longer."""

_CLOCK_ATTEMPTS = 3
"""A board that leaves so many questions for its time unanswered, one after another, has none."""


NOT_OBSERVABLE = """\
Its firmware was not built to be profiled: hil profile and pytest --hil-profile build one that is.
The virtual board never can: TFLM's Python package runs whole models only."""


def _named(specs: Sequence[TensorSpec], names: Sequence[str]) -> Layout:
    known = names if len(names) == len(specs) else [spec.name for spec in specs]
    return Layout(
        specs=tuple(replace(spec, name=name) for spec, name in zip(specs, known, strict=True))
    )


class Dut:
    """The board's own API: what it says of itself, and inference on it.

    A model with one input takes an array, one with several a mapping by name or a sequence in the
    model's order; outputs come as an array or, if there are several, as a dict by name. A sample is
    what one invoke takes: of a model with a batch size above 1, a whole batch.

    Args:
        link: open; greeted by `greet` before anything else.
        errand: the model to bring to it whenever it is greeted and does not run that.
        clock: seconds, monotonic; measures how long requests take, to set deadlines.
    """

    def __init__(
        self,
        link: Link,
        *,
        errand: Errand | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self._errand = errand
        self._clock = clock
        self._hello: Hello | None = None
        self._names: tuple[Sequence[str], Sequence[str]] = ((), ())
        self._invoke_s = 0.0
        self._requests: deque[TimedRequest] = deque(maxlen=MOST_REQUESTS)
        self._batch = 0
        self._clock_silences = 0
        self._state = BoardState(link)
        self.progress: Progress = no_progress
        """Told of inference on many samples and of timed invokes."""

    @property
    def hello(self) -> Hello:
        """The board's last HELLO."""
        if self._hello is None:
            raise ProtocolError("no HELLO yet", where=self.link.where)
        return self._hello

    @property
    def input(self) -> TensorSpec:
        """The model's first input tensor."""
        return self.takes.specs[0]

    @property
    def output(self) -> TensorSpec:
        """The model's first output tensor."""
        return self.gives.specs[0]

    @property
    def takes(self) -> Layout:
        """All input tensors."""
        return _named(self.hello.inputs, self._names[0])

    @property
    def gives(self) -> Layout:
        """All output tensors."""
        return _named(self.hello.outputs, self._names[1])

    def name_tensors(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        """Take the tensors' names from the model's file: HELLO carries none.

        Without this, tensors are called by their positions.
        """
        self._names = ([spec.name for spec in inputs], [spec.name for spec in outputs])

    @property
    def timer(self) -> Timer:
        """The board's counter, as HELLO describes it."""
        return Timer(
            hz=self.hello.tick_hz,
            read_ticks=self.hello.timer_read_ticks,
            step_ticks=self.hello.timer_step_ticks,
        )

    def greet(self, options: LinkOptions | None = None) -> Hello:
        """Resynchronize and say HELLO.

        Args:
            options: timeouts and attempts to use instead of the link's.

        Raises:
            BoardStatus: the board answers, but its setup failed.
            ModelRefused: the same, because of its model.
            ProtocolError: it speaks another version, or its HELLO is malformed.
            BoardTalks: it sends without being asked.
            SwapRefused: it does not take the model that is to be brought to it.

        The line then goes to the fastest rate that the board offers and the line carries.
        """
        self._clock_silences = 0
        self.link.speed.begin()
        self.link.resync()
        hello = self._say_hello(options)
        self.link.speed.offer(hello.rates)
        if self._errand is not None and self._errand.is_due(hello):
            bring(self.link, hello, self._errand.model)
            hello = self._say_hello(options)
        return hello

    def _say_hello(self, options: LinkOptions | None) -> Hello:
        said = self.link.request(Op.HELLO, bytes((VERSION,)), options=options)
        with located(self.link.where):
            self._hello = parse_hello(said)
        self.link.expect_payload(self._hello.max_payload)
        if self._hello.status in OF_THE_MODEL:
            raise ModelRefused(
                where=self.link.where,
                op="setup",
                status=self._hello.status.name.lower(),
                note=self._hello.note,
            )
        if self._hello.status is not Status.OK:
            raise BoardStatus(
                where=self.link.where,
                op="setup",
                status=self._hello.status.name.lower(),
                detail=0,
                field="",
                note=self._hello.note,
            )
        self._batch = max(self._hello.max_infer, self._max_run)
        self._state.greeted(self._hello, options)
        return self._hello

    def resync(self) -> None:
        """Find the frame boundary again and check that the board still knows this session.

        Raises:
            BoardRebooted: it does not know the session.
        """
        self.link.resync(quiet_s=0)
        self.link.request(Op.READ, struct.pack("<IH", 0, 1))

    @property
    def keeps_state(self) -> bool:
        """Whether the model keeps state from one invoke to the next, which this board can reset."""
        return self._state.present

    def reset_state(self) -> None:
        """Reset what the model keeps from one invoke to the next; nothing for one without state.

        `infer` does so by itself: before each sample, or at the start of a sequence.
        """
        self._state.reset()

    def infer(self, batch: Batch, *, keep_state: bool = False) -> Inference:
        """Invoke once for each sample, in batches as large as frames and time allow.

        A noisy link makes the batches smaller, a good one makes them grow again. Samples do not
        depend on one another: a model's state is reset before each.

        Args:
            batch: dtype of the input tensor, k samples in any shape of k times its elements; for
                several tensors as `Layout.pack` takes them.
            keep_state: the batch is one sequence, and the state is reset at its start only. If a
                part of it gets lost on a noisy link it is sent again from its start.

        Raises:
            TensorError: wrong dtype, a part of a sample, or a tensor that is absent or unknown.
            BoardRebooted: of a sequence, nothing is known then: send it again from its start.
        """
        if self.hello.max_infer == 0:
            return self.infer_staged(batch, keep_state=keep_state)
        raw = self._packed(batch)
        size = self.takes.size_bytes
        before = self.link.stats.retries
        outputs: list[bytes] = []
        ticks: list[NDArray[np.uint32]] = []

        def once(at: int, count: int) -> None:
            out, took = self._infer_once(count, raw[at * size : (at + count) * size])
            outputs.append(out)
            ticks.append(took)

        def begin() -> None:
            outputs.clear()
            ticks.clear()
            self._state.begin_sequence()

        count = len(raw) // size
        with self._as_samples(count, keep_state):
            again = begin if keep_state and self.keeps_state else None
            self._in_batches("inference", count, self.hello.max_infer, once, again)
        return self._inference(outputs, ticks, before)

    def infer_real(self, values: Batch, *, keep_state: bool = False) -> Any:
        """Quantize reals, invoke, dequantize.

        Args:
            values: as for `infer`, but in the model's unit and of any dtype.
            keep_state: as for `infer`.

        Returns:
            float32 outputs in the model's unit, as `Inference.outputs` has them.
        """
        answered = self.infer(self.takes.pack_real(values), keep_state=keep_state).samples
        columns = zip(self.gives.columns(answered), self.gives.specs, strict=True)
        reals = [dequantize(column, spec) for column, spec in columns]
        return reals[0] if len(reals) == 1 else dict(zip(self.gives.names, reals, strict=True))

    def infer_staged(self, batch: Batch, *, keep_state: bool = False) -> Inference:
        """As `infer`, by WRITE, RUN and READ for each sample: a second path to the same bytes."""
        raw = self._packed(batch)
        size = self.takes.size_bytes
        samples = [raw[at : at + size] for at in range(0, len(raw), size)]
        before = self.link.stats.retries
        outputs, ticks = [], []
        with (
            self._as_samples(len(samples), keep_state),
            self.progress(self._named("inference"), len(samples)) as advance,
        ):
            for sample in samples:
                self._write(sample)
                output_crc, took = self._run(sample, 1)
                outputs.append(self._read(output_crc))
                ticks.append(took)
                advance(1)
        return self._inference(outputs, ticks, before)

    def measure(
        self,
        sample: Batch,
        n: int | Callable[[int], int],
        *,
        cold: bool = False,
        keep_state: bool = False,
    ) -> Measurement:
        """Warm up on one input until two consecutive invokes agree, then time n invokes.

        Nothing is sent while the board runs. Raw ticks: subtract the read cost with `timer`.

        Args:
            n: how many, or what says so, given the raw ticks of the last invoke of the warm-up.
            cold: the board was just reset: its first invoke is kept, apart from the warm-up.
            keep_state: the invokes go on from one another's state, as in a stream, instead of
                having it reset before each. The reset is not timed.
        """
        raw = self._packed(sample)
        self._state.begin_sequence() if keep_state else self._state.per_sample()
        start = self._clock()
        self._write(raw)
        sent_s = self._clock() - start
        self._requests.clear()
        cold_ticks = int(self._run(raw, 1)[1][0]) if cold else None
        warmup, last = self._warm_up(raw)
        total = n if isinstance(n, int) else n(last)
        parts: list[NDArray[np.uint32]] = []
        checksums: list[int] = []

        def once(_: int, count: int) -> None:
            checksum, took = self._run(raw, count)
            checksums.append(checksum)
            parts.append(took)

        self._in_batches("timing", total, self._max_run, once)
        start = self._clock()
        self._read(checksums[-1])
        link_us = (sent_s + self._clock() - start) * 1e6
        self._state.per_sample()
        return Measurement(
            ticks=np.concatenate(parts),
            warmup=warmup,
            timer=self.timer,
            link_us=link_us,
            cold_ticks=cold_ticks,
            state=(KEPT if keep_state else RESET) if self.keeps_state else None,
            requests=tuple(self._requests),
        )

    @property
    def marks_windows(self) -> bool:
        """Whether a pin of the board is high while a window lasts."""
        return bool(self.hello.capabilities & Capability.WINDOWS)

    def run_window(self, sample: Batch, n: int) -> Window:
        """Invoke n times on one input, at most MOST_IN_WINDOW, in one window.

        The board sends nothing meanwhile; its line is idle. Warm it up before, by `measure`.

        Raises:
            BoardStatus: an invoke failed, or the firmware is older than this.
        """
        raw = self._packed(sample)
        self._state.per_sample()
        self._write(raw)
        sent_s = self._clock()
        reply = self._timed(Op.RUN, run_body(1, zlib.crc32(raw), n - 1), n)
        answered_s = self._clock()
        with located(self.link.where):
            ran = parse_long_run(reply, count=1)
        return Window(
            invokes=n,
            invoke_ticks=int(ran.ticks[0]) + ran.more_ticks,
            window_ticks=ran.window_ticks,
            timer=self.timer,
            sent_s=sent_s,
            answered_s=answered_s,
        )

    def read_clock(self) -> ClockStamp | None:
        """The board's time since it was started; None if the answer came through damaged.

        A board that does not answer at all is not asked for ever.
        """
        if self._clock_silences == _CLOCK_ATTEMPTS:
            return None
        before_s = self._clock()
        try:
            lines = self.link.ask_command("timestamp")
        except LinkTimeout:
            self._clock_silences += 1
            return None
        after_s = self._clock()
        match = _LAP.fullmatch(lines[-1]) if lines else None
        if match is None:
            return None
        self._clock_silences = 0
        return ClockStamp(before_s=before_s, after_s=after_s, board_us=int(match[1]))

    def memory(self) -> BoardMemory | None:
        """The largest stack depth since the board's reset; None if the board cannot tell.

        Ask after the invokes whose stack use you want to know.
        """
        if not self.hello.capabilities & Capability.MEMORY:
            return None
        reply = self.link.request(Op.MEMORY)
        with located(self.link.where):
            return parse_memory(reply)

    def profile(self, sample: Batch, n: int) -> StepTicks:
        """Warm up on one input, then take the time of each step in n invokes.

        Raises:
            BoardStatus: the board's firmware cannot be observed.
            ProtocolError: it has another number of steps each time.
        """
        raw = self._observed_input(sample)
        self._warm_up(raw)
        runs = [self._step_values(What.TICKS, raw) for _ in range(n)]
        for run in runs:
            if run.steps != runs[0].steps:
                raise ProtocolError(
                    f"PROFILE says {runs[0].steps} steps, then {run.steps}", where=self.link.where
                )
        return StepTicks(
            steps=np.stack([run.values for run in runs]),
            whole=np.array([run.whole_ticks for run in runs], dtype=np.uint32),
            empty=np.array([run.empty_ticks for run in runs], dtype=np.uint32),
            pitch=np.array([run.pitch_ticks for run in runs], dtype=np.uint32),
            timer=self.timer,
        )

    def step_checksums(self, sample: Batch) -> NDArray[np.uint32]:
        """CRC-32 of what each step writes in one invoke, taken before anything overwrites it.

        Raises:
            BoardStatus: the board's firmware cannot be observed.
        """
        return self._step_values(What.CHECKSUMS, self._observed_input(sample)).values

    def step_output(self, sample: Batch, step: int, *, checksum: int) -> bytes:
        """What a step writes, in as many invokes as it takes frames.

        Raises:
            BoardStatus: the board's firmware cannot be observed.
            ProtocolError: the pieces do not make up the `checksum`.
        """
        raw = self._observed_input(sample)
        crc = zlib.crc32(raw)
        got, size = b"", 1
        while len(got) < size:
            body = profile_body(What.OUTPUT, step, crc, len(got))
            with located(self.link.where):
                reply = self._timed(Op.PROFILE, body, 1)
                said, piece = parse_step_output(reply, offset=len(got))
                if got and said != size:
                    raise ProtocolError(f"step {step}'s output is {size} bytes, then {said}")
            got, size = got + piece, said
        if zlib.crc32(got) != checksum:
            raise ProtocolError(f"step {step}'s output fails its checksum", where=self.link.where)
        return got

    def reset(self) -> Hello:
        """Reset the board's CPU over the link and greet it anew.

        Raises:
            BoardStatus: the board cannot reset itself.
        """
        if not self.hello.capabilities & Capability.RESET:
            raise BoardStatus(
                where=self.link.where, op="RESET", status="unsupported", detail=0, field=""
            )
        self.link.request(Op.RESET)
        return self.greet(AFTER_RESET)

    @contextmanager
    def _as_samples(self, count: int, keep_state: bool) -> Iterator[None]:
        """Independent samples, or one sequence of which the board must have seen each once."""
        if not keep_state:
            self._state.per_sample()
            yield
            return
        self._state.begin_sequence()
        try:
            yield
            self._state.end_sequence(count)
        except BoardRebooted as error:
            error.hint += f"\nA sequence of {count} was under way: send it again from its start."
            raise

    def _inference(
        self, outputs: list[bytes], ticks: list[NDArray[np.uint32]], retries_before: int
    ) -> Inference:
        return Inference(
            samples=self.gives.from_bytes(b"".join(outputs)),
            layout=self.gives,
            ticks=np.concatenate(ticks),
            retries=self.link.stats.retries - retries_before,
        )

    def _packed(self, batch: Batch) -> bytes:
        return self.takes.to_bytes(self.takes.pack(batch))

    @property
    def _max_run(self) -> int:
        return max_run_count(self.hello.max_payload)

    def _affordable(self) -> int:
        """Invokes that fit into the time budget; a single one until its duration is known."""
        if self._invoke_s == 0.0:
            return 1
        return max(1, int(REQUEST_BUDGET_S / self._invoke_s))

    def _named(self, work: str) -> str:
        return f"{self.link.where.board}: {work}"

    def _in_batches(
        self,
        work: str,
        total: int,
        limit: int,
        once: Callable[[int, int], None],
        again: Callable[[], None] | None = None,
    ) -> None:
        """Call `once(at, count)` over `total` samples, as many at a time as link and time allow.

        Damaged bytes make the batches smaller, whole ones make them grow again; a batch that never
        gets through is cut in two and asked again.

        Args:
            again: begins anew, where a part cannot be asked again by itself: nobody knows whether
                the board ran it. Then parts do not grow any more beyond a size that was lost.
        """
        at = done = 0
        with self.progress(self._named(work), total) as advance:
            while at < total:
                count = min(self._batch, limit, total - at, self._affordable())
                before = self.link.stats.retries
                try:
                    once(at, count)
                except LinkTimeout as error:
                    if count == 1 or error.fault or not error.received:
                        raise
                    self._batch = max(1, count // 4)
                    if again is not None:
                        at, limit = 0, self._batch
                        again()
                    continue
                at += count
                advance(max(0, at - done))
                done = max(done, at)
                self._adapt(self.link.stats.retries - before)

    def _adapt(self, retries: int) -> None:
        if retries > 1:
            self._batch = max(1, self._batch // 2)
        elif retries == 0:
            most = max(self.hello.max_infer, self._max_run)
            self._batch = min(most, self._batch + 1 + self._batch // 16)

    def _timed(self, op: Op, body: bytes, invokes: int) -> bytes:
        compute_s = min(_PATIENCE * invokes * self._invoke_s or 10.0, MOST_COMPUTE_S)
        start = self._clock()
        before = self.link.stats
        options = self.link.options
        if invokes > 1:
            options = replace(options, attempts=min(options.attempts, BATCH_ATTEMPTS))
        reply = self.link.request(op, body, compute_s=compute_s, options=options)
        since = self.link.stats - before
        if since.retries == 0 or self._invoke_s == 0.0:
            took_s = (self._clock() - start) / invokes
            # A time-out is in it: the board may be slow, or its answer was lost.
            self._invoke_s = took_s / _PATIENCE * 2 if since.timeouts else took_s
        return reply

    def _infer_once(self, count: int, raw: bytes) -> tuple[bytes, NDArray[np.uint32]]:
        reply = self._timed(Op.INFER, infer_body(count, raw), count)
        with located(self.link.where):
            return parse_infer(reply, count=count, output_bytes=self.hello.output_bytes)

    def _observed_input(self, sample: Batch) -> bytes:
        """The sample's bytes, now on the board too."""
        if not self.hello.capabilities & Capability.PROFILE:
            raise BoardStatus(
                where=self.link.where,
                op="PROFILE",
                status="unsupported",
                detail=0,
                field="",
                note=NOT_OBSERVABLE,
            )
        raw = self._packed(sample)
        self._state.per_sample()
        self._write(raw)
        return raw

    def _step_values(self, what: What, raw: bytes) -> StepValues:
        """Values of all steps of one invoke, in as many frames as it takes."""
        parts: list[NDArray[np.uint32]] = []
        got, steps = 0, 1
        while got < steps:
            reply = self._timed(Op.PROFILE, profile_body(what, got, zlib.crc32(raw)), 1)
            with located(self.link.where):
                part = parse_step_values(reply, first=got)
                if got and part.steps != steps:
                    raise ProtocolError(f"PROFILE says {steps} steps, then {part.steps}")
            parts.append(part.values)
            got, steps = got + len(part.values), part.steps
        return replace(part, values=np.concatenate(parts))

    def _write(self, raw: bytes) -> None:
        room = self.hello.max_payload - 6
        for at in range(0, len(raw), room):
            piece = raw[at : at + room]
            end = self.link.request(Op.WRITE, at.to_bytes(4, "little") + piece)
            if int.from_bytes(end, "little") != at + len(piece):
                raise ProtocolError("WRITE was answered for another piece", where=self.link.where)

    def _run(self, raw: bytes, count: int) -> tuple[int, NDArray[np.uint32]]:
        start, retried = self._clock(), self.link.stats.retries
        reply = self._timed(Op.RUN, run_body(count, zlib.crc32(raw)), count)
        host_s, again = self._clock() - start, self.link.stats.retries > retried
        with located(self.link.where):
            checksum, ticks = parse_run(reply, count=count)
        self._requests.append(TimedRequest(ticks=ticks, host_s=host_s, again=again))
        return checksum, ticks

    def _read(self, output_crc: int) -> bytes:
        size = self.hello.output_bytes
        room = self.hello.max_payload - 2
        pieces = []
        for at in range(0, size, room):
            length = min(room, size - at)
            body = at.to_bytes(4, "little") + length.to_bytes(2, "little")
            pieces.append(self.link.request(Op.READ, body))
        raw = b"".join(pieces)
        if len(raw) != size or zlib.crc32(raw) != output_crc:
            raise ProtocolError("output read back fails its checksum", where=self.link.where)
        return raw

    def _warm_up(self, raw: bytes) -> tuple[int, int]:
        """How many invokes it took, and the ticks of the last."""
        took = [int(self._run(raw, 1)[1][0]) for _ in range(2)]
        while not agree(*took[-2:]):
            if len(took) == MAX_WARMUP or sum(took) > MAX_WARMUP_S * self.hello.tick_hz:
                break
            took.append(int(self._run(raw, 1)[1][0]))
        return len(took), took[-1]
