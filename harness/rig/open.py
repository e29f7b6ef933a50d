"""A board made ready and its results gathered: lock, build, start, greet, compare, measure."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from harness.board.lock import hold
from harness.board.ports import THIS_MACHINE, Bench
from harness.board.registry import Board
from harness.board.rigfile import Plugged
from harness.errors import HilError, ModelError, PortLost, Where
from harness.firmware.build import Builder, Firmware
from harness.link.faults import parse_faults
from harness.link.link import LinkOptions, attach_link_log
from harness.measure.compare import Comparison, compare
from harness.model.artifact import Artifact
from harness.model.goldens import Reading
from harness.model.interpreters import Interpreter, References
from harness.model.tensor import dequantize
from harness.progress import Progress, no_progress
from harness.project import Project
from harness.rig.attach import Expected, Ready, at_port, emulated, plugged_in, virtual
from harness.rig.checks import Checks, Compared, HostRun, checks_for, run_batch
from harness.rig.flash import PlatformioUploader, Uploader
from harness.rig.real import RealBoard
from harness.rig.recovery import AGAIN, ANSWERS, ASKED, Attempt, recover
from harness.rig.virtual import virtual_build_id

VIRTUAL_SCHEME = "virtual:"
DEFAULT_MODEL = "sine"
DEFAULT_SAMPLES = 1000
DEFAULT_CSV = Path("reports/latency.csv")
DEFAULT_LOCK_TIMEOUT_S = 120.0
FLASH = ("auto", "always", "never")
"""`auto` skips an upload when HELLO shows the very build; `never` then raises StaleFirmware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RigOptions:
    """What a run was asked for, from the command line, ini file and environment.

    `port` overrides where a board is, else `plugged` says; `neighbours` are the rig file's other
    boards, whose ports are not this one's. `runtime` None is each board's default.
    `flash` is one of FLASH. `tflm` is a folder with a TFLM library to build with, instead of the
    one that the board's environment pins, and `arena_bytes` the capacity of its arena instead of
    the one planned from the model. Without `check_support` a model that the runtime is known to
    compute wrongly is built and run all the same. `profile` is for firmware that tells the time of
    each operator: not the one whose latency counts. `progress` is told of what takes a while.
    """

    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    runtime: str | None = None
    port: str | None = None
    link: LinkOptions = field(default_factory=LinkOptions)
    plugged: Plugged | None = None
    neighbours: tuple[Plugged, ...] = ()
    flash: str = "auto"
    tflm: Path | None = None
    arena_bytes: int | None = None
    check_support: bool = True
    progress: Progress = no_progress
    profile: bool = False

    @property
    def place(self) -> str | None:
        """The port or URL that somebody named for the board."""
        return self.port or (self.plugged.port if self.plugged else None)

    @property
    def patience(self) -> LinkOptions:
        """The link's, with the rig file's deadline for a reply."""
        if self.plugged is None:
            return self.link
        return replace(self.link, timeout_s=self.plugged.deadlines.reply_s)


class OpenBoard:
    """A board that answered HELLO with the very firmware and model asked for.

    `cold_ticks` is its first invoke since it was started, None if it ran before or if a measurement
    took it. `flash` is None where nothing was uploaded; `escalations` are the steps it took to make
    a silent board answer.
    """

    def __init__(
        self,
        *,
        declared: Board,
        artifact: Artifact,
        runtime: str,
        firmware: Firmware | None,
        ready: Ready,
        cold_ticks: int | None,
    ) -> None:
        self.declared = declared
        self.artifact = artifact
        self.runtime = runtime
        self.firmware = firmware
        self.dut = ready.dut
        self.flash = ready.flash
        self.escalations = ready.escalations
        self.cold_ticks = cold_ticks
        self._ready = ready
        self.session = uuid.uuid4().hex[:12]
        self.references = References(artifact)

    @property
    def port(self) -> str:
        """Where it was last."""
        return self._ready.port

    def recover(self, error: HilError) -> tuple[Attempt, ...]:
        """Bring the board back after an error of the link in mid-run.

        Raises:
            BoardSilent: nothing helped.
            StaleFirmware: it came back with other firmware.
        """
        steps = recover(self.dut, error, self._ready.remedies)
        self.escalations += steps
        self._ready.expected.check(self.dut.hello, self.dut.link.where)
        return steps

    def recover_in_run(self, error: HilError) -> tuple[Attempt, ...]:
        """As `recover`, after an error in mid-run, whose cause may be over by now: a stall.

        Returns:
            What was done, ending with the step that helped.
        """
        self.cold_ticks = None
        try:
            if isinstance(error, PortLost):
                self.dut.link.reopen()
            self.dut.greet(AGAIN)
        except HilError as last:
            return self.recover(last)
        self._ready.expected.check(self.dut.hello, self.dut.link.where)
        step = Attempt(action=ASKED, result=ANSWERS)
        self.escalations += (step,)
        return (step,)

    def take_cold(self) -> int | None:
        """Ticks of the first invoke since the board was started, for the first who asks."""
        cold_ticks, self.cold_ticks = self.cold_ticks, None
        return cold_ticks

    def reset(self) -> None:
        """Reset the board and see that it is the same.

        Raises:
            StaleFirmware: it came back with other firmware.
        """
        self.dut.reset()
        self._ready.expected.check(self.dut.hello, self.dut.link.where)

    @cached_property
    def checks(self) -> Checks:
        """What the board is compared on."""
        return checks_for(self.artifact)

    def comparison(self) -> Comparison:
        """Every check input on the board against the golden; asked again where it differs.

        The board is asked the first time only, which takes it seconds for a slow model.
        """
        return self.compared().result

    def compared(self) -> Compared:
        """The comparison and what was compared; the board is asked the first time only."""
        return self._compared

    @cached_property
    def _compared(self) -> Compared:
        checks = self.checks
        answered = Reading(
            source=f"board {self.declared.id}", outputs=self.dut.infer(checks.inputs).outputs
        )
        judge, stored = self._judges()
        repeated: tuple[Reading, ...] = ()
        others: tuple[Reading, ...] = ()
        if not np.array_equal(answered.outputs, judge.outputs):
            repeated = (
                Reading(source="staged", outputs=self.dut.infer_staged(checks.inputs).outputs),
                Reading(source="repeated", outputs=self.dut.infer(checks.inputs).outputs),
            )
            others = tuple(
                self._host_run(interpreter).reading
                for interpreter in (self.references.litert, self.references.xnnpack)
            )
        goldens = checks.goldens
        float_outputs = goldens.float_outputs if goldens else None
        if float_outputs is None and self.references.float32 is not None:
            reals = dequantize(checks.inputs, self.dut.input)
            float_outputs = run_batch(
                self.references.float32, reals, self.artifact.inputs[0]
            ).outputs
        result = compare(
            spec=self.dut.output,
            board=answered,
            golden=judge,
            stored=stored,
            repeated=repeated,
            others=others,
            float_outputs=float_outputs,
            truth=goldens.truth if goldens else None,
            in_domain=goldens.in_domain if goldens else None,
            bounds=self.artifact.bounds,
            labels=goldens.labels if goldens else None,
            activation=self.artifact.activation,
        )
        return Compared(result=result, board=answered, golden=judge, float_outputs=float_outputs)

    @property
    def host_p50_us(self) -> float | None:
        """Median microseconds of TFLM on the host over the check inputs; None without the wheel."""
        run = self._golden_run
        return None if run is None else float(statistics.median(run.latency_us.tolist()))

    @cached_property
    def _golden_run(self) -> HostRun | None:
        golden = self.references.golden
        return None if golden is None else self._host_run(golden)

    def _host_run(self, interpreter: Interpreter) -> HostRun:
        with self.dut.progress(f"{self.declared.id}: the same on this machine"):
            return run_batch(interpreter, self.checks.inputs, self.artifact.inputs[0])

    def _judges(self) -> tuple[Reading, Reading | None]:
        goldens = self.checks.goldens
        stored = None
        if goldens is not None:
            stored = Reading(source=f"stored {goldens.produced_by}", outputs=goldens.outputs)
        if self._golden_run is not None:
            return self._golden_run.reading, stored
        if stored is None:
            raise ModelError(
                "nothing to compare with: the file has no stored goldens, and there is no "
                "tflite-micro wheel on this machine",
                where=Where(board=self.declared.id, model=self.artifact.name),
            )
        return stored, None


@contextmanager
def open_board(
    board: Board,
    artifact: Artifact,
    project: Project,
    options: RigOptions,
    *,
    bench: Bench = THIS_MACHINE,
    upload: Uploader | None = None,
    held: bool = False,
) -> Iterator[OpenBoard]:
    """Build, lock, start or find, flash and greet a board; all is undone when the block ends.

    Args:
        upload: PlatformIO's if None.
        held: the caller holds the board's lock, for longer than the block.

    Raises:
        UnknownName: the board lacks the runtime.
        ModelError, ToolMissing, BuildFailed: nothing was started.
        BoardBusy, BoardNotFound, StartFailed, FlashFailed: it could not be had.
        StaleFirmware, BoardError: it is not what was built, or does not answer.
    """
    runtime = board.runtime(options.runtime)
    firmware = None
    if board.attachment == "virtual":
        build_id = virtual_build_id(artifact.sha256)
    else:
        builder = Builder(
            project,
            tflm=options.tflm,
            arena_bytes=options.arena_bytes,
            check_support=options.check_support,
            progress=options.progress,
            profile=options.profile,
        )
        firmware = builder.build(board, runtime, artifact)
        build_id = firmware.build_id
    expected = Expected(model_sha256=artifact.sha256, build_id=build_id, runtime=runtime)
    where = Where(board=board.id, model=artifact.name)
    with ExitStack() as stack:
        if not held:
            lock = hold(board.id, timeout_s=options.lock_timeout_s, progress=options.progress)
            stack.enter_context(lock)
        if board.attachment in ("serial", "url") and firmware is not None:
            uploader = upload or PlatformioUploader(project)
            road = _real(board, firmware, expected, where, options, bench, uploader)
        else:
            road = _started(board, firmware, artifact, expected, where, options)
        ready = stack.enter_context(road)
        ready.dut.progress = options.progress
        with attach_link_log(ready.dut.link):
            first = ready.dut.infer(checks_for(artifact).inputs[:1])
        yield OpenBoard(
            declared=board,
            artifact=artifact,
            runtime=runtime,
            firmware=firmware,
            ready=ready,
            cold_ticks=int(first.ticks[0]) if ready.fresh else None,
        )


def _real(
    board: Board,
    firmware: Firmware,
    expected: Expected,
    where: Where,
    options: RigOptions,
    bench: Bench,
    upload: Uploader,
) -> AbstractContextManager[Ready]:
    seat = RealBoard(
        board,
        port=options.port,
        plugged=options.plugged,
        neighbours=options.neighbours,
        where=where,
        bench=bench,
    )
    return plugged_in(
        seat,
        expected,
        partial(
            seat.flash,
            firmware,
            upload,
            lock_timeout_s=options.lock_timeout_s,
            progress=options.progress,
        ),
        policy=options.flash,
        options=options.patience,
    )


def _started(
    board: Board,
    firmware: Firmware | None,
    artifact: Artifact,
    expected: Expected,
    where: Where,
    options: RigOptions,
) -> AbstractContextManager[Ready]:
    port = options.place
    if port is not None and not port.startswith(VIRTUAL_SCHEME):
        return at_port(port, expected, where, options.patience)
    if board.emulator is not None and firmware is not None:
        return emulated(board.emulator, firmware, expected, where, options.patience)
    faults = parse_faults((port or "").removeprefix(VIRTUAL_SCHEME))
    where = replace(where, port=port or VIRTUAL_SCHEME)
    return virtual(artifact, faults, expected, where, options.patience)
