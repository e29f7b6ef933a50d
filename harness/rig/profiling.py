"""Profiling an open board operator by operator, and finding its first wrong operator."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.registry import Board
from harness.errors import BoardRebooted, ModelError, SlowerOperators, Where
from harness.firmware import host
from harness.measure.apart import beyond, differing, tolerances, usual
from harness.measure.csvfile import append, beside
from harness.measure.first_difference import FirstDifference, difference_at
from harness.measure.operator_gate import change_of, judge_profile
from harness.measure.operators import SLOWER
from harness.measure.profile import (
    Cost,
    Profile,
    check_steps,
    of_sessions,
    profile_of,
    shape_text,
    step_name,
)
from harness.measure.runs import Baselines
from harness.measure.tables import LatencyRow, LayerRow, OperatorRow, time_text
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """Which run a profile belongs to, in how many sessions it is taken, and where it is written.

    `row` is the measured run's own. `csv` is latency.csv; the other tables are beside it.
    `baselines` are those to judge the operators by, with their profiles; None: they are not
    judged. `track` is as for `judged_by`.
    """

    row: LatencyRow
    csv: Path
    sessions: int = 1
    baselines: Baselines | None = None
    track: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Rows that were appended: of layers.csv, and of operators.csv where there were baselines."""

    layers: tuple[LayerRow, ...]
    operators: tuple[OperatorRow, ...] = ()

    @property
    def slower(self) -> bool:
        """Whether an operator got slower."""
        return any(row.verdict == SLOWER for row in self.operators)


def append_profile(
    board: Board, artifact: Artifact, project: Project, options: RigOptions, plan: ProfilePlan
) -> Profiled:
    """Open a board with profiling firmware, append its profile and the verdicts on its operators.

    Args:
        options: of the run that was measured, without profiling.
    """
    run = plan.row.run or plan.row.session
    with open_board(board, artifact, project, replace(options, profile=True)) as opened:
        profiles = profile_sessions(opened, plan.sessions)
        rows = layer_rows(opened, profiles, run=run)
    append(beside(plan.csv, "layers"), rows)
    if plan.baselines is None:
        return Profiled(layers=rows)
    judged = judge_profile(plan.row, rows, plan.baselines, track=plan.track)
    append(beside(plan.csv, "operators"), judged)
    return Profiled(layers=rows, operators=judged)


def profile_sessions(opened: OpenBoard, sessions: int) -> tuple[Profile, ...]:
    """A profile of each session; the board is reset between them.

    One of an emulated board: its counts are exact. A session in which the board rebooted is left
    out.

    Raises:
        BoardRebooted: in every session.
    """
    profiles: list[Profile] = []
    lost: BoardRebooted | None = None
    for number in range(1 if opened.declared.emulated else sessions):
        try:
            if number:
                opened.reset()
            profiles.append(profile_board(opened))
        except BoardRebooted as error:
            opened.dut.greet()
            lost = error
    if lost is not None and not profiles:
        raise lost
    return tuple(profiles)


def refuse_slower_operators(profiled: Profiled, row: LatencyRow) -> None:
    """Raise SlowerOperators if any operator of the run was judged slower."""
    slower = [item for item in profiled.operators if item.verdict == SLOWER]
    if slower:
        raise SlowerOperators(
            where=Where(board=row.board, port=row.port, model=row.model),
            operators=tuple((change_of(item).label, item.rule) for item in slower),
            baseline=f"run {slower[0].baseline_run}",
        )


def layer_rows(
    opened: OpenBoard, profiles: Sequence[Profile], *, run: str, now: datetime | None = None
) -> tuple[LayerRow, ...]:
    """Rows of layers.csv, one per step.

    Args:
        profiles: of each session; one at least.
        run: id of the run that the profile belongs to.
    """
    hello = opened.dut.hello
    timer = opened.dut.timer
    profile = of_sessions(profiles)
    between = _figures([each.between for each in profiles])
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
            sessions=len(profiles),
            session_p50_us=_figures([each.layers[number].cost for each in profiles]),
            session_between_us=between,
            timer_step_us=timer.step_ticks * 1e6 / timer.hz,
        )
        for number, layer in enumerate(profile.layers)
    )


def _figures(costs: Sequence[Cost]) -> str:
    return " ".join(f"{cost.us:.6g}" for cost in costs)


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
    place: int | None = None
    if sample is None:
        place = _first_wrong(opened, reference)
        chosen = opened.checks.inputs[place : place + 1]
    else:
        chosen = takes.pack(sample)
    checksums = opened.dut.step_checksums(chosen)
    steps = _steps(opened)
    check_steps(len(checksums), steps)
    reference.reset()
    reference.run_all(takes.tensors(chosen, 0))
    for number, step in enumerate(steps):
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
            place=place,
        )
    return None


def sample_of(opened: OpenBoard, found: FirstDifference | None) -> NDArray[Any] | None:
    """The check input that showed a difference, as a batch of one; None if none did."""
    if found is None or found.input is None:
        return None
    return opened.checks.inputs[found.input : found.input + 1]


def _same_operators(built: Artifact, golden: Artifact) -> Sequence[Operator]:
    operators = read_operators(golden)
    mine = [(item.kind, item.shape) for item in read_operators(built)]
    if mine != [(item.kind, item.shape) for item in operators]:
        raise ModelError(
            f"{golden.name} has other operators than {built.name}, which the board runs",
            where=Where(model=golden.name),
        )
    return operators


def _first_wrong(opened: OpenBoard, reference: host.HostInterpreter) -> int:
    """Index of the first check input whose output is not the reference's, else of the first."""
    inputs, takes, gives = opened.checks.inputs, opened.dut.takes, opened.dut.gives
    right = run_batch(reference, inputs, takes, gives).outputs
    allowed = tolerances(opened.stated, gives)
    defined, answered = opened.defined, opened.dut.infer(inputs).samples
    wrong = differing(defined.of(answered), defined.of(right), allowed)
    return int(wrong[0]) if len(wrong) else 0


def _litert_tensor(
    model: Artifact, tensors: Sequence[NDArray[Any]], operator: Operator
) -> NDArray[Any]:
    interpreter = host.litert(model.content, name=model.name, keep_tensors=True)
    interpreter.run_all(tensors)
    tensor = interpreter.tensor(operator.tensor)
    interpreter.close()
    return tensor
