"""Detections over the sequences of a data set, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.models import ONE, THREE

from harness.detector import Detector
from harness.errors import TensorError, WrongUse
from harness.measure.streaming import averaged, class_number, detections_in, events_in
from harness.model.samples import Layout
from harness.model.streams import cut, one_stream, streams_of_counts
from harness.model.targets import Targets

YES = Targets(labels=np.zeros(1, np.int64), classes=("silence", "no", "Yes"))
RULE = Detector(of="yes", threshold=0.5, rate=10.0)
SPEC = replace(THREE, scale=0.01, zero_point=0)
LAYOUT = Layout(specs=(SPEC,))


def outputs(scores: list[float]) -> np.ndarray:
    percent = np.rint(100 * np.array(scores)).astype(np.int8)
    return np.stack([100 - percent, np.zeros_like(percent), percent], axis=1)


def test_an_average_is_over_what_came_in_its_time() -> None:
    scores, times = np.array([1.0, 2.0, 6.0, 0.0]), np.array([0.1, 0.2, 0.3, 0.9])
    assert averaged(scores, times, window_s=0.0).tolist() == scores.tolist()
    # A window as long as from one output to the next but one holds three, as in micro_speech.
    assert averaged(scores, times, window_s=0.2).tolist() == [1, 1.5, 3, 0]
    assert averaged(scores, times, window_s=0.2, minimum=2).tolist() == [-np.inf, 1.5, 3, -np.inf]
    assert averaged(scores[:1], times[:1], window_s=9).tolist() == [1]


def test_runs_of_frames_are_events() -> None:
    held = np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)
    assert [(item.start_s, item.end_s) for item in events_in(held, 10)] == [
        (0.0, 0.2),
        (0.4, 0.5),
        (0.6, 0.7),
    ]
    assert events_in(np.zeros(3, bool), 10) == []


def test_hits_misses_and_false_accepts_of_all_sequences_are_counted() -> None:
    streams = streams_of_counts([6, 4], ("a", "b"))
    labels = np.array([0, 2, 2, 0, 0, 0, 0, 2, 0, 0])
    scores = [0.1, 0.2, 0.9, 0.1, 0.8, 0.1, 0.7, 0.0, 0.1, 0.1]
    found = detections_in(outputs(scores), LAYOUT, replace(streams, labels=labels), YES, RULE, None)
    # The first of b is complete at 0.1 s, when the event begins.
    assert (found.hits, found.misses, found.false_accepts) == (2, 0, 1)
    assert found.quiet_s == pytest.approx(0.7)
    assert found.recall is not None and found.recall.value == 1 and found.recall.low < 0.5
    often = found.false_accepts_per_hour
    assert often is not None and often.value == pytest.approx(3600 / 0.7)
    late = detections_in(
        outputs(scores), LAYOUT, replace(streams, labels=labels), YES, replace(RULE, late=0.2), None
    )
    assert (late.hits, late.false_accepts, late.repeats) == (2, 0, 1)


def test_smoothing_and_suppression_do_not_reach_over_sequences() -> None:
    streams = replace(streams_of_counts([3, 3], ("a", "b")), labels=np.full(6, 2))
    rule = replace(RULE, average=1.0, suppression=9.0, minimum=2)
    found = detections_in(outputs([0.4, 0.7, 0.9, 1.0, 0.1, 0.9]), LAYOUT, streams, YES, rule, None)
    assert [len(item.hits) for item in found.sequences] == [1, 1]
    times = [item.hits[0].detection.time_s for item in found.sequences]
    assert times == pytest.approx([0.2, 0.2])


def test_windows_are_detected_when_they_are_complete() -> None:
    labels = np.repeat([0, 2, 0], [6, 2, 4])
    streams = replace(cut(one_stream(12, "a"), length=4, stride=2, source="a"), labels=labels)
    found = detections_in(outputs([0, 0, 0.9, 0, 0]), LAYOUT, streams, YES, RULE, None)
    (summary,) = found.sequences
    assert summary.hits[0].detection.time_s == 0.8 and found.quiet_s == pytest.approx(1.0)


def test_a_sequence_that_is_cut_short_counts_up_to_its_last_sample() -> None:
    streams = replace(streams_of_counts([4, 4], ("a", "b")), labels=np.array([0] * 7 + [2]))
    found = detections_in(outputs([0.0] * 6), LAYOUT, streams, YES, RULE, None)
    assert (len(found.sequences), found.misses) == (2, 0)
    assert found.quiet_s == pytest.approx(0.6)


def test_a_detector_needs_a_class_streams_and_labels() -> None:
    streams = replace(streams_of_counts([1], ("a",)), labels=np.zeros(1, np.int64))
    assert class_number(replace(RULE, of="2"), streams, (), SPEC) == 2
    assert class_number(replace(RULE, of="1"), streams, (), ONE) == 1
    for of, spec, what in (
        ("maybe", SPEC, "'maybe' is none of the model's: name a number up to 2 or one of silence"),
        ("3", SPEC, "up to 2"),
        ("0", ONE, "detect 1"),
    ):
        with pytest.raises(WrongUse, match=what):
            class_number(replace(RULE, of=of), streams, YES.classes, spec)
    with pytest.raises(WrongUse, match="needs streams"):
        class_number(RULE, None, YES.classes, SPEC)
    with pytest.raises(TensorError, match="do not say where class 'yes' is"):
        class_number(RULE, replace(streams, labels=None), YES.classes, SPEC)
