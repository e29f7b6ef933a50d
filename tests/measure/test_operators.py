from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.profiled import CNN, counted, timed

from harness.errors import ReportError
from harness.measure.csvfile import append
from harness.measure.frames import load_frame
from harness.measure.gate import aa_spread, session_sd, spreads_of
from harness.measure.operators import any_slower, compare_operators

QUIET = (100.0, 100.1, 99.9, 100.2, 99.8)


def verdicts(a, b) -> dict[str, str]:
    return {change.label: change.verdict for change in compare_operators(a, b)}


def with_count(index: int, count: int):
    return [
        (kind, name, shape, count if at == index else old)
        for at, (kind, name, shape, old) in enumerate(CNN)
    ]


def test_one_instruction_more_in_one_operator_is_slower_and_one_less_faster() -> None:
    more = verdicts(counted("a"), counted("b", with_count(2, 416507)))
    assert more.pop("2 CONV_2D") == "slower" and set(more.values()) == {"same"}
    less = compare_operators(counted("a"), counted("b", with_count(1, 70215)))
    (faster,) = [change for change in less if change.verdict == "faster"]
    assert (faster.label, faster.a, faster.b, faster.unit) == (
        *("1 MAX_POOL_2D", 70216, 70215),
        "instructions",
    )
    assert not any_slower(less)


def test_operators_that_swap_what_they_take_are_named_though_the_whole_is_the_same() -> None:
    swapped = with_count(0, 655713 - 50)
    swapped[2] = (*CNN[2][:3], 416506 + 50)
    a, b = counted("a"), counted("b", swapped)
    assert a[0].whole_instructions == b[0].whole_instructions
    assert verdicts(a, b) == {
        "0 CONV_2D": "faster",
        "1 MAX_POOL_2D": "same",
        "2 CONV_2D": "slower",
        "3 FULLY_CONNECTED": "same",
        "between": "same",
    }


def test_what_lies_between_the_operators_is_judged_as_one_of_them() -> None:
    slower = [replace(row, between_instructions=35) for row in counted("b")]
    assert verdicts(counted("a"), slower)["between"] == "slower"


def test_operators_without_an_instruction_have_no_ratio() -> None:
    a, b = counted("a", with_count(1, 0)), counted("b", with_count(1, 4))
    (change,) = [item for item in compare_operators(a, b) if item.label == "1 MAX_POOL_2D"]
    assert (change.verdict, change.ratio) == ("slower", None)
    assert verdicts(a, a)["1 MAX_POOL_2D"] == "same"
    assert verdicts(b, a)["1 MAX_POOL_2D"] == "faster"


def test_an_inserted_operator_appeared_and_those_behind_it_are_still_compared() -> None:
    longer = [*CNN[:2], ("RESHAPE", "flat", "1x1352", 12), *CNN[2:]]
    found = compare_operators(counted("a"), counted("b", longer))
    moved = [(c.index_a, c.index_b, c.verdict) for c in found if c.verdict != "same"]
    assert moved == [(None, 2, "appeared")]
    assert [(c.index_a, c.index_b) for c in found if c.operator == "FULLY_CONNECTED"] == [(3, 4)]
    gone = compare_operators(counted("a", longer), counted("b"))
    assert [(c.label, c.verdict) for c in gone if c.verdict != "same"] == [("2 RESHAPE", "went")]
    assert not any_slower(found)


def test_of_equal_operators_the_name_says_which_one_was_inserted() -> None:
    twin = ("CONV_2D", "conv1b", "1x26x26x8", 655713)
    found = compare_operators(counted("a"), counted("b", [twin, *CNN]))
    assert [c.name for c in found if c.verdict == "appeared"] == ["conv1b"]


def test_operators_that_were_renamed_are_the_same_by_kind_and_shape() -> None:
    renamed = [(kind, f"{name}_1", shape, count) for kind, name, shape, count in CNN]
    assert set(verdicts(counted("a"), counted("b", renamed)).values()) == {"same"}


def test_an_operator_of_another_shape_is_another_operator() -> None:
    wider = [*CNN[:3], ("FULLY_CONNECTED", "dense", "1x12", 3060)]
    found = [c.verdict for c in compare_operators(counted("a"), counted("b", wider))]
    assert found == ["same", "same", "same", "went", "appeared", "same"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runtime": "aot"}, "runtime tflm and aot"),
        ({"board": "pico"}, "board nano and pico"),
        ({"emulated": False}, "emulated True and False"),
        ({"clock_hz": 1}, "clock 64000000 and 1"),
    ],
)
def test_what_fuses_or_counts_otherwise_is_refused(changes, said) -> None:
    with pytest.raises(ReportError, match=said):
        compare_operators(counted("a"), counted("b", **changes))


def test_no_rows_and_rows_of_several_runs_are_refused() -> None:
    with pytest.raises(ReportError, match="the second has no rows"):
        compare_operators(counted("a"), [])
    with pytest.raises(ReportError, match="the first has rows of several runs"):
        compare_operators([*counted("a"), *counted("b")], counted("c"))


def test_tables_of_a_file_are_taken_as_well_as_records(tmp_path) -> None:
    for run, more in (("a", 0), ("b", 1)):
        append(tmp_path / run / "layers.csv", counted(run, with_count(3, 3060 + more)))
    a, b = (load_frame(tmp_path / run / "layers.csv", "layers") for run in "ab")
    assert verdicts(a, b)["3 FULLY_CONNECTED"] == "slower"


def test_one_operator_is_slower_while_the_whole_is_within_its_tolerance() -> None:
    # Five operators of 100 us: one of them 5 % slower makes the whole 1 % slower.
    a = timed("a", [QUIET] * 5)
    b = timed("b", [QUIET] * 4 + [[1.05 * figure for figure in QUIET]])
    found = verdicts(a, b)
    assert found.pop("4 CONV_2D") == "slower" and set(found.values()) == {"same"}
    assert verdicts(b, a)["4 CONV_2D"] == "faster"


@pytest.mark.parametrize("sessions", [1, 2])
def test_fewer_than_three_sessions_cannot_tell_and_say_so(sessions) -> None:
    a = timed("a", [QUIET[:sessions]])
    b = timed("b", [[2 * figure for figure in QUIET[:sessions]]])
    change, _ = compare_operators(a, b)
    assert change.verdict == "cannot tell" and "3 on each side" in change.rule
    old = [replace(row, session_p50_us=None, sessions=None) for row in a]
    assert verdicts(old, b)["0 CONV_2D"] == "cannot tell"


def test_what_takes_less_than_the_counters_step_cannot_be_told() -> None:
    a = timed("a", [[0.5] * 5], step_us=1.0)
    b = timed("b", [[0.9] * 5], step_us=1.0)
    change, _ = compare_operators(a, b)
    assert (
        change.verdict == "cannot tell" and "one step of the board's counter, 1 us" in change.rule
    )
    # A step more than one step is no change either; far more than it is one.
    assert (
        verdicts(timed("a", [[1.0] * 5], step_us=1.0), timed("b", [[2.0] * 5], step_us=1.0))[
            "0 CONV_2D"
        ]
        != "slower"
    )
    assert verdicts(a, timed("b", [[20.0] * 5], step_us=1.0))["0 CONV_2D"] == "slower"


def test_times_below_nothing_cannot_be_told_without_a_step() -> None:
    found = compare_operators(timed("a", [[-0.1] * 5], step_us=0), timed("b", [QUIET], step_us=0))
    assert found[0].verdict == "cannot tell" and "observing" in found[0].rule


def test_times_that_are_no_numbers_leave_the_median_as_the_only_session() -> None:
    a = [replace(row, session_p50_us="nan 1 x") for row in timed("a", [QUIET])]
    assert verdicts(a, timed("b", [QUIET]))["0 CONV_2D"] == "cannot tell"


@pytest.mark.parametrize("noise", ["normal", "heavy"])
@pytest.mark.parametrize("sessions", [3, 5, 10])
def test_of_1000_runs_of_the_same_firmware_none_has_a_slower_operator(noise, sessions) -> None:
    # 30 operators a run, whose sessions differ by 3 %: the floor of 2 % hides nothing.
    generator = np.random.default_rng(15)
    shape = (2, 1000, 30, sessions)
    drawn = (
        generator.standard_normal(shape) if noise == "normal" else generator.standard_t(3, shape)
    )
    base, new = np.abs(100 * (1 + 0.03 * drawn))
    # The interval can only take slowdowns away, and it is what takes the time.
    ratio = np.median(new, axis=-1) / np.median(base, axis=-1)
    spread = aa_spread(session_sd(base, new), sessions, sessions)

    def flagged(family: int) -> int:
        delta = np.maximum(0.02, spreads_of(family, sessions, sessions) * spread)
        return int((ratio > 1 + delta).any(axis=-1).sum())

    assert flagged(31) <= 1
    # As if each operator were the only one that is judged: some are called slower.
    assert flagged(1) > 4


def test_more_operators_need_more_spreads_and_one_needs_three() -> None:
    assert spreads_of(1, 5, 5) == 3
    assert 3 < spreads_of(10, 5, 5) < spreads_of(30, 5, 5) < spreads_of(30, 3, 3)
    noisy = [98.0, 99.0, 100.0, 101.0, 102.0]
    a, b = timed("a", [noisy] * 4), timed("b", [[1.03 * x for x in noisy]] * 4)
    change = compare_operators(a, b)[0]
    assert (
        change.verdict == "cannot tell"
        and "A/A spreads" in change.rule
        and "three" not in change.rule
    )
