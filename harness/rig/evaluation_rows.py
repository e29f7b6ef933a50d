"""Rows of evaluation.csv, and the file of samples on which board and host disagree."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.board.runtimes import TFLM
from harness.errors import NotWritten
from harness.files import write_atomic
from harness.measure.apart import columns
from harness.measure.compare import Verdict
from harness.measure.evaluate import Confusion, Evaluation, JudgedOutput
from harness.measure.intervals import ConfidenceInterval
from harness.measure.tables import EvaluationRow, time_text
from harness.model.artifact import Artifact
from harness.model.dataset import SEQUENCE, DataSet, X, Y
from harness.rig.opened import OpenBoard
from harness.rig.walk import Walk

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


def evaluation_rows(
    opened: OpenBoard,
    data: DataSet,
    walk: Walk,
    result: Evaluation,
    took: Took,
    stamp: Stamp,
    saved: Path | None,
) -> tuple[EvaluationRow, ...]:
    """The rows of a data set on a board, one for each output."""
    hello = opened.dut.hello
    return _rows(
        opened.artifact,
        data,
        walk,
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


def host_rows(
    artifact: Artifact,
    data: DataSet,
    walk: Walk,
    result: Evaluation,
    took: Took,
    stamp: Stamp,
    version: str,
) -> tuple[EvaluationRow, ...]:
    """The rows of a data set on TFLM of this machine, one for each output."""
    return _rows(
        artifact,
        data,
        walk,
        result,
        took,
        stamp,
        board=HOST,
        board_uid=None,
        port=None,
        emulated=None,
        runtime=TFLM,
        runtime_version=version,
        firmware_build=None,
        retries=0,
        saved=None,
    )


def _rows(
    artifact: Artifact,
    data: DataSet,
    walk: Walk,
    result: Evaluation,
    took: Took,
    stamp: Stamp,
    **board: Any,
) -> tuple[EvaluationRow, ...]:
    compared = result.reference is not None
    common: dict[str, Any] = {
        **board,
        "run": stamp.run,
        "time_utc": time_text(stamp.now),
        "git_commit": stamp.commit,
        "model": artifact.model,
        "dtype": artifact.dtype,
        "model_sha256": artifact.sha256,
        "data": data.source,
        "data_sha256": data.digest,
        "data_samples": data.count,
        "inputs": data.meaning,
        "samples": result.samples,
        "reference": result.reference,
        "tolerance": result.tolerance if compared else None,
        "resumed_at": took.resumed_at,
        "recoveries": took.recoveries,
        "seconds": took.seconds,
        "state": walk.state,
        "sequences": len(data.streams.bounds(0, walk.count)) if data.streams else None,
    }
    several = len(result.outputs) > 1
    return tuple(
        EvaluationRow(
            **common,
            **_output_cells(judged, compared=compared),
            **({} if at else _detection_cells(result)),
            output=judged.name if several else None,
        )
        for at, judged in enumerate(result.outputs)
    )


def _output_cells(judged: JudgedOutput, *, compared: bool) -> dict[str, Any]:
    """What a row says of one output."""
    name, value = next(iter(judged.score.metrics), (None, None))
    rmse, against = judged.score.rmse, judged.against_float
    return {
        "metric": name,
        "value": _value(value),
        "low": value.low if value else None,
        "high": value.high if value else None,
        "rmse": _value(rmse),
        "rmse_low": rmse.low if rmse else None,
        "rmse_high": rmse.high if rmse else None,
        "host_value": _value(getattr(judged.host, name)) if judged.host and name else None,
        "disagreements": len(judged.disagreeing) if compared else None,
        "other_class": judged.other_class if compared else None,
        "max_abs_lsb": judged.max_abs_lsb if compared else None,
        "float_value": _value(getattr(against.score, name)) if against and name else None,
        "float_changed": len(against.changed) if against else None,
        "float_lost": len(against.lost) if against else None,
        "float_gained": len(against.gained) if against else None,
        "verdict": _verdict(judged) if compared else None,
        "classes": _names_text(judged.confusion),
        "confusion": _counts_text(judged.confusion),
    }


def _detection_cells(result: Evaluation) -> dict[str, Any]:
    """What the first output's row says of detections, if any were looked for."""
    found, host = result.detections, result.host_detections
    if found is None:
        return {}
    recall, often = found.recall, found.false_accepts_per_hour
    return {
        "detector": str(found.detector),
        "hits": found.hits,
        "misses": found.misses,
        "false_accepts": found.false_accepts,
        "quiet_s": found.quiet_s,
        "recall": _value(recall),
        "recall_low": recall.low if recall else None,
        "recall_high": recall.high if recall else None,
        "false_accepts_per_hour": _value(often),
        "false_accepts_per_hour_low": often.low if often else None,
        "false_accepts_per_hour_high": often.high if often else None,
        "host_hits": host.hits if host else None,
        "host_false_accepts": host.false_accepts if host else None,
    }


def _verdict(judged: JudgedOutput) -> str:
    return Verdict.MISMATCH.value if len(judged.disagreeing) else Verdict.PASS.value


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
    path: Path,
    data: DataSet,
    walk: Walk,
    bad: NDArray[np.intp],
    *,
    board: NDArray[Any],
    host: NDArray[Any],
) -> None:
    """Write the samples at the indices `bad` as a data set that can be sent again.

    Where state is kept, whole sequences up to their last disagreeing sample are written, since it
    is what came before that made the difference. At most MOST_SAVED samples.

    Args:
        board, host: outputs of all samples.

    Raises:
        NotWritten: the file cannot be written.
    """
    chosen = _with_what_came_before(bad, walk)[:MOST_SAVED]
    inputs = data.picked(chosen.tolist())
    names = data.layout.names if len(data.layout.specs) > 1 else (X,)
    arrays = {
        **dict(zip(names, data.layout.columns(inputs), strict=True)),
        "index": chosen.astype(np.int64),
        **_outputs("board", board[chosen]),
        **_outputs("host", host[chosen]),
        **_answers(data, chosen),
    }
    if walk.streams is not None:
        arrays[SEQUENCE] = walk.streams.sequence_of[chosen]
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror}") from error


def _with_what_came_before(bad: NDArray[np.intp], walk: Walk) -> NDArray[np.intp]:
    if walk.streams is None:
        return bad
    last = {int(walk.streams.starts[walk.streams.sequence_of[at]]): at for at in bad.tolist()}
    return np.concatenate([np.arange(start, at + 1) for start, at in last.items()])


def _answers(data: DataSet, chosen: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """`y`; of several outputs `y_0`, `y_1`."""
    found = {}
    for at, known in enumerate(data.answers):
        values = known.labels if known.expected is None else known.expected
        if values is not None:
            found[Y if len(data.answers) == 1 else f"{Y}_{at}"] = values[chosen]
    return found
