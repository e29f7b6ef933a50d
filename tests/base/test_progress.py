from __future__ import annotations

import pytest

from harness.progress import Task, no_progress, state


def test_work_that_nobody_looks_at_goes_on_all_the_same() -> None:
    with no_progress("nano: timing", 3) as advance:
        assert advance(2) is None


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (5, 4, None), (5, None, None), (0, 0, None)],
)
def test_a_share_is_known_while_the_total_is_not_proved_wrong(
    done: int, total: int | None, share: float | None
) -> None:
    assert Task("building", total, start=0.0, done=done).share == share


def test_one_task_has_its_own_share_and_time() -> None:
    now = state([Task("nano: timing", 10, start=5.0, done=4)], now=8.0)
    assert (now.what, now.share, now.elapsed_s) == ("nano: timing", 0.4, 3.0)


def test_a_task_within_the_part_of_another_counts_as_that_part() -> None:
    outer = Task("nano: session", 2, start=1.0, done=1)
    now = state([outer, Task("nano: timing", 10, start=7.0, done=5)], now=8.0)
    assert (now.what, now.share, now.elapsed_s) == ("nano: session 2/2, timing", 0.75, 7.0)


def test_three_levels_count_as_parts_of_parts() -> None:
    tasks = [Task("run", 2, start=0.0), Task("nano: session", 2, start=1.0, done=1)]
    now = state([*tasks, Task("nano: timing", 4, start=7.0, done=2)], now=8.0)
    assert (now.what, now.share) == ("run 1/2, nano: session 2/2, nano: timing", 0.375)


def test_what_a_task_did_of_a_part_stays_done_when_it_is_over() -> None:
    outer = Task("nano: session", 2, start=1.0)
    state([outer, Task("nano: timing", 4, start=2.0, done=3)], now=3.0)
    assert state([outer], now=4.0).share == 0.375
    assert state([outer, Task("nano: clock", 4, start=2.0, done=1)], now=5.0).share == 0.375
    outer.advance(1)
    assert state([outer], now=6.0).share == 0.5


def test_around_other_work_a_task_of_one_part_goes_without_saying() -> None:
    outer = Task("nano: session", 1, start=1.0)
    now = state([outer, Task("nano: timing", 10, start=7.0, done=5)], now=8.0)
    assert (now.what, now.share) == ("nano: timing", 0.5)


def test_a_task_of_unknown_length_leaves_the_share_of_the_one_around_it() -> None:
    outer = Task("nano: session", 4, start=1.0, done=1)
    now = state([outer, Task("nano: uploading", None, start=7.0)], now=8.0)
    assert (now.share, now.elapsed_s) == (0.25, 7.0)


def test_around_a_task_of_known_length_one_of_unknown_length_only_gives_its_name() -> None:
    outer = Task("report", None, start=1.0)
    now = state([outer, Task("pictures", 4, start=7.0, done=1)], now=8.0)
    assert (now.what, now.share, now.elapsed_s) == ("report, pictures", 0.25, 1.0)
