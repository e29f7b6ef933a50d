from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.measured import QUIET, a_run

from harness.measure.baseline import refusal
from harness.measure.gate import Sessions
from harness.measure.history import (
    MOST_SESSIONS,
    FigureHistory,
    FigureKind,
    Move,
    Point,
    apart,
    figure_history,
    setup_of,
)

KIND = FigureKind(name="latency", unit="us", more="slower", less="faster")
KEY = a_run("r").key
SETUP = setup_of(KEY, "gcc 12")
OTHER = setup_of(KEY, "gcc 13")
FLAT = (-0.001, -0.0005, 0.0, 0.0005, 0.001)
"""Sessions that differ by 0.1 %."""


def point(night: int, middle: float, spread: tuple[float, ...] | None = None, **known) -> Point:
    """A run of that night; its figure is exact where no spread is given."""
    sessions = spread and Sessions(figures=tuple(middle * (1 + part) for part in spread))
    base = Point(
        time_utc=f"2026-11-{night + 1:02}T02:00:00Z",
        run=f"r{night}",
        commit=f"c{night}",
        value=middle,
        setup=SETUP,
        model_sha256="m",
        runtime_version="1",
        sessions=sessions,
    )
    return replace(base, **known)


def of(middles, spread=None, **known) -> FigureHistory:
    return figure_history(KIND, [point(at, m, spread, **known) for at, m in enumerate(middles)])


def found(history: FigureHistory) -> list[tuple[str, str | None, str | None]]:
    return [(KIND.word(c.move), c.good.commit, c.bad.commit) for c in history.changes]


def test_every_change_of_an_exact_figure_is_found_between_its_two_runs() -> None:
    history = of([10, 10, 11, 11, 9, 9, 10])
    expected = [("slower", "c1", "c2"), ("faster", "c3", "c4"), ("slower", "c5", "c6")]
    assert found(history) == expected
    assert [change.at for change in history.changes] == [2, 4, 6]
    assert history.changes[0].ratio == 1.1 and history.changes[0].undecided == 0


@pytest.mark.parametrize("counts, words", [((0, 3, 0), ["slower", "faster"]), ((0, 0, 0), [])])
def test_a_figure_may_be_0(counts, words) -> None:
    history = of([float(count) for count in counts])
    assert [word for word, *_ in found(history)] == words
    assert history.constant == (not words)


def test_instruction_counts_are_judged_as_the_gate_does() -> None:
    counts = [Sessions(figures=(float(n),) * 5, exact=True) for n in (2967, 2967, 2968)]
    points = [point(at, s.median, sessions=s) for at, s in enumerate(counts)]
    (change,) = figure_history(KIND, points).changes
    assert change.rule == "2968 instructions against 2967: exact, so one more decides"


def test_a_step_of_times_is_found_and_noise_is_not() -> None:
    assert found(of([100.0] * 6 + [103.0] * 6, FLAT)) == [("slower", "c5", "c6")]
    assert found(of([100.0, 100.4, 99.7, 100.2] * 5, FLAT)) == []


def test_what_creeps_by_less_than_a_night_shows_is_found_against_the_first_of_its_level() -> None:
    history = of([100 * 1.012**night for night in range(5)], FLAT)
    assert found(history) == [("slower", "c1", "c2"), ("slower", "c3", "c4")]
    assert history.changes[0].reference.commit == "c0"


def test_runs_that_nobody_can_tell_of_widen_the_range_and_are_counted() -> None:
    wide = (-0.05, -0.02, 0.0, 0.02, 0.05)
    points = [point(at, 100.0, FLAT) for at in (0, 1)]
    points += [point(at, 102.0, wide) for at in (2, 3)]
    points += [point(4, 110.0, FLAT)]
    history = figure_history(KIND, points)
    assert found(history) == [("slower", "c1", "c4")] and history.changes[0].undecided == 2
    assert [judged.point.run for judged in history.undecided] == ["r2", "r3"]


def test_too_few_or_far_too_many_sessions_cannot_tell_and_say_why() -> None:
    history = of([100.0, 200.0], FLAT[:2])
    assert found(history) == [] and len(history.undecided) == 2
    assert history.undecided[0].rule == "2 sessions: 3 say how sessions differ, fewer do not"
    many = of([100.0, 200.0], (0.0,) * (MOST_SESSIONS + 1))
    assert found(many) == [] and "more than 100 are not judged" in many.undecided[0].rule


def test_a_level_that_began_with_a_noisy_run_begins_again_where_two_agree() -> None:
    noisy = point(0, 100.0, (-0.3, -0.1, 0.0, 0.1, 0.3))
    quiet = [point(at, 100.0, FLAT) for at in (1, 2, 3)]
    # 1.2 % and again: neither is a change from the night before, both together are one.
    creeping = [point(4, 101.2, FLAT), point(5, 102.4, FLAT)]
    assert found(figure_history(KIND, [noisy, *quiet, *creeping])) == [("slower", "c4", "c5")]


def test_runs_of_another_setup_are_named_and_compared_among_themselves_only() -> None:
    kinds = [SETUP, OTHER, SETUP, OTHER, SETUP]
    values = [10.0, 20.0, 10.0, 21.0, 11.0]
    points = [point(at, v, setup=s) for at, (v, s) in enumerate(zip(values, kinds, strict=True))]
    history = figure_history(KIND, points)
    assert found(history) == [("slower", "c1", "c3"), ("slower", "c2", "c4")]
    (split,) = history.splits
    assert (split.at, split.reason) == (1, "other compiler: gcc 13, before gcc 12")
    assert [judged.setup for judged in history.points] == [0, 1, 0, 1, 0]
    assert all(change.undecided == 0 for change in history.changes)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"clock_hz": 2}, "other clock: 2 Hz, before 1 Hz"),
        ({"flags": "-O3"}, "-O3 only in this run"),
        ({"flags": None}, "this run does not say its compiler flags"),
        ({"host": "a"}, "the run before does not name its host"),
        ({"emulated": True}, "one is emulated"),
        ({"model_in": "ram"}, "the model lay in ram"),
    ],
)
def test_setups_are_apart_as_baselines_are_refused(changed, said: str) -> None:
    other = replace(KEY, **changed)
    assert refusal(other, KEY, any_version=True) is not None
    assert setup_of(other) != setup_of(KEY)
    assert said in (apart(setup_of(KEY), setup_of(other)) or "")


def test_another_model_or_version_is_one_setup_and_a_cause_that_is_named() -> None:
    other = replace(KEY, model_sha256="x", runtime_version="2")
    assert setup_of(other) == setup_of(KEY)
    points = [point(0, 1.0), point(1, 2.0, model_sha256="n", runtime_version="2")]
    (change,) = figure_history(KIND, points).changes
    assert change.causes == ("model changed from m to n", "runtime changed from 1 to 2")


def test_compiler_and_data_are_of_the_setup() -> None:
    assert apart(SETUP, setup_of(KEY)) == "this run does not say its compiler"
    assert "other data: b, before a" in (
        apart(setup_of(KEY, data="a"), setup_of(KEY, data="b")) or ""
    )
    assert apart(SETUP, SETUP) is None


def test_identical_firmware_is_rarely_called_changed() -> None:
    """The gate's own odds are under 1 in 1000 for a pair of runs; two pairs a night are judged."""
    rng = np.random.default_rng(3)
    changes = 0
    for _ in range(20):
        spread = rng.normal(0, 0.003, (50, 5))
        points = [point(at % 28, 100.0, tuple(row)) for at, row in enumerate(spread)]
        changes += len(figure_history(KIND, points).changes)
    assert changes <= 3


def test_shares_that_differ_by_rounding_are_the_same() -> None:
    assert found(of([0.1 + 0.2, 0.3])) == []


def test_the_sessions_of_the_gates_examples_are_enough() -> None:
    slower = tuple(1.05 * time for time in QUIET)
    runs = [a_run("a").figures, a_run("b", slower).figures]
    points = [point(at, s.median, sessions=s) for at, s in enumerate(runs)]
    assert [change.move for change in figure_history(KIND, points).changes] == [Move.MORE]
