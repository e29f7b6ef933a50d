"""Rows of evaluation.csv, and the file of samples on which board and host disagree."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ReportError
from harness.files import write_atomic
from harness.measure.apart import columns
from harness.measure.compare import Verdict
from harness.measure.evaluate import Confusion, Evaluation
from harness.measure.intervals import ConfidenceInterval
from harness.measure.tables import EvaluationRow, time_text
from harness.model.artifact import Artifact
from harness.model.dataset import DataSet, X, Y
from harness.rig.opened import OpenBoard

HOST = "host"
"""Stands for a board where only the reference on this machine ran."""

MOST_CLASSES = 64
"""A larger confusion matrix is left out of the row."""

MOST_SAVED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What an evaluation took: the first sample of this run, errors recovered from, seconds."""

    resumed_at: int = 0
    recoveries: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Of which run a row is, when it was written, and of which commit."""

    run: str
    now: datetime
    commit: str | None


def evaluation_row(
    opened: OpenBoard,
    data: DataSet,
    result: Evaluation,
    took: Took,
    stamp: Stamp,
    saved: Path | None,
) -> EvaluationRow:
    """The row of a data set on a board."""
    hello = opened.dut.hello
    return _row(
        opened.artifact,
        data,
        result,
        took,
        stamp,
        board=opened.declared.id,
        board_uid=hello.board_uid or None,
        port=opened.port,
        emulated=opened.declared.emulated,
        runtime=hello.runtime,
        runtime_version=hello.runtime_version,
        firmware_build=hello.build_id.hex(),
        retries=opened.dut.link.stats.retries,
        saved=None if saved is None else str(saved),
    )


def host_row(
    artifact: Artifact, data: DataSet, result: Evaluation, took: Took, stamp: Stamp, version: str
) -> EvaluationRow:
    """The row of a data set on TFLM of this machine."""
    return _row(
        artifact,
        data,
        result,
        took,
        stamp,
        board=HOST,
        board_uid=None,
        port=None,
        emulated=None,
        runtime="tflm",
        runtime_version=version,
        firmware_build=None,
        retries=0,
        saved=None,
    )


def _row(
    artifact: Artifact, data: DataSet, result: Evaluation, took: Took, stamp: Stamp, **board: Any
) -> EvaluationRow:
    name, value = next(iter(result.score.metrics), (None, None))
    rmse, against = result.score.rmse, result.against_float
    compared = result.reference is not None
    return EvaluationRow(
        run=stamp.run,
        time_utc=time_text(stamp.now),
        git_commit=stamp.commit,
        model=artifact.model,
        dtype=artifact.dtype,
        model_sha256=artifact.sha256,
        data=data.source,
        data_sha256=data.digest,
        data_samples=data.count,
        inputs=data.meaning,
        samples=result.samples,
        metric=name,
        value=_value(value),
        low=value.low if value else None,
        high=value.high if value else None,
        rmse=_value(rmse),
        rmse_low=rmse.low if rmse else None,
        rmse_high=rmse.high if rmse else None,
        reference=result.reference,
        host_value=_value(getattr(result.host, name)) if result.host and name else None,
        disagreements=len(result.disagreeing) if compared else None,
        other_class=result.other_class if compared else None,
        max_abs_lsb=result.max_abs_lsb if compared else None,
        tolerance=result.tolerance if compared else None,
        float_value=_value(getattr(against.score, name)) if against and name else None,
        float_changed=len(against.changed) if against else None,
        float_lost=len(against.lost) if against else None,
        float_gained=len(against.gained) if against else None,
        resumed_at=took.resumed_at,
        recoveries=took.recoveries,
        seconds=took.seconds,
        verdict=_verdict(result),
        classes=_names_text(result.confusion),
        confusion=_counts_text(result.confusion),
        **board,
    )


def _verdict(result: Evaluation) -> str | None:
    if result.reference is None:
        return None
    return Verdict.PASS.value if result.agrees else Verdict.MISMATCH.value


def _value(interval: ConfidenceInterval | None) -> float | None:
    return None if interval is None else interval.value


def _names_text(confusion: Confusion | None) -> str | None:
    if confusion is None or len(confusion.names) > MOST_CLASSES:
        return None
    return "|".join(name.replace("|", "/") for name in confusion.names)


def _counts_text(confusion: Confusion | None) -> str | None:
    if confusion is None or len(confusion.names) > MOST_CLASSES:
        return None
    return "/".join(" ".join(map(str, row)) for row in confusion.counts.tolist())


def _outputs(who: str, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """`board`; of several outputs `board_0`, `board_1`."""
    each = columns(samples)
    names = [who] if len(each) == 1 else [f"{who}_{at}" for at in range(len(each))]
    return dict(zip(names, each, strict=True))


def save_disagreeing(
    path: Path, data: DataSet, bad: NDArray[np.intp], *, board: NDArray[Any], host: NDArray[Any]
) -> None:
    """Write the samples of these indices as a data set of their own, the first MOST_SAVED of them.

    `x`, or for several inputs the arrays of their names, hold the inputs as they were sent, `y` the
    answers where they are known, `index` places in the whole set, `board` and `host` the outputs.

    Raises:
        ReportError: the file cannot be written.
    """
    chosen = bad[:MOST_SAVED]
    inputs = data.picked(chosen.tolist())
    names = data.layout.names if len(data.layout.specs) > 1 else (X,)
    arrays = {
        **dict(zip(names, data.layout.columns(inputs), strict=True)),
        "index": chosen.astype(np.int64),
        **_outputs("board", board[chosen]),
        **_outputs("host", host[chosen]),
    }
    answers = data.targets.labels if data.targets.expected is None else data.targets.expected
    if answers is not None:
        arrays[Y] = answers[chosen]
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error
