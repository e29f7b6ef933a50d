"""A whole data set through a board, resumed after any break, beside the same on the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.detector import Detector
from harness.errors import HilError, TensorError, ToolMissing
from harness.measure.csvfile import append, beside
from harness.measure.evaluate import Evaluation, evaluate
from harness.measure.streaming import class_number, detections_in
from harness.measure.tables import EvaluationRow
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet
from harness.model.samples import Layout
from harness.model.wheels import TFLM_INSTALL
from harness.progress import Progress, no_progress
from harness.rig.evaluation_rows import (
    Stamp,
    Took,
    evaluation_rows,
    host_rows,
    save_disagreeing,
)
from harness.rig.journal import FOLDER, MOST_BYTES, Journal, open_journal
from harness.rig.opened import OpenBoard
from harness.rig.recovery import lost
from harness.rig.references import BlockSize, References, data_key, references_for
from harness.rig.sessions import new_run
from harness.rig.walk import Walk, walk_of

FAILURES = 5
"""So many errors of the link in a row, without a single new output, end a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What to evaluate and where to write it.

    `limit` is for the first samples only. `restart` forgets what an earlier run left. `saved` is
    the file for samples on which board and host disagree, None for one beside the CSV. `csv` is
    latency.csv; evaluation.csv is beside it. `float_model` is a .tflite file to compare with,
    instead of the artifact's own. `detector` is what detections in streams are judged for. `tell`
    is told what a person should know, one line each.
    """

    csv: Path
    state: Path
    commit: str | None = None
    limit: int | None = None
    restart: bool = False
    saved: Path | None = None
    float_model: Path | None = None
    detector: Detector | None = None
    tell: Callable[[str], None] = lambda line: None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc))
    clock: Callable[[], float] = time.monotonic

    @property
    def folder(self) -> Path:
        """Where journals are."""
        return self.state / FOLDER

    def count(self, data: DataSet) -> int:
        """Samples to evaluate."""
        return data.count if self.limit is None else min(self.limit, data.count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """A finished evaluation: `rows` were appended, one for each output of the model.

    `saved` holds the disagreeing samples, if any.
    """

    result: Evaluation
    rows: tuple[EvaluationRow, ...]
    saved: Path | None = None


def evaluate_board(opened: OpenBoard, data: DataSet, plan: EvaluationPlan) -> Evaluated:
    """Run a data set through an open board, judge it, append a row to evaluation.csv.

    Outputs are kept in a journal as they come. A run that was ended in the middle, in whatever way,
    goes on where it stopped when it is started again with the same data, model, firmware and board.

    Raises:
        TensorError: a sample cannot be read.
        RigError, BoardError: the board broke and could not be brought back.
    """
    count, gives = plan.count(data), opened.dut.gives
    _refuse_too_much(count, gives, data)
    _refuse_undetectable(plan, data, gives)
    walk = walk_of(opened.artifact, data, count)
    start = plan.clock()
    with (
        open_journal(
            plan.folder, _board_key(opened, data, walk), gives.size_bytes, restart=plan.restart
        ) as journal,
        _references(opened.artifact, data, walk, plan) as references,
    ):
        again = journal.back_to(walk.resumable)
        resumed_at = min(journal.done, count)
        if journal.done or again:
            plan.tell(f"{opened.declared.id}: {_resumed(journal, data, walk, again)}")
        recoveries = _run_on_board(opened, data, walk, journal, plan, references)
        board = gives.from_bytes(journal.outputs)[:count]
        with opened.dut.progress(f"{opened.declared.id}: the same on this machine"):
            host, float_outputs = references.outputs()
        result = evaluate(
            board=board,
            host=host,
            float_outputs=float_outputs,
            answers=tuple(answers.first(count) for answers in data.answers),
            layout=gives,
            activation=opened.artifact.activation,
            reference=references.source,
            stated=opened.stated,
            defined=opened.defined,
        )
        result = _with_detections(result, opened.artifact, data, plan, board, host)
        saved = _saved(opened, data, walk, result, plan, journal.run, board=board, host=host)
        stamp = Stamp(run=journal.run, now=plan.now(), commit=plan.commit)
        took = Took(resumed_at=resumed_at, recoveries=recoveries, seconds=plan.clock() - start)
        rows = evaluation_rows(opened, data, walk, result, took, stamp, saved)
        _append_once(beside(plan.csv, "evaluation"), rows)
        journal.finished = True
    return Evaluated(result=result, rows=rows, saved=saved)


def _resumed(journal: Journal, data: DataSet, walk: Walk, again: int) -> str:
    """What an earlier run left, and what becomes of it."""
    text = (
        f"{journal.done} of {walk.count} samples were done before (run {journal.run}); going on "
        "with the rest"
    )
    if again:
        text += f"; {again} of a sequence that was cut short run again and count once"
    if walk.streams is not None and journal.done < walk.count:
        name = walk.streams.name_at(journal.done)
        text += f", from the start of sequence {name!r}: what was begun of it counts once"
    return text


def evaluate_host(
    artifact: Artifact, data: DataSet, plan: EvaluationPlan, progress: Progress = no_progress
) -> Evaluated:
    """As `evaluate_board`, of TFLM on this machine alone.

    Raises:
        ToolMissing: there is no TFLM wheel.
        TensorError: a sample cannot be read.
    """
    count, gives = plan.count(data), Layout(specs=artifact.outputs)
    _refuse_too_much(count, gives, data)
    _refuse_undetectable(plan, data, gives)
    walk = walk_of(artifact, data, count)
    start = plan.clock()
    with _references(artifact, data, walk, plan) as references, progress("evaluating", None):
        host, float_outputs = references.outputs()
    if host is None:
        raise ToolMissing(
            "the tflite-micro wheel", needed_for="the reference", install=TFLM_INSTALL
        )
    result = evaluate(
        board=host,
        host=None,
        float_outputs=float_outputs,
        answers=tuple(answers.first(count) for answers in data.answers),
        layout=gives,
        activation=artifact.activation,
        reference=None,
    )
    result = _with_detections(result, artifact, data, plan, host, None)
    stamp = Stamp(run=new_run(), now=plan.now(), commit=plan.commit)
    took = Took(seconds=plan.clock() - start)
    rows = host_rows(artifact, data, walk, result, took, stamp, str(references.source))
    append(beside(plan.csv, "evaluation"), rows)
    return Evaluated(result=result, rows=rows)


def _refuse_too_much(count: int, gives: Layout, data: DataSet) -> None:
    if count * gives.size_bytes > MOST_BYTES:
        most = MOST_BYTES // gives.size_bytes
        raise TensorError(
            f"{data.source}: {count} outputs of {gives.size_bytes} bytes are too many to be judged",
            hint=f"Take fewer: --limit {most}",
        )


def _refuse_undetectable(plan: EvaluationPlan, data: DataSet, gives: Layout) -> None:
    if plan.detector is not None:
        class_number(plan.detector, data.streams, data.targets.classes, gives.specs[0])


def _with_detections(
    result: Evaluation,
    artifact: Artifact,
    data: DataSet,
    plan: EvaluationPlan,
    board: NDArray[Any],
    host: NDArray[Any] | None,
) -> Evaluation:
    """With what the detector finds in the streams, if one was asked for."""
    if plan.detector is None or data.streams is None:
        return result
    layout = Layout(specs=artifact.outputs)
    found = [
        None
        if outputs is None
        else detections_in(
            outputs, layout, data.streams, data.targets, plan.detector, artifact.activation
        )
        for outputs in (board, host)
    ]
    return replace(result, detections=found[0], host_detections=found[1])


def _board_key(opened: OpenBoard, data: DataSet, walk: Walk) -> Mapping[str, str]:
    hello = opened.dut.hello
    return {
        "what": "board",
        "board": opened.declared.id,
        "uid": hello.board_uid,
        "build": hello.build_id.hex(),
        "runtime": f"{hello.runtime} {hello.runtime_version}",
        "model": opened.artifact.sha256,
        **data_key(data, walk),
    }


def _run_on_board(
    opened: OpenBoard,
    data: DataSet,
    walk: Walk,
    journal: Journal,
    plan: EvaluationPlan,
    references: References,
) -> int:
    """Run what the journal lacks; the board is brought back after errors of the link.

    Where state is kept, a sequence that such an error ends begins anew.

    Returns:
        How often it was brought back.
    """
    size, failures, recoveries = BlockSize(data.layout.size_bytes, plan.clock), 0, 0
    count = walk.count
    with opened.dut.progress(f"{opened.declared.id}: evaluating", count) as advance:
        advance(min(journal.done, count))
        while journal.done < count:
            references.raise_error()
            stop = walk.block(journal.done, size.samples)
            batches = [data.inputs(*part) for part in walk.parts(journal.done, stop)]
            try:
                with size.adapted():
                    outputs = [
                        opened.dut.infer(batch, keep_state=walk.kept).samples for batch in batches
                    ]
            except HilError as error:
                if not lost(error):
                    raise
                failures += 1
                size.shrink()
                _bring_back(opened, error, failures, journal.done, count, plan)
                recoveries += 1
                continue
            failures = 0
            advance(stop - journal.done)
            journal.append(opened.dut.gives.to_bytes(np.concatenate(outputs)))
    return recoveries


def _bring_back(
    opened: OpenBoard, error: HilError, failures: int, done: int, count: int, plan: EvaluationPlan
) -> None:
    resume = f"{done} of {count} samples are kept: the same command goes on from there."
    try:
        if failures > FAILURES:
            raise error
        steps = opened.recover_in_run(error)
    except HilError as last:
        last.hint = f"{last.hint}\n{resume}" if last.hint else resume
        raise
    plan.tell(f"{opened.declared.id}: {error.what} at sample {done}; {steps[-1]}")


def _references(
    artifact: Artifact, data: DataSet, walk: Walk, plan: EvaluationPlan
) -> AbstractContextManager[References]:
    return references_for(artifact, data, walk, folder=plan.folder, float_model=plan.float_model)


def _saved(
    opened: OpenBoard,
    data: DataSet,
    walk: Walk,
    result: Evaluation,
    plan: EvaluationPlan,
    run: str,
    *,
    board: NDArray[Any],
    host: NDArray[Any] | None,
) -> Path | None:
    """The file of the samples that disagree, written; None where all agree."""
    if host is None or result.agrees:
        return None
    default = plan.csv.with_name(f"disagreements-{opened.declared.id}-{run}.npz")
    path = plan.saved or default
    save_disagreeing(path, data, walk, result.disagreeing, board=board, host=host)
    return path


def _append_once(path: Path, rows: Sequence[EvaluationRow]) -> None:
    """A run that was ended after its rows were appended does not append them again."""
    if path.is_file() and f"\n{rows[0].run}," in path.read_text(errors="replace"):
        return
    append(path, rows)
