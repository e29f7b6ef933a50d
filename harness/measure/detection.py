"""Detections in a stream: from scores per window to events, and events against labelled intervals.

The scores are those of one class, such as a wake word, one for each window of a signal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError, WrongUse

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A window whose score reached the threshold: its number, when it was complete, its score."""

    window: int
    time_s: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A part of a signal, in seconds from its start, in which a detection is right."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_s <= self.end_s < math.inf:
            raise WrongUse(f"an interval from {self.start_s} s to {self.end_s} s cannot be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An interval, and the first detection in it."""

    interval: Interval
    detection: Detection

    @property
    def delay_s(self) -> float:
        """From the interval's end to its detection; below 0 where that came before the end."""
        return self.detection.time_s - self.interval.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSummary:
    """Detections against labels.

    `repeats` are further detections in an interval that was hit before: neither hits nor false
    alarms. `quiet_s` is the part of the signal in no interval, where every detection is false.
    """

    hits: tuple[Hit, ...]
    misses: tuple[Interval, ...]
    repeats: tuple[Detection, ...]
    false_alarms: tuple[Detection, ...]
    quiet_s: float

    @property
    def recall(self) -> float | None:
        """Share of the intervals that were hit; None where there are none."""
        labelled = len(self.hits) + len(self.misses)
        return len(self.hits) / labelled if labelled else None

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Of signal in no interval; None where there is none."""
        return HOUR_S * len(self.false_alarms) / self.quiet_s if self.quiet_s > 0 else None

    def __str__(self) -> str:
        labelled = len(self.hits) + len(self.misses)
        rate = self.false_alarms_per_hour
        often = "" if rate is None else f", {rate:.3g} per hour"
        return (
            f"{len(self.hits)} of {labelled} hit, {len(self.misses)} missed, "
            f"{len(self.false_alarms)} false alarms{often}"
        )


def detect(
    scores: NDArray[Any], times_s: NDArray[Any], *, threshold: float, suppression_s: float = 0.0
) -> tuple[Detection, ...]:
    """The windows at which a stream's detector would fire, in order.

    A score equal to the threshold fires. After a detection none follows for `suppression_s`: one
    event is in several windows, since they overlap.

    Args:
        scores: (k,), in any unit.
        times_s: (k,), when each window was complete; not falling.

    Raises:
        TensorError: other shapes, NaN, or times that fall.
        WrongUse: a threshold that is NaN, or a suppression time below 0.
    """
    values, times = np.asarray(scores, dtype=np.float64), np.asarray(times_s, dtype=np.float64)
    if values.ndim != 1 or values.shape != times.shape:
        raise TensorError(
            f"scores of shape {values.shape} at times of shape {times.shape}: one of each a window"
        )
    if np.isnan(values).any() or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise TensorError("scores must be numbers, and their times finite and not falling")
    if math.isnan(threshold) or not suppression_s >= 0:
        raise WrongUse(f"threshold {threshold} and suppression time {suppression_s} s cannot be")
    found: list[Detection] = []
    for window in np.flatnonzero(values >= threshold).tolist():
        time_s = float(times[window])
        if not found or time_s >= found[-1].time_s + suppression_s:
            found.append(Detection(window=window, time_s=time_s, score=float(values[window])))
    return tuple(found)


def judge_detections(
    detections: Sequence[Detection],
    intervals: Sequence[Interval],
    *,
    duration_s: float,
    late_s: float = 0.0,
) -> DetectionSummary:
    """Count hits, misses and false alarms.

    A detection belongs to the interval around it that ends first and was not hit yet.

    Args:
        intervals: where the event is, in any order.
        duration_s: of the whole signal.
        late_s: how long after its end an interval may still be hit: a detector needs its window.

    Raises:
        WrongUse: intervals or detections beyond the signal's end, or `late_s` below 0.
    """
    last = max((item.end_s for item in intervals), default=0.0)
    last = max((last, *(item.time_s for item in detections)))
    if not (late_s >= 0 and math.isfinite(late_s) and last <= duration_s < math.inf):
        raise WrongUse(
            f"a signal of {duration_s} s with labels or detections up to {last} s, "
            f"and detections up to {late_s} s late, cannot be"
        )
    left = sorted(intervals, key=lambda item: (item.end_s, item.start_s))
    hits: list[Hit] = []
    repeats: list[Detection] = []
    false_alarms: list[Detection] = []
    for detection in sorted(detections, key=lambda item: item.time_s):
        around = [item for item in left if _holds(item, detection, late_s)]
        if around:
            left.remove(around[0])
            hits.append(Hit(interval=around[0], detection=detection))
        elif any(_holds(hit.interval, detection, late_s) for hit in hits):
            repeats.append(detection)
        else:
            false_alarms.append(detection)
    return DetectionSummary(
        hits=tuple(hits),
        misses=tuple(sorted(left, key=lambda item: item.start_s)),
        repeats=tuple(repeats),
        false_alarms=tuple(false_alarms),
        quiet_s=max(0.0, duration_s - _covered_s(intervals, late_s, duration_s)),
    )


def _holds(interval: Interval, detection: Detection, late_s: float) -> bool:
    return interval.start_s <= detection.time_s <= interval.end_s + late_s


def _covered_s(intervals: Sequence[Interval], late_s: float, duration_s: float) -> float:
    """Seconds in at least one interval, the time allowed after its end included."""
    covered = reached = 0.0
    for item in sorted(intervals, key=lambda item: item.start_s):
        end_s = min(item.end_s + late_s, duration_s)
        covered += max(0.0, end_s - max(item.start_s, reached))
        reached = max(reached, end_s)
    return covered
