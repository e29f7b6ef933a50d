"""Profiles of runs as rows of layers.csv, without a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.measure.tables import LayerRow

CNN = (
    ("CONV_2D", "conv1", "1x26x26x8", 655713),
    ("MAX_POOL_2D", "pool1", "1x13x13x8", 70216),
    ("CONV_2D", "conv2", "1x11x11x16", 416506),
    ("FULLY_CONNECTED", "dense", "1x10", 3060),
)
"""Operators by kind, name, shape of the output and what they take."""


def counted(run: str, operators: Sequence[tuple[str, str, str, int]] = CNN, **changes: Any) -> list:
    """A profile of exact instructions, as of an emulated board."""
    whole = sum(count for *_, count in operators) + 34
    return [
        replace(
            _row(run, index, operator, name, shape),
            instructions_p50=count,
            p50_us=count / 8,
            whole_instructions=whole,
            between_instructions=34,
            observing_instructions=117,
            **changes,
        )
        for index, (operator, name, shape, count) in enumerate(operators)
    ]


def timed(
    run: str,
    sessions: Sequence[Sequence[float]],
    *,
    step_us: float = 0.01,
    between: Sequence[float] | None = None,
    **changes: Any,
) -> list[LayerRow]:
    """A profile of a real board: of each operator one figure in us of each session."""
    gaps = [1.0] * len(sessions[0]) if between is None else between
    return [
        replace(
            _row(run, index, "CONV_2D", f"conv{index}", "1x8x8x4"),
            emulated=False,
            p50_us=sorted(figures)[len(figures) // 2],
            sessions=len(figures),
            session_p50_us=_text(figures),
            session_between_us=_text(gaps),
            timer_step_us=step_us,
            **changes,
        )
        for index, figures in enumerate(sessions)
    ]


def _text(figures: Sequence[float]) -> str:
    return " ".join(f"{figure:.6g}" for figure in figures)


def _row(run: str, index: int, operator: str, name: str, shape: str) -> LayerRow:
    return LayerRow(
        run=run,
        time_utc="2026-11-21T06:00:00Z",
        board="nano",
        emulated=True,
        clock_hz=64_000_000,
        runtime="tflm",
        runtime_version="1.0",
        model="sine",
        dtype="int8",
        model_sha256="ab",
        firmware_build="cdef" * 8,
        index=index,
        operator=operator,
        name=name,
        shape=shape,
        macs=0,
        n=10,
        p50_ticks=1.0,
        p50_us=1.0,
        instructions_p50=None,
        macs_per_cycle=None,
        macs_per_instruction=None,
        share=0.1,
        whole_us=1.0,
        between_us=1.0,
        observing_us=0.1,
        whole_instructions=None,
        between_instructions=None,
        observing_instructions=None,
    )
