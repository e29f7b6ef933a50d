"""Detections in the streams of a data set: hits, misses and false accepts, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.detector import Detector
from harness.errors import TensorError, WrongUse
from harness.measure import intervals
from harness.measure.apart import columns
from harness.measure.detection import (
    HOUR_S,
    DetectionSummary,
    Interval,
    detect,
    judge_detections,
)
from harness.model.samples import Layout, to_reals
from harness.model.streams import Streams
from harness.model.targets import Targets, class_count
from harness.model.tensor import TensorSpec, activate
from harness.text import listed, printable

_EPSILON_S = 1e-9
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """What a detector finds in all sequences of a data set. An event is a run of labelled frames.

    `repeats` are further detections of an event that was hit, neither hits nor false accepts.
    `quiet_s` is the time in no event, in which every detection is a false accept. `sequences` are
    the summaries of each.
    """

    detector: Detector
    sequences: tuple[DetectionSummary, ...]

    @property
    def hits(self) -> int:
        """Events that were detected."""
        return sum(len(item.hits) for item in self.sequences)

    @property
    def misses(self) -> int:
        """Events that were not."""
        return sum(len(item.misses) for item in self.sequences)

    @property
    def repeats(self) -> int:
        """Further detections of events that were hit."""
        return sum(len(item.repeats) for item in self.sequences)

    @property
    def false_accepts(self) -> int:
        """Detections where there was no event."""
        return sum(len(item.false_alarms) for item in self.sequences)

    @property
    def quiet_s(self) -> float:
        """Seconds in no event."""
        return sum(item.quiet_s for item in self.sequences)

    @property
    def recall(self) -> intervals.ConfidenceInterval | None:
        """Share of the events that were hit, with Wilson's interval; None without events."""
        events = self.hits + self.misses
        return intervals.wilson(self.hits, events) if events else None

    @property
    def false_accepts_per_hour(self) -> intervals.ConfidenceInterval | None:
        """Per hour in no event, with the exact interval of a Poisson rate; None without such."""
        if self.quiet_s <= 0:
            return None
        return intervals.poisson(self.false_accepts, self.quiet_s / HOUR_S)


def averaged(
    scores: NDArray[Any], times_s: NDArray[Any], *, window_s: float, minimum: int = 1
) -> NDArray[np.float64]:
    """The average of each score with those up to `window_s` before it, (k,).

    Minus infinity where there are fewer than `minimum` of them, so that nothing is detected.

    Args:
        scores: (k,).
        times_s: (k,), not falling.
    """
    values, at = np.asarray(scores, dtype=np.float64), np.arange(len(scores))
    first = np.searchsorted(times_s, np.asarray(times_s) - window_s - _EPSILON_S)
    pairs = np.stack([first, at + 1], axis=1).ravel()
    # One 0 behind the last: reduceat takes no index beyond the end.
    sums = np.add.reduceat(np.append(values, 0.0), pairs)[::2]
    counts = at + 1 - first
    return np.where(counts >= minimum, sums / counts, -np.inf)


def detections_in(
    outputs: NDArray[Any],
    layout: Layout,
    streams: Streams,
    targets: Targets,
    detector: Detector,
    activation: str | None,
) -> Detections:
    """Detect in the first output of the first samples of a data set, and judge by its labels.

    Args:
        outputs: samples (n, ...) of all outputs, as `layout` has them.
        targets: of the first output, for the names of classes.
        activation: as for `evaluate`.

    Raises:
        WrongUse, TensorError: as `class_number`; or a score is NaN.
    """
    number = class_number(detector, streams, targets.classes, layout.specs[0])
    scores = _scores(columns(outputs)[0], layout, activation, number)
    ends_s = streams.ends[: len(outputs)] / detector.rate
    return Detections(
        detector=detector,
        sequences=tuple(
            _in_sequence(scores, ends_s, streams, start, stop, number, detector)
            for start, stop in streams.bounds(0, len(outputs))
        ),
    )


def _in_sequence(
    scores: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    streams: Streams,
    start: int,
    stop: int,
    number: int,
    detector: Detector,
) -> DetectionSummary:
    times = ends_s[start:stop]
    means = averaged(scores[start:stop], times, window_s=detector.average, minimum=detector.minimum)
    found = detect(means, times, threshold=detector.threshold, suppression_s=detector.suppression)
    frames = _frames_seen(streams, start, stop)
    first = int(streams.frame_starts[streams.sequence_at(start)])
    assert streams.labels is not None, "refused before"
    events = events_in(streams.labels[first : first + frames] == number, detector.rate)
    duration_s = max(frames / detector.rate, float(times[-1]))
    return judge_detections(found, events, duration_s=duration_s, late_s=detector.late)


def _frames_seen(streams: Streams, start: int, stop: int) -> int:
    """Frames of a sequence; of one that is cut short those up to its last sample."""
    if streams.begins(stop):
        return streams.frames_in(streams.sequence_at(start))
    return int(streams.ends[stop - 1])


def events_in(held: NDArray[np.bool_], rate: float) -> list[Interval]:
    """The runs of frames (k,) that hold an event, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]])))
    return [
        Interval(start_s=start / rate, end_s=end / rate)
        for start, end in edges.reshape(-1, 2).tolist()
    ]


def _scores(
    outputs: NDArray[Any], layout: Layout, activation: str | None, number: int
) -> NDArray[np.float64]:
    reals = activate(to_reals(outputs, layout.specs[0]), activation)
    scores: NDArray[np.float64] = reals[:, min(number, reals.shape[1] - 1)].astype(np.float64)
    return scores


def class_number(
    detector: Detector, streams: Streams | None, classes: tuple[str, ...], output: TensorSpec
) -> int:
    """The number of the class that a detector is for. A single output is the score of class 1.

    Args:
        streams: of the data set, with the class of each frame.
        classes: their names.
        output: the model's first output.

    Raises:
        WrongUse: the model has no such class, or there are no streams.
        TensorError: the data do not say where events are.
    """
    of, most = detector.of, class_count(output)
    if streams is None:
        raise WrongUse(
            "a detector needs streams, and the data are samples by themselves",
            hint="Cut windows out of streams with --stride, or give each sample the id of its "
            "sequence (an array or column `sequence`).",
        )
    if streams.labels is None:
        raise TensorError(
            f"the data do not say where class {of!r} is: detections cannot be judged",
            hint="Give the class of each frame, window or sequence: an array y, or --labels NAME.",
        )
    names = [name.casefold() for name in classes[:most]]
    if of.casefold() in names:
        number = names.index(of.casefold())
    elif of.isascii() and of.isdigit() and int(of) < most:
        number = int(of)
    else:
        known = f" or one of {listed(classes, _SHOWN)}" if classes else ""
        raise WrongUse(
            f"the detector's class {printable(of)!r} is none of the model's: name a number up to "
            f"{most - 1}{known}"
        )
    if output.elements == 1 and number == 0:
        raise WrongUse("the model's single output is the score of class 1: detect 1")
    return number
