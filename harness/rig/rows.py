"""Rows of the CSV files, made from the sessions of a measured board."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.registry import Board
from harness.errors import BoardRebooted
from harness.link.answers import Measurement
from harness.link.protocol import BoardMemory
from harness.measure.clock import SKIPPED, ClockRate, judge_clock
from harness.measure.latency import MASKED, UNMASKED, LatencySummary, summarize
from harness.measure.tables import RUN, SESSION, LatencyRow, SampleRow, time_text
from harness.rig.opened import OpenBoard
from harness.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Session:
    """One start of a board, measured; or the `error` that ended it.

    `began` says how it began: `start` of the board, `reset`, or `running` if neither came before.
    """

    number: int
    began: str
    id: str
    measured: Measurement | None = None
    cold_ticks: int | None = None
    clock: ClockRate | None = None
    memory: BoardMemory | None = None
    error: BoardRebooted | None = None


def what_is_open(opened: OpenBoard) -> dict[str, Any]:
    """The columns that say which board, runtime, model and firmware a row is of."""
    hello = opened.dut.hello
    return {
        "board": opened.declared.id,
        "board_uid": hello.board_uid or None,
        "port": opened.port,
        "mcu": opened.declared.mcu,
        "clock_hz": opened.declared.clock_hz,
        "emulated": opened.declared.emulated,
        "runtime": hello.runtime,
        "runtime_version": hello.runtime_version,
        "model": opened.artifact.model,
        "dtype": opened.artifact.dtype,
        "model_sha256": opened.artifact.sha256,
        "firmware_build": hello.build_id.hex(),
    }


def blank_row(opened: OpenBoard, *, run: str, commit: str | None, now: datetime) -> LatencyRow:
    """A row with everything that is known of the board without a measurement."""
    hello, compared, firmware = opened.dut.hello, opened.comparison(), opened.firmware
    classes = compared.classes
    row = LatencyRow(
        time_utc=time_text(now),
        git_commit=commit,
        session=opened.session,
        **what_is_open(opened),
        flash_bytes=firmware.flash_bytes if firmware else None,
        ram_bytes=firmware.ram_bytes if firmware else None,
        arena_used_bytes=hello.arena_used if hello.arena_capacity else None,
        reference=compared.reference,
        samples=compared.samples,
        mismatches=compared.mismatches,
        max_abs_lsb=compared.max_abs_lsb,
        mae_vs_float=compared.accuracy.mae_vs_float,
        max_abs_vs_truth=compared.accuracy.max_abs_vs_truth,
        retries=opened.dut.link.stats.retries,
        host_p50_us=opened.host_p50_us,
        verdict=compared.verdict.value,
        kernels=hello.kernels or None,
        tick_hz=hello.tick_hz,
        timer_step_ticks=hello.timer_step_ticks,
        timer_read_ticks=hello.timer_read_ticks,
        accuracy=classes.accuracy if classes else None,
        golden_accuracy=classes.golden_accuracy if classes else None,
        run=run,
        tolerance=compared.tolerance or None,
        model_in=opened.model_in,
        within_tolerance=compared.within,
        max_ulp=compared.max_ulp,
        wrong_outputs="; ".join(compared.wrong_outputs) or None,
        check_inputs=compared.inputs or None,
        host=platform.node() or None,
        harness_version=__version__,
        compiler=firmware.compiler if firmware else None,
        flags=firmware.flags if firmware else None,
        macs=opened.artifact.macs,
    )
    return replace(row, **asdict(firmware.memory)) if firmware else row


def _with_statistics(row: LatencyRow, summary: LatencySummary) -> LatencyRow:
    return replace(
        row,
        n=summary.n,
        warmup=summary.warmup,
        cold_us=summary.cold_us,
        min_us=summary.min_us,
        p50_us=summary.p50_us,
        mad_us=summary.mad_us,
        mean_us=summary.mean_us,
        std_us=summary.std_us,
        p95_us=summary.p95_us,
        p99_us=summary.p99_us,
        max_us=summary.max_us,
    )


def _with_stack(row: LatencyRow, memory: BoardMemory | None) -> LatencyRow:
    if memory is None:
        return row
    return replace(row, stack_bytes=memory.stack_bytes, stack_used_bytes=memory.stack_used_bytes)


def _instructions(opened: OpenBoard, measured: Measurement, ticks: NDArray[Any]) -> Any:
    """Exact instructions of each invoke on an emulated board that counts; None on any other."""
    ns = opened.declared.ns_per_instruction
    return None if ns is None else measured.timer.instructions(ticks, ns)


def _median_count(opened: OpenBoard, measured: Measurement, ticks: NDArray[Any]) -> int | None:
    counts = _instructions(opened, measured, ticks)
    return None if counts is None else int(np.median(counts))


def median_instructions(opened: OpenBoard, measured: Measurement) -> int | None:
    """Median exact instructions per invoke where they are counted; None on any other board."""
    return _median_count(opened, measured, measured.ticks)


MICROS_HZ = 1_000_000
"""The rate of `micros()`, which an Arduino port counts by where the CPU has no counter."""


def interrupts_in(board: Board, *, tick_hz: int, p50_us: float) -> str | None:
    """Whether a board's firmware leaves interrupts on in invokes of this length: `on` or `off`.

    None for a board without firmware. `micros()` may need them at any length.
    """
    if not board.env:
        return None
    unmasked = tick_hz == MICROS_HZ or p50_us >= (board.masked_us or 0)
    return UNMASKED if board.masked_us is not None and unmasked else MASKED


def _interrupts(row: LatencyRow, opened: OpenBoard) -> str | None:
    assert row.tick_hz is not None and row.p50_us is not None, "a row with statistics"
    return interrupts_in(opened.declared, tick_hz=row.tick_hz, p50_us=row.p50_us)


def _clock_columns(row: LatencyRow, opened: OpenBoard, rate: ClockRate | None) -> LatencyRow:
    row = replace(row, interrupts=_interrupts(row, opened))
    if opened.declared.emulated:
        return replace(row, clock_check=SKIPPED)
    return replace(
        row,
        clock_ppm=rate.ppm if rate else None,
        clock_ppm_error=rate.error_ppm if rate else None,
        clock_check=judge_clock(rate, opened.declared.clock_tolerance_ppm),
    )


def session_row(opened: OpenBoard, session: Session, blank: LatencyRow) -> LatencyRow:
    """The row of one session.

    Args:
        blank: the row of the same run without a measurement.
    """
    row = replace(
        blank,
        scope=SESSION,
        session=session.id,
        session_number=session.number,
        began=session.began,
    )
    measured = session.measured
    if measured is None:
        return replace(row, error=session.error.what if session.error else None)
    cold = session.cold_ticks
    cold_ticks = None if cold is None else np.array([cold], dtype=np.uint32)
    cold_us = None if cold_ticks is None else float(measured.timer.us(cold_ticks)[0])
    summary = summarize(measured.timer.us(measured.ticks), warmup=measured.warmup, cold_us=cold_us)
    row = replace(
        _with_statistics(_with_stack(row, session.memory), summary),
        instructions_p50=median_instructions(opened, measured),
        cold_instructions=None
        if cold_ticks is None
        else _median_count(opened, measured, cold_ticks),
        link_us=measured.link_us,
        state=measured.state,
    )
    return _clock_columns(row, opened, session.clock)


def run_row(
    opened: OpenBoard,
    sessions: Sequence[Session],
    session_rows: Sequence[LatencyRow],
    blank: LatencyRow,
) -> LatencyRow:
    """The row of a whole run: statistics over the samples of all its sessions.

    `session_p50_us` is the median of the sessions' medians, which baselines compare. The clock
    rate is that of the session that measured it most precisely.

    Args:
        session_rows: of the same sessions.
        blank: the row of the same run without a measurement.

    Raises:
        ValueError: no session was measured.
    """
    good = [(session, session.measured) for session in sessions if session.measured is not None]
    if not good:
        raise ValueError("no session of the run was measured")
    parts = [measured.timer.us(measured.ticks) for _, measured in good]
    colds = [row.cold_us for row in session_rows if row.cold_us is not None]
    counts = [row.cold_instructions for row in session_rows]
    cold_counts = [count for count in counts if count is not None]
    summary = summarize(
        np.concatenate(parts),
        warmup=sum(measured.warmup for _, measured in good),
        cold_us=float(np.median(colds)) if colds else None,
    )
    ticks = np.concatenate([measured.ticks for _, measured in good])
    rates = [session.clock for session, _ in good if session.clock is not None]
    # One session in which the clock was unsteady is not outvoted by steady ones.
    best = min(rates, key=lambda rate: (rate.steady, rate.error_ppm), default=None)
    memories = [session.memory for session, _ in good if session.memory is not None]
    deepest = max(memories, key=lambda memory: memory.stack_used_bytes, default=None)
    row = replace(
        _with_statistics(_with_stack(blank, deepest), summary),
        scope=RUN,
        session_p50_us=float(np.median([np.median(part) for part in parts])),
        instructions_p50=_median_count(opened, good[0][1], ticks),
        cold_instructions=int(np.median(cold_counts)) if cold_counts else None,
        link_us=float(np.median([measured.link_us for _, measured in good])),
        state=good[0][1].state,
        sessions=len(good),
        sessions_lost=len(sessions) - len(good),
    )
    return _clock_columns(row, opened, best)


def sample_rows(opened: OpenBoard, session: Session, run: str) -> list[SampleRow]:
    """Rows of samples.csv: one for every timed invoke of a session."""
    measured = session.measured
    if measured is None:
        return []
    counts = _instructions(opened, measured, measured.ticks)
    return [
        SampleRow(
            run=run,
            session_number=session.number,
            board=opened.declared.id,
            runtime=opened.runtime,
            model=opened.artifact.model,
            dtype=opened.artifact.dtype,
            index=index,
            ticks=int(ticks),
            us=float(us),
            instructions=None if counts is None else int(counts[index]),
        )
        for index, (ticks, us) in enumerate(
            zip(measured.ticks, measured.timer.us(measured.ticks), strict=True)
        )
    ]
