"""Profiling an open board operator by operator, and finding its first wrong operator."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.registry import Board
from harness.errors import ModelError, Where
from harness.firmware import host
from harness.measure.apart import beyond, differing, tolerances, usual
from harness.measure.csvfile import append, beside
from harness.measure.first_difference import FirstDifference, difference_at
from harness.measure.profile import Profile, profile_of, shape_text, step_name
from harness.measure.tables import LayerRow, time_text
from harness.model.artifact import Artifact
from harness.model.graph import Operator, Step, read_operators
from harness.model.samples import Batch
from harness.model.tensor import DTYPES
from harness.project import Project
from harness.rig.checks import run_batch
from harness.rig.open import OpenBoard, RigOptions, open_board

DEFAULT_RUNS = 10


def profile_board(
    opened: OpenBoard, *, n: int = DEFAULT_RUNS, sample: Batch | None = None
) -> Profile:
    """Median cost of each operator over n invokes on one input.

    Args:
        opened: with RigOptions(profile=True).
        sample: one input, as `Dut.infer` takes it; the first check input if None.

    Raises:
        BoardStatus: the board's firmware cannot be profiled.
    """
    chosen = opened.checks.inputs[:1] if sample is None else sample
    raw = opened.dut.profile(chosen, n)
    return profile_of(
        raw,
        _steps(opened),
        read_operators(opened.artifact),
        clock_hz=opened.declared.clock_hz,
        ns_per_instruction=opened.declared.ns_per_instruction,
    )


def append_profile(
    board: Board, artifact: Artifact, project: Project, options: RigOptions, *, run: str, csv: Path
) -> tuple[LayerRow, ...]:
    """Open a board with profiling firmware, append its profile to `layers.csv`, return the rows.

    Args:
        options: of the run that was measured, without profiling.
        run: id of the measured run that the profile belongs to.
        csv: latency.csv, which layers.csv is beside.
    """
    with open_board(board, artifact, project, replace(options, profile=True)) as opened:
        rows = layer_rows(opened, profile_board(opened), run=run)
    append(beside(csv, "layers"), rows)
    return rows


def layer_rows(
    opened: OpenBoard, profile: Profile, *, run: str, now: datetime | None = None
) -> tuple[LayerRow, ...]:
    """Rows of layers.csv, one per step.

    Args:
        run: id of the run that the profile belongs to.
    """
    hello = opened.dut.hello
    time_utc = time_text(now or datetime.now(timezone.utc))
    return tuple(
        LayerRow(
            run=run,
            time_utc=time_utc,
            board=opened.declared.id,
            emulated=opened.declared.emulated,
            clock_hz=opened.declared.clock_hz,
            runtime=hello.runtime,
            runtime_version=hello.runtime_version,
            model=opened.artifact.model,
            dtype=opened.artifact.dtype,
            model_sha256=opened.artifact.sha256,
            firmware_build=hello.build_id.hex(),
            index=layer.index,
            operator=layer.operator,
            name=layer.name,
            shape=shape_text(layer.shape),
            macs=layer.macs,
            n=profile.n,
            p50_ticks=layer.cost.ticks,
            p50_us=layer.cost.us,
            instructions_p50=layer.cost.instructions,
            macs_per_cycle=layer.macs_per_cycle,
            macs_per_instruction=layer.macs_per_instruction,
            share=layer.share,
            whole_us=profile.whole.us,
            between_us=profile.between.us,
            observing_us=profile.observing.us,
            whole_instructions=profile.whole.instructions,
            between_instructions=profile.between.instructions,
            observing_instructions=profile.observing.instructions,
        )
        for layer in profile.layers
    )


def _steps(opened: OpenBoard) -> tuple[Step, ...]:
    return opened.firmware.steps if opened.firmware else ()


def first_difference(
    opened: OpenBoard, *, sample: Batch | None = None, golden: Artifact | None = None
) -> FirstDifference | None:
    """The first operator whose output on the board is not the golden's; None if all are.

    Every step is compared, in the model's order: an error can cancel out further down, so a
    bisection could miss it. Checksums are compared, and only the output that differs is read. The
    golden is TFLM on the host, which keeps all tensors; LiteRT is a second opinion on that tensor.
    Floats may differ as outputs may where nobody states a tolerance.

    Args:
        opened: with RigOptions(profile=True).
        sample: one input; if None the first check input whose output is wrong, or the very first.
        golden: the model that the board should have run, if that is not the one it was built with.

    Raises:
        BoardStatus: the board's firmware cannot be profiled.
        ToolMissing: the TFLM wheel is not installed: stored goldens have no inner tensors.
        ModelError: the golden has other operators than the board's model.
    """
    model = golden or opened.artifact
    reference = host.tflm(model.content, name=model.name, keep_tensors=True)
    operators = _same_operators(opened.artifact, model)
    takes = opened.dut.takes
    chosen = _first_wrong(opened, reference) if sample is None else takes.pack(sample)
    checksums = opened.dut.step_checksums(chosen)
    reference.reset()
    reference.run_all(takes.tensors(chosen, 0))
    for number, step in enumerate(_steps(opened)):
        operator = operators[step.output]
        if operator.dtype not in DTYPES.values():
            # No output, or a variable's handle: TFLM's Python package crashes on reading one.
            continue
        right = reference.tensor(operator.tensor)
        checksum = int(checksums[number])
        if zlib.crc32(right.tobytes()) == checksum:
            continue
        wrong = opened.dut.step_output(chosen, number, checksum=checksum)
        if len(wrong) != right.nbytes:
            raise ModelError(
                f"operator {operator.index} writes {len(wrong)} bytes on the board, "
                f"{right.nbytes} on the host",
                where=Where(board=opened.declared.id, model=model.name),
            )
        board = np.frombuffer(wrong, dtype=right.dtype).reshape(right.shape)
        allowed = usual(right.dtype.name)
        if not beyond(board, right, allowed).any():
            continue
        return difference_at(
            operator,
            step_name(step, operators),
            board,
            right,
            allowed=allowed,
            source=reference.source,
            second=_litert_tensor(model, takes.tensors(chosen, 0), operator),
        )
    return None


def _same_operators(built: Artifact, golden: Artifact) -> Sequence[Operator]:
    operators = read_operators(golden)
    mine = [(item.kind, item.shape) for item in read_operators(built)]
    if mine != [(item.kind, item.shape) for item in operators]:
        raise ModelError(
            f"{golden.name} has other operators than {built.name}, which the board runs",
            where=Where(model=golden.name),
        )
    return operators


def _first_wrong(opened: OpenBoard, reference: host.HostInterpreter) -> NDArray[Any]:
    """The first check input whose output on the board is not the reference's, else the first."""
    inputs, takes, gives = opened.checks.inputs, opened.dut.takes, opened.dut.gives
    right = run_batch(reference, inputs, takes, gives).outputs
    allowed = tolerances(opened.stated, gives)
    defined, answered = opened.defined, opened.dut.infer(inputs).samples
    wrong = differing(defined.of(answered), defined.of(right), allowed)
    first = int(wrong[0]) if len(wrong) else 0
    return inputs[first : first + 1]


def _litert_tensor(
    model: Artifact, tensors: Sequence[NDArray[Any]], operator: Operator
) -> NDArray[Any]:
    interpreter = host.litert(model.content, name=model.name, keep_tensors=True)
    interpreter.run_all(tensors)
    tensor = interpreter.tensor(operator.tensor)
    interpreter.close()
    return tensor
