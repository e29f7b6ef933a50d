"""`harness.report.verdicts`: what a report says before it shows a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import described

from harness.report.verdicts import (
    Mood,
    baseline_badge,
    clock_badge,
    outputs_badge,
    overall,
    retries_badge,
    sessions_badge,
    verdicts_of,
)

RIGHT = described.row(verdict="pass", samples=256, mismatches=0, session_number=1)


@pytest.mark.parametrize(
    "changes, mood, text",
    [
        ({}, Mood.GOOD, "right, 256 of 256"),
        (
            {"verdict": "mismatch", "mismatches": 3, "max_abs_lsb": 2.0},
            Mood.BAD,
            "mismatch: 3 of 256 differ, by up to 2 LSB",
        ),
        (
            {"verdict": "mismatch", "mismatches": 3, "max_abs_lsb": 0.5, "max_ulp": 9000},
            Mood.BAD,
            "mismatch: 3 of 256 differ, by up to 0.5",
        ),
        (
            {"verdict": "mismatch", "mismatches": 3, "max_abs_lsb": 2.0, "wrong_outputs": "boxes"},
            Mood.BAD,
            "mismatch: 3 of 256 differ in boxes, by up to 2 LSB",
        ),
        ({"verdict": "inaccurate"}, Mood.BAD, "inaccurate"),
        ({"verdict": None}, Mood.NEUTRAL, "not compared"),
    ],
)
def test_outputs_are_judged(changes: dict[str, object], mood: Mood, text: str) -> None:
    badge = outputs_badge(replace(RIGHT, **changes))
    assert (badge.mood, badge.text) == (mood, text)


@pytest.mark.parametrize("verdict", ["pass", "mismatch"])
def test_a_tolerance_and_random_inputs_stand_beside_the_verdict(verdict: str) -> None:
    row = replace(
        RIGHT,
        verdict=verdict,
        tolerance="1 LSB, by --hil-tolerance",
        within_tolerance=3,
        check_inputs="random, seed 20261121",
    )
    said = "tolerance 1 LSB, by --hil-tolerance; 3 differ within it; inputs random, seed 20261121"
    assert outputs_badge(row).detail.endswith(said)
    quiet = replace(row, tolerance="bit for bit", check_inputs="goldens", verdict="pass")
    assert outputs_badge(quiet).detail == ""


@pytest.mark.parametrize(
    "verdict, mood",
    [("slower", Mood.BAD), ("faster", Mood.GOOD), ("same", Mood.GOOD)]
    + [("cannot tell", Mood.DOUBTFUL), ("a word of a newer version", Mood.DOUBTFUL)],
)
def test_baseline_verdict_names_the_change_and_its_rule(verdict: str, mood: Mood) -> None:
    row = replace(RIGHT, baseline_verdict=verdict, baseline_ratio=1.0312, baseline_rule="why")
    badge = baseline_badge(row)
    assert (badge.mood, badge.text, badge.detail) == (mood, f"{verdict}, +3.12%", "why")


def test_without_a_baseline_nothing_is_judged() -> None:
    assert baseline_badge(RIGHT).mood is Mood.NEUTRAL


@pytest.mark.parametrize(
    "check, mood",
    [("ok", Mood.GOOD), ("off", Mood.BAD), ("unsteady", Mood.DOUBTFUL)]
    + [("cannot tell", Mood.DOUBTFUL), ("skipped: emulated", Mood.NEUTRAL), (None, Mood.NEUTRAL)],
)
def test_clock_check_is_shown_with_its_rate(check: str | None, mood: Mood) -> None:
    badge = clock_badge(replace(RIGHT, clock_check=check, clock_ppm=-812.0, clock_ppm_error=20.0))
    assert badge.mood is mood
    assert badge.detail == ("-812 ppm ± 20 ppm" if check else "")


def test_retries_are_counted_and_doubtful() -> None:
    assert retries_badge(RIGHT).text == "none"
    badge = retries_badge(replace(RIGHT, retries=4))
    assert (badge.mood, badge.text) == (Mood.DOUBTFUL, "4")


def test_lost_sessions_are_named_with_their_reason() -> None:
    lost = replace(RIGHT, session_number=2, error="board rebooted during RUN")
    badge = sessions_badge([RIGHT, lost])
    assert (badge.mood, badge.text) == (Mood.BAD, "1 of 2 lost")
    assert badge.detail == "session 2: board rebooted during RUN"
    assert sessions_badge([RIGHT]).text == "1 of 1"
    assert sessions_badge([RIGHT], cut_short=True).mood is Mood.DOUBTFUL


def test_headline_is_that_of_the_worst_and_names_it() -> None:
    right = verdicts_of(RIGHT, [RIGHT])
    wrong = verdicts_of(replace(RIGHT, verdict="mismatch", mismatches=1), [RIGHT])
    slower = verdicts_of(replace(RIGHT, baseline_verdict="slower", baseline_ratio=1.05), [RIGHT])
    sick = verdicts_of(RIGHT, [RIGHT, replace(RIGHT, error="gone")])

    def said(*judged: object) -> tuple[str, tuple[str, ...]]:
        result = overall([(f"board {order}", one) for order, one in enumerate(judged)])  # type: ignore[misc]
        return result.headline, result.points

    headline, points = said(right, slower, wrong, sick)
    assert headline == "Outputs are wrong"
    assert points == (
        "Wrong outputs: board 2",
        "Slower than the baseline: board 1",
        "Sessions lost: board 3",
        "4 measurements, 1 of 4 compared with a baseline.",
    )
    assert said(right, slower)[0] == "Outputs are right, but something got slower"
    assert said(right, sick)[0] == "Outputs are right, but the rig is not well"
    assert said(right) == (
        "All outputs are right",
        ("1 measurement, none compared with a baseline.",),
    )


def test_nothing_compared_is_not_called_right() -> None:
    blank = replace(RIGHT, verdict=None)
    result = overall([("a board", verdicts_of(blank, [blank]))])
    assert (result.mood, result.headline) == (Mood.NEUTRAL, "Measured, not compared")


def test_good_baselines_are_part_of_the_headline() -> None:
    same = replace(RIGHT, baseline_verdict="same", baseline_ratio=1.0)
    result = overall([("a board", verdicts_of(same, [same]))])
    assert result.headline == "All outputs are right, and nothing got slower"
    doubtful = replace(RIGHT, baseline_verdict="cannot tell")
    result = overall([("a", verdicts_of(same, [same])), ("b", verdicts_of(doubtful, [doubtful]))])
    assert result.headline == "All outputs are right"
    assert "Cannot tell against the baseline: b" in result.points


def test_worst_of_a_measurement_is_its_mood() -> None:
    assert verdicts_of(RIGHT, [RIGHT]).mood is Mood.GOOD
    assert verdicts_of(replace(RIGHT, retries=1), [RIGHT]).mood is Mood.DOUBTFUL
    assert verdicts_of(replace(RIGHT, clock_check="off", retries=1), [RIGHT]).mood is Mood.BAD
