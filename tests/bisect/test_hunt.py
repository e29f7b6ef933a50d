"""The search over made-up histories: no git, no board."""

from __future__ import annotations

import random

import pytest
from fakes.commits import Line, noisy

from harness.bisect.figures import Figure
from harness.bisect.hunt import Hunted
from harness.bisect.question import (
    Broken,
    Larger,
    Slower,
    Threshold,
    Wrong,
    parse_threshold,
    questions,
)
from harness.errors import RigError, WrongUse


def counts(*values: int, unit: str = "instr") -> Line:
    return Line(lambda number: Figure(value=values[number], unit=unit), len(values))


def found(hunted: Hunted) -> list[int | None]:
    return [int(one.found.id, 16) if one.found else None for one in hunted.changes]


def test_every_place_of_a_change_among_64_commits_is_found_in_six_steps() -> None:
    for place in range(1, 64):
        line = counts(*(1000 + 30 * (number >= place) for number in range(64)))
        hunted = line.hunt(Slower())
        assert found(hunted) == [place]
        assert hunted.judged <= 6
        change = hunted.changes[0]
        assert change.before.figure is not None and change.before.figure.value == 1000
        assert change.after.figure is not None and change.after.figure.value == 1030


def test_two_changes_in_one_range_are_told_apart() -> None:
    line = counts(*(1000 + 30 * (number >= 23) + 50 * (number >= 41) for number in range(64)))
    hunted = line.hunt(Slower())
    assert found(hunted) == [23, 41]
    assert hunted.rest == 0
    assert found(line.hunt(Slower(), only_first=True)) == [23]


def test_a_threshold_passes_over_what_is_below_it() -> None:
    line = counts(*(1000 + 5 * (number >= 10) + 50 * (number >= 41) for number in range(64)))
    hunted = line.hunt(Slower(threshold=parse_threshold("3%", None)))
    assert found(hunted) == [41]
    assert hunted.rest == 5
    over = line.hunt(Slower(threshold=parse_threshold(None, "1004")))
    assert found(over) == [10, 41]


def test_small_changes_that_are_left_are_counted_and_not_searched_for() -> None:
    line = counts(*(1000 + 100 * (number >= 20) + (number >= 50) for number in range(64)))
    hunted = line.hunt(Slower())
    assert found(hunted) == [20]
    assert hunted.rest == 1


def test_commits_that_cannot_be_judged_are_skipped_and_the_answer_names_the_range() -> None:
    def figure(number: int) -> Figure | str:
        if number in (30, 31, 32):
            return "does not build"
        return Figure(value=1000 + (number >= 31), unit="instr")

    hunted = Line(figure, 64).hunt(Slower())
    assert found(hunted) == [None]
    assert {int(one.id, 16) for one in hunted.changes[0].suspects} == {30, 31, 32, 33}
    assert {taken.why for taken in hunted.changes[0].skipped} == {"does not build"}
    assert hunted.skipped == 3


def test_wrong_counts_from_the_first_input_and_tells_of_more() -> None:
    line = counts(*((number >= 3) * 2 + (number >= 9) * 5 for number in range(16)), unit="inputs")
    assert found(line.hunt(Wrong())) == [3, 9]


def test_a_build_that_fails_for_another_reason_is_skipped() -> None:
    def figure(number: int) -> Figure:
        why = "b.cpp: no type" if number >= 12 else "a.cpp: typo" if number == 7 else ""
        return Figure(value=bool(why), unit="builds", note=why)

    line = Line(figure, 16)
    assert found(line.hunt(Broken())) == [12]
    assert 7 in line.asked


@pytest.mark.parametrize("by, over", [("x", None), ("-1", None), ("nan%", None), (None, "fast")])
def test_a_threshold_that_is_none_is_wrong_use(by: str | None, over: str | None) -> None:
    with pytest.raises(WrongUse, match="takes a"):
        parse_threshold(by, over)


def test_questions_are_asked_one_at_a_time_and_know_their_sizes() -> None:
    nothing = {"operator": None, "wrong": False, "larger": None, "broken": False}
    with pytest.raises(WrongUse, match="--wrong and --broken are different questions"):
        questions(**{**nothing, "wrong": True, "broken": True}, threshold=Threshold())
    with pytest.raises(WrongUse, match="one of flash, ram, arena, stack, not 'heap'"):
        questions(**{**nothing, "larger": "heap"}, threshold=Threshold())
    with pytest.raises(WrongUse, match="--broken has no figure"):
        questions(**{**nothing, "broken": True}, threshold=Threshold(by=1.0))


def test_bad_that_is_still_good_is_named_with_its_figures_before_any_step() -> None:
    line = counts(*[1000] * 64)
    with pytest.raises(WrongUse, match="BAD is still good: 0{11}.* has 1,000 instr, GOOD 1,000"):
        line.hunt(Slower())
    assert line.asked == [0, 63]


def test_good_that_is_bad_already_is_named_before_any_step() -> None:
    line = counts(*[3] * 64, unit="inputs")
    with pytest.raises(WrongUse, match="GOOD is bad already"):
        line.hunt(Wrong())
    assert line.asked == [0, 63]


def test_times_that_are_the_same_are_no_matter_of_more_sessions() -> None:
    line = noisy(1, 0.0, 0.0001, seed=1)
    with pytest.raises(WrongUse, match="BAD is still good"):
        line.hunt(Slower())
    assert {len(taken.figure.sessions.figures) for taken in line.taken.values()} == {5}


def test_an_end_that_cannot_be_judged_ends_the_search_with_its_reason() -> None:
    line = Line(lambda number: "no reply" if number else Figure(value=1, unit="B"), 8)
    with pytest.raises(WrongUse, match=r"BAD \(0+\) cannot be judged: no reply"):
        line.hunt(Larger(what="stack"))


@pytest.mark.parametrize("size, least", ((0.03, 0.2), (0.3, 0.9)))
def test_noise_of_two_percent_never_names_a_wrong_commit(size: float, least: float) -> None:
    """benchmarks/whole/bisect.py has 100 of each."""
    searches = 20
    named = 0
    for seed in range(searches):
        place = random.Random(seed).randrange(1, 64)
        line = noisy(place, size, 0.02, seed)
        try:
            change = line.hunt(Slower(), only_first=True).changes[0]
        except RigError as error:
            assert "more of each commit: -- --sessions" in error.hint
            continue
        assert place in {int(one.id, 16) for one in change.suspects}
        named += change.found is not None
    assert named >= least * searches


def test_what_cannot_be_told_is_measured_in_more_sessions() -> None:
    line = noisy(20, 0.06, 0.02, seed=2)
    line.hunt(Slower(), only_first=True)
    figures = [taken.figure for taken in line.taken.values()]
    lengths = {len(one.sessions.figures) for one in figures if one and one.sessions}
    assert lengths > {5} and max(lengths) <= 25
