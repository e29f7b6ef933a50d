from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.measured import rows
from fakes.profiled import CNN, counted, timed

from harness.measure.csvfile import append
from harness.measure.operator_gate import ProfileVersus, judge_profile
from harness.measure.operators import compare_operators
from harness.measure.runs import Baselines, Run
from harness.measure.tables import OperatorRow
from harness.report.operators import (
    MOST_SHOWN,
    operators_part,
    operators_text,
    sentence_of_rows,
    summary_of_rows,
    versus_text,
)
from harness.report.verdicts import Mood, baseline_badge, with_operators
from harness.text import WIDTH

QUIET = (100.0, 100.1, 99.9, 100.2, 99.8)
SLOWER = [*CNN[:3], (*CNN[3][:3], 3061)]


def judged(before, now) -> tuple[OperatorRow, ...]:
    """As judged against a baseline `r1`."""
    base = Run(row=rows("r1")[-1], sessions=tuple(rows("r1")[:-1]), layers=tuple(before))
    return judge_profile(rows("r2")[-1], now, Baselines(source="b.csv", runs=(base,)), track=False)


def test_a_summary_names_what_moved_and_counts_the_rest() -> None:
    said = summary_of_rows(judged(counted("r1"), counted("r2", SLOWER))).splitlines()
    assert said[:2] == ["nano, tflm, sine_int8", "operators against run r1: 1 slower, 4 same"]
    assert said[-1].split() == ["3", "FULLY_CONNECTED", "1x10", "3060", "3061", "1.0003", "slower"]
    assert len(said) == 5
    same = summary_of_rows(judged(counted("r1"), counted("r2")))
    assert same.splitlines()[1:] == ["operators against run r1: 5 same"]


def test_a_summary_says_why_nothing_could_be_compared() -> None:
    found = judged([], counted("r2"))
    said = " ".join(summary_of_rows(found).split())
    assert "cannot tell: baseline run r1 has no profile" in said


def test_of_times_the_rule_is_said_and_of_many_the_first() -> None:
    a = timed("r1", [QUIET[:1]] * 8)
    said = operators_text(compare_operators(a, a))
    assert said.count("3 on each side") == 3
    assert "cannot tell" in said


@pytest.mark.parametrize("count", [1, 70])
def test_no_line_is_wider_than_a_terminal_and_no_name_acts_on_it(count: int) -> None:
    names = ["\x1b[31mred" * 9, "A" * 300, "MAX_POOL_2D+RESHAPE+RELU+CONV_2D"]
    before = [(names[at % 3], "x", "1x112x112x64", 92_000_000 + at) for at in range(count)]
    after = [(*operator[:3], operator[3] + 10 * (at % 5)) for at, operator in enumerate(before)]
    said = operators_text(compare_operators(counted("a", before), counted("b", after)))
    assert all(len(line) <= WIDTH for line in said.splitlines())
    assert "\x1b" not in said
    assert len(said.splitlines()) <= MOST_SHOWN + 4
    if count > MOST_SHOWN:
        assert "... and 36 slower" in said


def test_what_was_refused_is_a_line() -> None:
    found = ProfileVersus(board="b", runtime="r", model="m", dtype="int8", refused="refused: clock")
    assert versus_text([found]) == "b, r, m_int8: refused: clock"
    part = operators_part([found])
    assert part.section is not None and part.section.notes[0].text == "refused: clock"
    assert not part.bad


def test_a_document_has_the_slower_operator_first_and_is_bad() -> None:
    mixed = [(*CNN[0][:3], CNN[0][3] - 1), *SLOWER[1:]]
    changes = compare_operators(counted("a"), counted("b", mixed))
    found = ProfileVersus(board="b", runtime="r", model="m", dtype="int8", changes=changes)
    part = operators_part([found])
    assert part.bad and part.section is not None
    assert [line.cells[3] for line in part.section.lines] == ["3 FULLY_CONNECTED", "0 CONV_2D"]
    assert [line.loud for line in part.section.lines] == [True, False]
    assert part.section.heading == "Operators: 1 slower, 1 faster, 3 same"


def test_a_slower_operator_makes_the_verdict_bad_where_the_whole_is_the_same() -> None:
    row = replace(rows("r2")[-1], baseline_verdict="same", baseline_ratio=1.0)
    operators = judged(counted("r1"), counted("r2", SLOWER))
    badge = with_operators(baseline_badge(row), operators)
    assert badge.mood is Mood.BAD and "3 FULLY_CONNECTED" in badge.text
    same = with_operators(baseline_badge(row), judged(counted("r1"), counted("r2")))
    assert (same.mood, same.text) == (Mood.GOOD, "same")
    assert same.detail.endswith("operators: 5 same")
    assert with_operators(badge, ()) is badge


def test_a_sentence_names_what_appeared_and_went(tmp_path) -> None:
    longer = [*CNN[:2], ("RESHAPE", "flat", "1x1352", 12), *CNN[2:]]
    found = judged(counted("r1"), counted("r2", longer))
    append(tmp_path / "operators.csv", found)
    assert sentence_of_rows(found) == (
        "Operators against run r1: appeared: 2 RESHAPE; 5 of 6 the same."
    )
