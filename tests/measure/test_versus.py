from __future__ import annotations

import csv
import io

import pytest
from fakes.measured import QUIET, a_run

from harness.measure.runs import Baselines, Run
from harness.measure.versus import VersusRow, any_slower, as_csv, as_text, versus

SLOWER = [1.05 * time for time in QUIET]


def side(*runs: Run) -> Baselines:
    return Baselines(source="x.csv", runs=runs)


def only(a: Baselines, b: Baselines) -> VersusRow:
    (row,) = versus(a, b)
    return row


def test_ratio_is_that_of_b_over_a_with_its_interval() -> None:
    row = only(side(a_run("1", git_commit="aa")), side(a_run("2", SLOWER, git_commit="bb")))
    assert (row.verdict, row.ratio) == ("slower", pytest.approx(1.05))
    assert (row.a, row.b, row.unit) == (100.0, 105.0, "us")
    assert (row.commit_a, row.commit_b, row.run_a, row.run_b) == ("aa", "bb", "1", "2")
    assert row.low is not None and 1.04 < row.low < 1.05
    assert any_slower([row])


def test_what_is_on_one_side_only_is_named() -> None:
    rows = versus(side(a_run("1", board="x")), side(a_run("2", board="y")))
    assert [(row.board, row.verdict, row.ratio) for row in rows] == [
        ("x", "only in A", None),
        ("y", "only in B", None),
    ]
    assert not any_slower(rows)


def test_emulated_and_real_are_refused_and_not_computed() -> None:
    emulated = a_run("1", board="qemu-m4", mcu="M4", emulated=True)
    rows = versus(side(emulated), side(a_run("2", board="nano")))
    assert {row.verdict for row in rows} == {"refused"}
    assert all(row.ratio is None for row in rows)
    assert "nano is real: not compared" in rows[1].reason
    row = only(side(emulated), side(a_run("2", board="qemu-m4", mcu="M4")))
    assert (row.verdict, row.ratio) == ("refused", None)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"clock_hz": 5}, "other clock: 5 Hz, A 1 Hz"),
        ({"flags": "-O3"}, "other compiler flags: -O3 only in B, -Os -mcpu=cortex-m4 only in A"),
    ],
)
def test_other_clock_or_flags_are_refused(changes: dict[str, object], reason: str) -> None:
    row = only(side(a_run("1")), side(a_run("2", **changes)))
    assert (row.verdict, row.ratio, row.reason) == ("refused", None, reason)


def test_of_several_runs_the_newest_that_may_be_compared_counts() -> None:
    a = side(a_run("1", SLOWER), a_run("2"), a_run("3", clock_hz=5))
    row = only(a, side(a_run("4"), a_run("5", SLOWER)))
    assert (row.run_a, row.run_b, row.verdict) == ("2", "5", "slower")


def test_change_of_model_or_runtime_version_is_compared_and_said() -> None:
    row = only(side(a_run("1")), side(a_run("2", model_sha256="ff", runtime_version="9")))
    assert row.verdict == "same"
    assert row.reason.endswith("model changed from ab to ff; runtime changed from 1 to 9")


LONG = (
    a_run("1", board="qemu-netduinoplus2", model="horse_or_human-96"),
    a_run("2", [1234.5 * time for time in QUIET], board="qemu-netduinoplus2",
          model="horse_or_human-96"),
)  # fmt: skip


def test_text_fits_eighty_columns_and_gives_reasons() -> None:
    text = as_text(versus(side(LONG[0], a_run("3")), side(LONG[1])))
    assert max(map(len, text.splitlines())) <= 80
    assert "slower" in text and "only in A" in text
    assert "  horse_or_human-96_int8" in text
    assert "horse_or_human-96_int8: ratio 1234.5" in text.replace("\n    ", " ")


def test_csv_holds_every_row_with_its_reason() -> None:
    rows = versus(side(a_run("1"), a_run("3", board="x")), side(a_run("2", SLOWER)))
    found = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["verdict"] for row in found] == ["slower", "only in A"]
    assert found[0]["reason"].startswith("ratio 1.05") and found[1]["ratio"] == ""
