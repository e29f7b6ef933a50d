"""A board made ready and its results gathered: lock, build, start, greet, compare, measure."""

from __future__ import annotations

import statistics
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.artifact import DEFAULT_DTYPE, Artifact, Goldens
from harness.board import Board
from harness.build import Builder, Firmware
from harness.compare import Comparison, Reading, compare
from harness.emulator import QemuProcess
from harness.errors import ModelError, RigError, Where
from harness.faults import parse_faults
from harness.latency import LatencySummary, summarize
from harness.link import ByteStream, Link, LinkOptions, log_kept, open_serial
from harness.lock import hold
from harness.project import Project
from harness.ptyboard import VirtualProcess, virtual_build_id
from harness.reference import HostRun, Interpreter, References, run_batch
from harness.report import LatencyRow, append_rows, table
from harness.rigfile import Plugged
from harness.runner import Dut, Measurement, check_identity

VIRTUAL_SCHEME = "virtual:"
DEFAULT_MODEL = "sine"
DEFAULT_SAMPLES = 1000
DEFAULT_CSV = Path("reports/latency.csv")
DEFAULT_LOCK_TIMEOUT_S = 120.0
FLASH = ("auto", "always", "never")
"""`auto` skips an upload when HELLO shows the very build; `never` then raises StaleFirmware."""
FOREIGN_SAMPLES = 256
FOREIGN_SEED = 20261121


@dataclass(frozen=True, slots=True, kw_only=True)
class RigOptions:
    """What a run was asked for, from the command line, ini file and environment.

    `port` overrides where a board is, else `plugged` says. `runtime` None is each board's default.
    `flash` is one of FLASH. `tflm` is a folder with a TFLM library to build with, instead of the
    one that the board's environment pins. Without `check_support` a model that the runtime is
    known to compute wrongly is built and run all the same.
    """

    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    runtime: str | None = None
    port: str | None = None
    link: LinkOptions = field(default_factory=LinkOptions)
    plugged: Plugged | None = None
    flash: str = "auto"
    tflm: Path | None = None
    check_support: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checks:
    """Inputs (k, ...) to compare a board on, and what is known of their outputs."""

    inputs: NDArray[Any]
    goldens: Goldens | None


def checks_for(artifact: Artifact) -> Checks:
    """The stored golden inputs; for a file without goldens, random inputs of a fixed seed."""
    if artifact.goldens is not None:
        return Checks(inputs=artifact.goldens.inputs, goldens=artifact.goldens)
    spec = artifact.inputs[0]
    shape = (FOREIGN_SAMPLES, *spec.shape[1:])
    random = np.random.default_rng(FOREIGN_SEED)
    if spec.dtype == "float32":
        return Checks(inputs=random.uniform(0, 1, shape).astype(np.float32), goldens=None)
    limits = np.iinfo(spec.dtype)
    inputs = random.integers(limits.min, limits.max, shape, dtype=spec.dtype, endpoint=True)
    return Checks(inputs=inputs, goldens=None)


class OpenBoard:
    """A board that answered HELLO with the very firmware and model asked for.

    `cold_ticks` is its first invoke since it was started, None if it ran before.
    """

    def __init__(
        self,
        *,
        board: Board,
        artifact: Artifact,
        runtime: str,
        firmware: Firmware | None,
        port: str,
        dut: Dut,
        cold_ticks: int | None,
    ) -> None:
        self.board = board
        self.artifact = artifact
        self.runtime = runtime
        self.firmware = firmware
        self.port = port
        self.dut = dut
        self.cold_ticks = cold_ticks
        self.session = uuid.uuid4().hex[:12]
        self.references = References(artifact)

    @cached_property
    def checks(self) -> Checks:
        """What the board is compared on."""
        return checks_for(self.artifact)

    @cached_property
    def comparison(self) -> Comparison:
        """Every check input on the board against the golden; asked again where it differs."""
        checks = self.checks
        answered = Reading(
            source=f"board {self.board.id}", outputs=self.dut.infer(checks.inputs).outputs
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
        return compare(
            spec=self.dut.output,
            board=answered,
            golden=judge,
            stored=stored,
            repeated=repeated,
            others=others,
            float_outputs=goldens.float_outputs if goldens else None,
            truth=goldens.truth if goldens else None,
            in_domain=goldens.in_domain if goldens else None,
            bounds=self.artifact.bounds,
        )

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
                where=Where(board=self.board.id, model=self.artifact.name),
            )
        return stored, None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attached:
    """An open stream to a board, what to call its port, and how to open it again."""

    stream: ByteStream
    port: str
    reopen: Callable[[], ByteStream]


@contextmanager
def _attached(
    board: Board, firmware: Firmware | None, artifact: Artifact, port: str | None
) -> Iterator[_Attached]:
    where = Where(board=board.id, port=port, model=artifact.name)
    if port is not None and not port.startswith(VIRTUAL_SCHEME):
        stream = open_serial(port, where=where)
        with closing(stream):
            reopen = partial(open_serial, port, where=where)
            yield _Attached(stream=stream, port=port, reopen=reopen)
    elif board.emulator is not None and firmware is not None:
        with QemuProcess(board.emulator, firmware.elf, where=where) as emulator:
            name = f"qemu:{board.emulator.machine}"
            yield _Attached(stream=emulator.stream, port=name, reopen=emulator.reopen)
    elif board.attachment == "virtual":
        faults = parse_faults((port or "").removeprefix(VIRTUAL_SCHEME))
        with VirtualProcess(artifact, faults, where=where) as process:
            name = port or VIRTUAL_SCHEME
            yield _Attached(stream=process.stream, port=name, reopen=process.reopen)
    else:
        raise RigError(
            f"attachment {board.attachment} is not driven yet", where=Where(board=board.id)
        )


@contextmanager
def open_board(
    board: Board, artifact: Artifact, project: Project, options: RigOptions
) -> Iterator[OpenBoard]:
    """Build, lock, start and greet a board; everything is undone when the block ends.

    Raises:
        UnknownName: the board lacks the runtime.
        ModelError, ToolMissing, BuildFailed: nothing was started.
        BoardBusy, StartFailed: it could not be had.
        StaleFirmware, BoardError: it is not what was built, or does not answer.
    """
    runtime = board.runtime(options.runtime)
    firmware = None
    if board.attachment == "virtual":
        expected = virtual_build_id(artifact.sha256)
    else:
        firmware = Builder(project).build(board, runtime, artifact)
        expected = firmware.build_id
    with (
        hold(board.id, timeout_s=options.lock_timeout_s),
        _attached(board, firmware, artifact, options.port) as attached,
    ):
        where = Where(board=board.id, port=attached.port, model=artifact.name)
        link = Link(attached.stream, where=where, options=options.link, reopen=attached.reopen)
        with closing(link), log_kept(link):
            dut = Dut(link)
            check_identity(
                dut.greet(),
                where=where,
                model_sha256=artifact.sha256,
                build_id=expected,
                runtime=runtime,
            )
            first = dut.infer(checks_for(artifact).inputs[:1])
            yield OpenBoard(
                board=board,
                artifact=artifact,
                runtime=runtime,
                firmware=firmware,
                port=attached.port,
                dut=dut,
                cold_ticks=int(first.ticks[0]) if options.port is None else None,
            )


def git_commit(root: Path) -> str | None:
    """Short hash of the checkout's HEAD, with `-dirty` if files differ; None outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def summarize_measurement(opened: OpenBoard, measured: Measurement) -> LatencySummary:
    """Latency of a measurement, with the cold first invoke where it was seen."""
    timer = measured.timer
    cold = None
    if opened.cold_ticks is not None:
        cold = float(timer.us(np.array([opened.cold_ticks], dtype=np.uint32))[0])
    return summarize(timer.us(measured.ticks), warmup=measured.warmup, cold_us=cold)


def median_instructions(opened: OpenBoard, measured: Measurement) -> int | None:
    """Median exact instructions per invoke under QEMU; None on any other board."""
    emulator = opened.board.emulator
    if emulator is None:
        return None
    counts = measured.timer.instructions(measured.ticks, emulator.icount_shift)
    return int(np.median(counts))


def latency_row(
    opened: OpenBoard, measured: Measurement, *, commit: str | None, now: datetime | None = None
) -> LatencyRow:
    """The CSV row of one measurement, with the board's comparison."""
    hello, compared = opened.dut.hello, opened.comparison
    summary = summarize_measurement(opened, measured)
    return LatencyRow(
        time_utc=(now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        git_commit=commit,
        session=opened.session,
        board=opened.board.id,
        board_uid=hello.board_uid or None,
        port=opened.port,
        mcu=opened.board.mcu,
        clock_hz=opened.board.clock_hz,
        emulated=opened.board.emulated,
        runtime=hello.runtime,
        runtime_version=hello.runtime_version,
        model=opened.artifact.model,
        dtype=opened.artifact.dtype,
        model_sha256=opened.artifact.sha256,
        firmware_build=hello.build_id.hex(),
        flash_bytes=opened.firmware.flash_bytes if opened.firmware else None,
        ram_bytes=opened.firmware.ram_bytes if opened.firmware else None,
        arena_used_bytes=hello.arena_used if hello.arena_capacity else None,
        reference=compared.reference,
        samples=compared.samples,
        mismatches=compared.mismatches,
        max_abs_lsb=compared.max_abs_lsb,
        mae_vs_float=compared.accuracy.mae_vs_float,
        max_abs_vs_truth=compared.accuracy.max_abs_vs_truth,
        retries=opened.dut.link.stats.retries,
        n=summary.n,
        warmup=summary.warmup,
        cold_us=summary.cold_us,
        min_us=summary.min_us,
        p50_us=summary.p50_us,
        mad_us=summary.mad_us,
        mean_us=summary.mean_us,
        p95_us=summary.p95_us,
        p99_us=summary.p99_us,
        max_us=summary.max_us,
        instructions_p50=median_instructions(opened, measured),
        host_p50_us=opened.host_p50_us,
        verdict=compared.verdict.value,
        kernels=hello.kernels or None,
        tick_hz=hello.tick_hz,
        timer_step_ticks=hello.timer_step_ticks,
        timer_read_ticks=hello.timer_read_ticks,
    )


def record(
    opened: OpenBoard,
    *,
    samples: int,
    csv: Path,
    commit: str | None,
    sample: NDArray[Any] | None = None,
) -> LatencyRow:
    """Measure a board, append the row to the CSV at once and return it.

    Args:
        samples: timed invokes.
        sample: one input; the first check input if None.
    """
    chosen = opened.checks.inputs[:1] if sample is None else np.asarray(sample)
    row = latency_row(opened, opened.dut.measure(chosen, samples), commit=commit)
    append_rows(csv, [row])
    return row


SUMMARY_HEADINGS = (
    "board",
    "runtime",
    "model",
    "differ",
    "median",
    "p99 us",
    "flash",
    "arena",
    "verdict",
)


def summary(rows: list[LatencyRow], csv: Path) -> str:
    """The table a run ends with, and where its rows were appended."""
    lines = [table(SUMMARY_HEADINGS, [_summary_cells(row) for row in rows])]
    if any(row.emulated for row in rows):
        lines.append("emulated boards: not time on silicon")
    return "\n".join([*lines, f"appended to {csv}"])


def _summary_cells(row: LatencyRow) -> tuple[str, ...]:
    return (
        row.board,
        row.runtime,
        row.model if row.dtype == DEFAULT_DTYPE else f"{row.model}_{row.dtype}",
        f"{row.mismatches}/{row.samples}",
        _latency_text(row),
        "-" if row.p99_us is None else f"{row.p99_us:.1f}",
        "-" if row.flash_bytes is None else str(row.flash_bytes),
        "-" if row.arena_used_bytes is None else str(row.arena_used_bytes),
        row.verdict or "-",
    )


def _latency_text(row: LatencyRow) -> str:
    if row.instructions_p50 is not None:
        return f"{row.instructions_p50} instr"
    return "-" if row.p50_us is None else f"{row.p50_us:.1f} us"
