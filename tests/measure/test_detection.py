import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import TensorError, WrongUse
from harness.measure.detection import Detection, Interval, detect, judge_detections


def at(*times_s: float) -> list[Detection]:
    return [Detection(window=number, time_s=time, score=1.0) for number, time in enumerate(times_s)]


def test_windows_at_or_above_the_threshold_are_detected_with_their_times() -> None:
    found = detect(np.array([0.1, 0.5, 0.4, 0.9]), np.array([1, 2, 3, 4]), threshold=0.5)
    assert [(item.window, item.time_s, item.score) for item in found] == [
        (1, 2.0, 0.5),
        (3, 4.0, 0.9),
    ]


def test_after_a_detection_none_follows_for_the_suppression_time() -> None:
    times = np.arange(8) / 4
    found = detect(np.ones(8), times, threshold=0.5, suppression_s=0.6)
    # From 0 s to 0.6 s, from 0.75 s to 1.35 s, from 1.5 s on.
    assert [item.time_s for item in found] == [0.0, 0.75, 1.5]
    assert len(detect(np.ones(8), times, threshold=0.5, suppression_s=0.25)) == 8
    assert len(detect(np.ones(8), times, threshold=0.5, suppression_s=math.inf)) == 1


def test_no_windows_are_no_detections() -> None:
    assert detect(np.zeros(0), np.zeros(0), threshold=0.5) == ()


@given(
    scores=st.lists(st.integers(-9, 9), max_size=30),
    threshold=st.integers(-9, 9),
    gap=st.floats(0, 5),
)
def test_detections_are_above_the_threshold_and_apart(
    scores: list[int], threshold: int, gap: float
) -> None:
    times = np.arange(len(scores)) * 0.5
    found = detect(np.array(scores, dtype=int), times, threshold=threshold, suppression_s=gap)
    assert all(scores[item.window] >= threshold for item in found)
    ends = [item.time_s for item in found]
    assert all(later >= earlier + gap for earlier, later in zip(ends, ends[1:], strict=False))
    # None is left out without a reason.
    for window, score in enumerate(scores):
        near = any(item.time_s <= times[window] < item.time_s + gap for item in found)
        assert score < threshold or near or window in {item.window for item in found}


@pytest.mark.parametrize(
    ("scores", "times"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2))),
        (np.zeros(3), np.zeros(2)),
        (np.array([math.nan]), np.zeros(1)),
        (np.zeros(2), np.array([1.0, 0.5])),
        (np.zeros(1), np.array([math.inf])),
    ],
)
def test_scores_and_times_that_do_not_fit_are_refused(scores, times) -> None:
    with pytest.raises(TensorError):
        detect(scores, times, threshold=0.5)


@pytest.mark.parametrize(("threshold", "gap"), [(math.nan, 0.0), (0.5, -1.0), (0.5, math.nan)])
def test_settings_that_cannot_be_are_refused(threshold: float, gap: float) -> None:
    with pytest.raises(WrongUse, match="cannot be"):
        detect(np.zeros(1), np.zeros(1), threshold=threshold, suppression_s=gap)


def test_hits_misses_repeats_and_false_alarms_are_counted() -> None:
    words = [Interval(start_s=10, end_s=11), Interval(start_s=20, end_s=21)]
    found = judge_detections(at(5, 10.5, 10.9, 12), words, duration_s=602)
    assert [(hit.interval, hit.detection.time_s) for hit in found.hits] == [(words[0], 10.5)]
    assert found.hits[0].delay_s == -0.5
    assert found.misses == (words[1],)
    assert [item.time_s for item in found.repeats] == [10.9]
    assert [item.time_s for item in found.false_alarms] == [5, 12]
    assert found.recall == 0.5
    # By hand: two in 600 s without words are 12 in an hour.
    assert found.quiet_s == 600 and found.false_alarms_per_hour == 12
    assert str(found) == "1 of 2 hit, 1 missed, 2 false alarms, 12 per hour"


def test_a_detection_may_come_as_late_as_is_allowed() -> None:
    word = Interval(start_s=1, end_s=2)
    found = judge_detections(at(2.5), [word], duration_s=10, late_s=0.5)
    assert (len(found.hits), found.quiet_s) == (1, 8.5)
    assert len(judge_detections(at(2.5), [word], duration_s=10, late_s=0.4).false_alarms) == 1


def test_each_of_overlapping_intervals_takes_a_detection_of_its_own() -> None:
    words = [Interval(start_s=0, end_s=10), Interval(start_s=4, end_s=6)]
    found = judge_detections(at(5, 5.5), words, duration_s=10)
    # The one that ends first is served first: the other can still be hit later.
    assert [hit.interval for hit in found.hits] == [words[1], words[0]]
    assert found.quiet_s == 0 and found.false_alarms_per_hour is None


def test_a_signal_without_labels_has_no_recall() -> None:
    found = judge_detections(at(1), [], duration_s=1800)
    assert (found.recall, found.false_alarms_per_hour) == (None, 2)
    assert str(found) == "0 of 0 hit, 0 missed, 1 false alarms, 2 per hour"
    assert judge_detections([], [], duration_s=0).false_alarms_per_hour is None


@given(
    times=st.lists(st.floats(0, 50), max_size=12),
    words=st.lists(st.tuples(st.floats(0, 40), st.floats(0, 10)), max_size=6),
    late=st.floats(0, 5),
)
def test_everything_is_counted_once(times, words, late) -> None:
    intervals = [Interval(start_s=start, end_s=start + size) for start, size in words]
    found = judge_detections(at(*times), intervals, duration_s=60, late_s=late)
    assert len(found.hits) + len(found.misses) == len(intervals)
    told = len(found.hits) + len(found.repeats) + len(found.false_alarms)
    assert told == len(times)
    assert 0 <= found.quiet_s <= 60
    for alarm in found.false_alarms:
        assert not any(word.start_s <= alarm.time_s <= word.end_s + late for word in intervals)


@pytest.mark.parametrize(
    ("words", "duration", "late"),
    [
        ([Interval(start_s=0, end_s=2)], 1.0, 0.0),
        ([], 0.5, 0.0),
        ([], 2.0, -1.0),
        ([], 2.0, math.inf),
        ([], math.inf, 0.0),
        ([], math.nan, 0.0),
    ],
)
def test_labels_and_detections_lie_within_the_signal(words, duration, late) -> None:
    with pytest.raises(WrongUse, match="cannot be"):
        judge_detections(at(1), words, duration_s=duration, late_s=late)


@pytest.mark.parametrize(("start", "end"), [(2, 1), (-1, 1), (0, math.inf), (math.nan, 1)])
def test_an_interval_has_a_start_and_an_end(start: float, end: float) -> None:
    with pytest.raises(WrongUse, match="an interval from"):
        Interval(start_s=start, end_s=end)
