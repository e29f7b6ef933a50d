"""Boards measured in sessions, and the rows that stay of it."""

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from harness.board.registry import load_registry
from harness.errors import BoardRebooted, ImpossibleTime, NotKept
from harness.measure.frames import read_rows
from harness.measure.latency import DEFAULT, MOST_INVOKES, SHORTENED, Timer
from harness.measure.tables import RUN, SESSION, LatencyRow, MemoryRow, OutputRow, SampleRow
from harness.model.resolve import resolve_model
from harness.project import find_project
from harness.report.summary import summary
from harness.rig.open import RigOptions, open_board
from harness.rig.sessions import Plan, _affordable, measure_board

PROJECT = find_project()
REGISTRY = load_registry()
SINE = resolve_model("sine", PROJECT.artifacts)
NOW = datetime(2026, 11, 21, 6, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def own_locks(monkeypatch, tmp_path):
    monkeypatch.setenv("HIL_LOCK_DIR", str(tmp_path / "locks"))


@pytest.fixture
def plan(tmp_path) -> Plan:
    return Plan(samples=20, csv=tmp_path / "latency.csv", commit="abc", now=lambda: NOW)


def measured(board_id: str, plan: Plan, model=SINE, **options):
    with open_board(REGISTRY[board_id], model, PROJECT, RigOptions(**options)) as opened:
        return measure_board(opened, plan)


def latency_rows(plan: Plan) -> list[LatencyRow]:
    loaded = read_rows(plan.csv, LatencyRow)
    assert loaded.notes == ()
    return list(loaded.rows)


def test_a_run_leaves_a_row_for_each_session_and_one_of_all(plan):
    recorded = measured("qemu-m4", replace(plan, sessions=3))
    rows = latency_rows(plan)
    assert [row.scope for row in rows] == [SESSION] * 3 + [RUN]
    assert [row.began for row in rows] == ["start", "reset", "reset", None]
    assert [row.session_number for row in rows] == [1, 2, 3, None]
    assert len({row.run for row in rows}) == 1 and len({row.session for row in rows[:3]}) == 3
    whole = rows[-1]
    assert (whole.n, whole.sessions, whole.sessions_lost) == (60, 3, 0)
    assert all(row.n == 20 and row.mismatches == 0 for row in rows[:3])
    assert (recorded.run.run, recorded.run.instructions_p50) == (whole.run, whole.instructions_p50)
    assert whole.time_utc == "2026-11-21T06:00:00Z"


def test_every_start_of_an_emulated_board_counts_the_same_and_its_cold_invoke_is_apart(plan):
    rows = measured("qemu-m4", replace(plan, sessions=3)).sessions
    assert len({row.instructions_p50 for row in rows}) == 1
    assert all(row.cold_instructions >= row.instructions_p50 > 2000 for row in rows)
    samples = read_rows(plan.csv.with_name("samples.csv"), SampleRow).rows
    assert {sample.instructions for sample in samples} == {rows[0].instructions_p50}
    assert {row.clock_check for row in rows} == {"skipped: emulated"}


def test_samples_are_kept_raw_and_give_the_statistics_of_the_row(plan):
    recorded = measured("virtual", replace(plan, sessions=2, samples=101))
    samples = read_rows(plan.csv.with_name("samples.csv"), SampleRow).rows
    assert [sample.index for sample in samples] == [*range(101), *range(101)]
    assert {sample.run for sample in samples} == {recorded.run.run}
    for row in recorded.sessions:
        us = [item.us for item in samples if item.session_number == row.session_number]
        assert np.median(us) == pytest.approx(row.p50_us, rel=1e-5)
        assert np.percentile(us, 99) == pytest.approx(row.p99_us, rel=1e-5)
    medians = [row.p50_us for row in recorded.sessions]
    assert recorded.run.session_p50_us == pytest.approx(np.median(medians))
    assert recorded.run.p99_us == pytest.approx(
        np.percentile([item.us for item in samples], 99), rel=1e-5
    )


def test_outputs_stand_beside_golden_float_and_truth(plan):
    recorded = measured("qemu-m4", plan)
    rows = read_rows(plan.csv.with_name("outputs.csv"), OutputRow).rows
    assert len(rows) == recorded.run.samples == 256
    assert all(row.board_raw == row.golden_raw for row in rows)
    assert all(abs(row.truth - np.sin(row.x)) < 1e-4 for row in rows)
    assert max(abs(row.board_real - row.float_real) for row in rows) < 0.1


def test_memory_is_in_the_row_and_by_section_in_its_table(plan):
    row = measured("qemu-m4", plan).run
    parts = read_rows(plan.csv.with_name("memory.csv"), MemoryRow).rows
    assert {part.run for part in parts} == {row.run}
    assert sum(part.flash_bytes for part in parts) == row.flash_bytes
    assert sum(part.ram_bytes for part in parts) == row.ram_bytes
    owners = ("model", "runtime", "kernels", "harness", "rest")
    for place in ("flash", "ram"):
        owned = [getattr(row, f"{place}_{owner}_bytes") for owner in owners]
        assert sum(owned) == getattr(row, f"{place}_bytes")
    assert row.flash_model_bytes > 500 and row.flash_harness_bytes > 1000
    assert 0 < row.stack_used_bytes < row.stack_bytes
    assert row.compiler.startswith("arm-none-eabi-gcc") and "-mcpu=cortex-m4" in row.flags


def test_a_board_without_firmware_has_no_memory_of_its_own(plan):
    row = measured("virtual", plan).run
    assert (row.flash_model_bytes, row.stack_bytes, row.compiler, row.flags) == (None,) * 4
    assert not plan.csv.with_name("memory.csv").exists()


def test_outputs_of_a_classifier_have_labels_and_pictures_have_no_rows(plan):
    digits = resolve_model("mnist_dnn", PROJECT.artifacts)
    measured("virtual", plan, digits)
    rows = read_rows(plan.csv.with_name("outputs.csv"), OutputRow).rows
    assert {row.element for row in rows} == set(range(10))
    assert {row.label for row in rows} <= set(range(10))
    assert sum(row.board_real for row in rows if row.sample == 0) == pytest.approx(1, abs=0.05)
    pictures = replace(plan, csv=plan.csv.with_name("pictures.csv"))
    measured("virtual", pictures, resolve_model("filters", PROJECT.artifacts))
    assert not pictures.csv.with_name("pictures.outputs.csv").exists()


def test_a_session_that_a_reboot_cost_is_named_and_the_others_count(plan):
    # Answers: HELLO, the cold invoke, three of the first session's warm-up and runs, then this.
    recorded = measured("virtual", replace(plan, sessions=3), port="virtual:?reboot_after=6")
    rows = latency_rows(plan)
    lost = [row for row in rows if row.error]
    assert len(lost) == 1 and lost[0].n is None and lost[0].p50_us is None
    assert lost[0].error.startswith("board rebooted during")
    assert (recorded.run.sessions, recorded.run.sessions_lost, recorded.run.n) == (2, 1, 40)


def test_a_run_without_a_whole_session_is_an_error_and_its_rows_stay(plan):
    with pytest.raises(BoardRebooted, match="board rebooted during"):
        measured("virtual", plan, port="virtual:?reboot_after=6")
    (row,) = latency_rows(plan)
    assert row.scope == SESSION and row.error


def test_a_second_measurement_does_not_claim_the_first_ones_cold_invoke(plan):
    with open_board(REGISTRY["virtual"], SINE, PROJECT, RigOptions()) as opened:
        first, second = (measure_board(opened, plan).sessions[0] for _ in range(2))
    assert (first.began, second.began) == ("start", "running")
    assert first.cold_us > 0 and second.cold_us is None


def test_a_baseline_completes_the_row_of_the_run_before_it_is_written(plan):
    def judge(row, sessions):
        assert [item.session_number for item in sessions] == [1, 2]
        return replace(row, baseline_verdict="same")

    assert (
        measured("virtual", replace(plan, sessions=2, judge=judge)).run.baseline_verdict == "same"
    )
    assert [row.baseline_verdict for row in latency_rows(plan)] == [None, None, "same"]


def real(board_id: str):
    """A board that is no emulation to the harness; the virtual one behind it has a true clock."""
    return replace(REGISTRY[board_id], attachment="serial")


def test_the_clock_of_a_real_board_is_checked(plan):
    with open_board(REGISTRY["virtual"], SINE, PROJECT, RigOptions()) as opened:
        opened.declared = real("virtual")
        row = measure_board(opened, replace(plan, sessions=2)).run
    assert abs(row.clock_ppm) <= row.clock_ppm_error + 1
    assert row.clock_check in ("ok", "cannot tell")


def test_a_clock_that_runs_fast_is_off(plan):
    options = RigOptions(port="virtual:?slow=1.05")
    with open_board(REGISTRY["virtual"], SINE, PROJECT, options) as opened:
        opened.declared = real("virtual")
        row = measure_board(opened, replace(plan, sessions=2)).run
    assert row.clock_check == "off"
    assert abs(row.clock_ppm - 50_000) <= row.clock_ppm_error


def test_a_row_holds_the_boards_own_words(plan):
    with open_board(REGISTRY["qemu-m4"], SINE, PROJECT, RigOptions()) as opened:
        row = measure_board(opened, replace(plan, samples=150)).run
        hello = opened.dut.hello
    assert (row.board, row.emulated, row.runtime) == ("qemu-m4", True, "aot")
    assert row.firmware_build == hello.build_id.hex()
    assert row.kernels.startswith("CMSIS-NN")
    assert (row.n, row.samples, row.mismatches, row.verdict) == (150, 256, 0, "pass")
    assert row.instructions_p50 == pytest.approx(row.p50_us * 1000 / 128, abs=1)
    assert row.arena_used_bytes > 0 and row.cold_us > 0
    assert row.git_commit == "abc" and row.host and row.harness_version


def test_accuracy_and_link_time_reach_the_row(plan):
    digits = resolve_model("mnist_dnn", PROJECT.artifacts)
    rows = [measured("virtual", plan, model).run for model in (digits, SINE)]
    assert rows[0].accuracy == rows[0].golden_accuracy > 0.9
    assert (rows[1].accuracy, rows[1].golden_accuracy) == (None, None)
    assert all(row.link_us > 0 for row in rows)
    assert "virtual, tflm, mnist_dnn: accuracy 0.9" in summary(rows, Path("latency.csv"))
    assert "accuracy" not in summary(rows[1:], Path("latency.csv"))


class Opened:
    """A board as far as the number of timed invokes depends on it."""

    def __init__(self, board_id: str, tick_hz: int) -> None:
        self.declared = REGISTRY[board_id]
        self.dut = self
        self.timer = Timer(hz=tick_hz)


@pytest.mark.parametrize(
    "opened, ticks, count",
    [
        (Opened("virtual", 10**9), 951 * 10**6, 20),
        (Opened("nano33ble", 10**6), 20_000, 1000),
        (Opened("nano33ble", 10**6), 600_000, 20),
        # 3.2 ticks of 40 ns for each instruction; ad01, kws and resnet of MLPerf Tiny with tflm.
        (Opened("qemu-m4", 25 * 10**6), int(0.6e6 * 3.2), 1000),
        (Opened("qemu-m4", 25 * 10**6), int(22.1e6 * 3.2), 200),
        (Opened("qemu-m4", 25 * 10**6), int(79.6e6 * 3.2), 100),
    ],
)
def test_slow_models_are_timed_less_often_emulated_ones_by_their_instructions(opened, ticks, count):
    assert _affordable(opened, ticks) == count


def test_the_first_session_says_how_many_invokes_all_of_a_run_are_timed(plan):
    recorded = measured(
        "virtual", replace(plan, samples=None, sessions=2), port="virtual:?slow=20000"
    )
    rows, whole = latency_rows(plan), recorded.run
    assert whole.n == 2 * rows[0].n == 2 * rows[1].n
    assert {row.n_rule for row in rows} == {SHORTENED if rows[0].n < MOST_INVOKES else DEFAULT}
    said = " ".join(summary([replace(whole, n=40, n_rule=SHORTENED)], plan.csv).split())
    assert "20 timed invokes (default, shortened to 20 s, p99 needs 100): --samples N" in said


def test_a_number_of_invokes_that_was_asked_for_is_obeyed(plan):
    whole = measured("virtual", replace(plan, samples=3), port="virtual:?slow=20000").run
    assert (whole.n, whole.n_rule) == (3, "asked")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"timer_read_ticks": 4_294_967_000}, "reading the counter is said to take 4294967000"),
        ({"tick_hz": 1000}, "s by the counter of 1000 Hz"),
    ],
)
def test_ticks_that_cannot_be_are_a_sick_rig_and_no_row(plan, lie, said):
    with open_board(REGISTRY["virtual"], SINE, PROJECT, RigOptions()) as opened:
        opened.dut._hello = replace(opened.dut.hello, **lie)
        with pytest.raises(ImpossibleTime, match=f"impossible latency: .*{said}"):
            measure_board(opened, plan)
    assert not plan.csv.exists()


def test_a_file_that_cannot_be_written_costs_that_file_only(plan):
    (plan.csv.with_name("samples.csv")).mkdir()
    with pytest.raises(NotKept, match="cannot write .*samples.csv") as caught:
        measured("virtual", replace(plan, sessions=2))
    rows = latency_rows(plan)
    assert [row.scope for row in rows] == [SESSION, SESSION, RUN]
    (known,) = caught.value.rows
    assert known.run == rows[-1].run and known.p50_us > 0
