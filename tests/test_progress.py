from __future__ import annotations

import pytest

from harness.progress import Task, state, unseen


def test_work_that_nobody_looks_at_goes_on_all_the_same() -> None:
    with unseen("nano: timing", 3) as advance:
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
    outer = Task("session", 2, start=1.0, done=1)
    now = state([outer, Task("nano: timing", 10, start=7.0, done=5)], now=8.0)
    assert (now.what, now.share, now.elapsed_s) == ("session 2/2, nano: timing", 0.75, 7.0)


def test_a_task_of_unknown_length_leaves_the_share_of_the_one_around_it() -> None:
    outer = Task("session", 4, start=1.0, done=1)
    now = state([outer, Task("nano: uploading", None, start=7.0)], now=8.0)
    assert (now.share, now.elapsed_s) == (0.25, 7.0)


def test_around_a_task_of_known_length_one_of_unknown_length_only_gives_its_name() -> None:
    outer = Task("report", None, start=1.0)
    now = state([outer, Task("pictures", 4, start=7.0, done=1)], now=8.0)
    assert (now.what, now.share, now.elapsed_s) == ("report, pictures", 0.25, 1.0)
