"""Rows of a measured board beside those of latency: its memory by owner, and its outputs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from harness.firmware.elf import memory_parts
from harness.measure.apart import columns
from harness.measure.tables import LatencyRow, MemoryRow, OutputRow
from harness.model.tensor import activate, dequantize
from harness.rig.opened import OpenBoard

MOST_OUTPUTS = 256
MOST_ELEMENTS = 16
"""Larger outputs are pictures, which rows of numbers do not show."""


def memory_rows(opened: OpenBoard, blank: LatencyRow, run: str) -> list[MemoryRow]:
    """Rows of memory.csv: bytes by owner and section; none where there is no firmware."""
    if opened.firmware is None:
        return []
    return [
        MemoryRow(
            run=run,
            time_utc=blank.time_utc,
            board=blank.board,
            runtime=blank.runtime,
            model=blank.model,
            dtype=blank.dtype,
            firmware_build=blank.firmware_build,
            **asdict(part),
        )
        for part in memory_parts(opened.firmware.elf)
    ]


def output_rows(opened: OpenBoard, run: str) -> list[OutputRow]:
    """Rows of outputs.csv: board, golden, float and truth; none for outputs that are pictures."""
    return [
        row
        for position in range(len(opened.dut.gives.specs))
        for row in _rows_of_output(opened, run, position)
    ]


def _rows_of_output(opened: OpenBoard, run: str, position: int) -> list[OutputRow]:
    """Rows of one output. What is known beside board and golden is of the first."""
    checks, artifact, compared = opened.checks, opened.artifact, opened.compared()
    takes, gives = opened.dut.takes, opened.dut.gives
    spec = gives.specs[position]
    if spec.elements > MOST_ELEMENTS:
        return []
    count = min(len(checks.inputs), MOST_OUTPUTS)
    board, golden = (
        columns(reading.outputs[:count])[position] for reading in (compared.board, compared.golden)
    )
    reals = [
        activate(dequantize(raw, spec), artifact.activation if position == 0 else None)
        for raw in (board, golden)
    ]
    floats = compared.float_outputs if position == 0 else None
    labels = checks.labels if position == 0 else None
    truth = checks.truth if position == 0 else None
    xs = None
    if takes.elements == 1:
        xs = dequantize(takes.columns(checks.inputs[:count])[0], takes.specs[0]).reshape(count)

    def of(values: NDArray[Any] | None, sample: int, element: int) -> float | None:
        return None if values is None else float(values[sample].reshape(-1)[element])

    return [
        OutputRow(
            run=run,
            board=opened.declared.id,
            runtime=opened.runtime,
            model=artifact.model,
            dtype=artifact.dtype,
            sample=sample,
            element=element,
            x=None if xs is None else float(xs[sample]),
            board_raw=float(board[sample, element]),
            golden_raw=float(golden[sample, element]),
            board_real=float(reals[0][sample, element]),
            golden_real=float(reals[1][sample, element]),
            float_real=of(floats, sample, element),
            truth=of(truth, sample, element),
            label=None if labels is None else int(labels[sample]),
            output=gives.names[position] if len(gives.specs) > 1 else None,
        )
        for sample in range(count)
        for element in range(spec.elements)
    ]
