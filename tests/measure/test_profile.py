"""Costs out of raw ticks, with numbers made up so that every part of the sum is known."""

from dataclasses import replace

import numpy as np
import pytest

from harness.errors import ModelError
from harness.measure.csvfile import append
from harness.measure.frames import read_rows
from harness.measure.latency import Timer
from harness.measure.profile import StepTicks, profile_of, profile_table, shape_text
from harness.measure.tables import LayerRow
from harness.model.graph import Operator, Step

CONV = Operator(
    index=0, kind="CONV_2D", tensor=3, name="conv", dtype="int8", shape=(1, 4, 4, 2), macs=288
)
RELU = Operator(
    index=1, kind="RELU", tensor=4, name="relu", dtype="int8", shape=(1, 4, 4, 2), macs=0
)
DENSE = Operator(
    index=2, kind="FULLY_CONNECTED", tensor=5, name="dense", dtype="int8", shape=(1, 1), macs=32
)
OPERATORS = (CONV, RELU, DENSE)
STEPS = (Step(operators=(0, 1), output=1), Step(operators=(2,), output=2))


def raw(steps: list[list[int]], whole: list[int], **timer: int) -> StepTicks:
    """Ticks of invokes that observing costs 10 a step, 4 of them by the step's own account."""
    return StepTicks(
        steps=np.array(steps, dtype=np.uint32),
        whole=np.array(whole, dtype=np.uint32),
        empty=np.full(len(whole), 4, dtype=np.uint32),
        pitch=np.full(len(whole), 10, dtype=np.uint32),
        timer=Timer(**{"hz": 1_000_000, "read_ticks": 3, **timer}),
    )


def profile(ticks: StepTicks, ns_per_instruction: float | None = None):
    return profile_of(
        ticks, STEPS, OPERATORS, clock_hz=64_000_000, ns_per_instruction=ns_per_instruction
    )


def test_whole_is_the_sum_of_the_layers_and_what_lies_between() -> None:
    # 100 + 50 of work, 7 between, 2 steps of 10 for observing, 3 for reading the counter.
    made = profile(raw([[104, 54]], [100 + 50 + 7 + 20 + 3]))
    assert [layer.cost.ticks for layer in made.layers] == [100, 50]
    assert (made.between.ticks, made.observing.ticks, made.whole.ticks) == (7, 20, 157)
    assert made.layers[0].cost.us == 100 and made.whole.instructions is None
    assert sum(layer.share for layer in made.layers) == pytest.approx(150 / 157)


def test_costs_are_medians_over_the_invokes() -> None:
    made = profile(raw([[104, 54], [106, 54], [904, 56]], [180, 182, 980]))
    assert [layer.cost.ticks for layer in made.layers] == [102, 50]
    assert (made.whole.ticks, made.n) == (159, 3)


def test_a_step_is_named_after_all_its_operators_and_described_by_its_output() -> None:
    first, second = profile(raw([[104, 54]], [180])).layers
    assert (first.index, first.operator, first.name, first.macs) == (1, "CONV_2D+RELU", "relu", 288)
    assert (second.index, second.operator, second.shape) == (2, "FULLY_CONNECTED", (1, 1))


def test_on_silicon_macs_are_told_per_cycle() -> None:
    first = profile(raw([[104, 54]], [180])).layers[0]
    assert first.macs_per_cycle == pytest.approx(288 / (100e-6 * 64e6))
    assert first.macs_per_instruction is None


def test_on_an_emulator_macs_are_told_per_instruction_and_all_is_counted_exactly() -> None:
    # 25 MHz and 128 ns an instruction: n instructions are n * 3.2 ticks, cut off anywhere.
    def ticks(instructions: int) -> int:
        return int(instructions * 3.2)

    made = profile(
        StepTicks(
            steps=np.array([[ticks(1325 + 17), ticks(213 + 17)]], dtype=np.uint32),
            whole=np.array([ticks(1325 + 213 + 31 + 2 * 39 + 6)], dtype=np.uint32),
            empty=np.array([ticks(17)], dtype=np.uint32),
            pitch=np.array([ticks(39)], dtype=np.uint32),
            timer=Timer(hz=25_000_000, read_ticks=ticks(6)),
        ),
        ns_per_instruction=128,
    )
    assert [layer.cost.instructions for layer in made.layers] == [1325, 213]
    assert (made.between.instructions, made.observing.instructions) == (31, 78)
    assert made.whole.instructions == 1325 + 213 + 31
    assert made.layers[0].macs_per_instruction == pytest.approx(288 / 1325)
    assert made.layers[0].macs_per_cycle is None


def test_counter_too_coarse_for_a_step_gives_no_rate() -> None:
    second = profile(raw([[104, 4]], [127])).layers[1]
    assert (second.cost.ticks, second.macs_per_cycle, second.share) == (0, None, 0)


def test_another_number_of_steps_than_built_is_an_error() -> None:
    with pytest.raises(ModelError, match="observed 1 steps, its firmware was built with 2"):
        profile(raw([[104]], [180]))


@pytest.mark.parametrize("ns_per_instruction", [None, 128])
def test_table_fits_80_columns(ns_per_instruction: float | None) -> None:
    long = replace(CONV, kind="DEPTHWISE_CONV_2D", shape=(1, 112, 112, 512), macs=999_999_999)
    made = profile_of(
        raw([[4_000_000_000, 54]], [4_100_000_000], hz=25_000_000),
        STEPS,
        (long, replace(RELU, shape=long.shape), DENSE),
        clock_hz=64_000_000,
        ns_per_instruction=ns_per_instruction,
    )
    lines = profile_table(made).splitlines()
    assert max(map(len, lines)) <= 80, "\n".join(lines)
    assert lines[1].startswith(" 1 DEPTHWISE_CONV_2D..") and "between" in lines[3]
    assert lines[5].startswith("medians of 1 invokes; taken off for observing: ")


def test_rows_survive_their_file(tmp_path) -> None:
    row = LayerRow(
        run="a1",
        time_utc="2026-11-21T06:00:00Z",
        board="qemu-m4",
        emulated=True,
        clock_hz=25_000_000,
        runtime="aot",
        runtime_version="bakenn 1.0.0",
        model="sine",
        dtype="int8",
        model_sha256="00",
        firmware_build="01",
        index=0,
        operator="CONV_2D",
        name="-conv",
        shape=shape_text((1, 4, 4, 2)),
        macs=288,
        n=3,
        p50_ticks=100.5,
        p50_us=4.02,
        instructions_p50=31,
        macs_per_cycle=None,
        macs_per_instruction=9.29,
        share=0.5,
        whole_us=8.04,
        between_us=0.0,
        observing_us=1.0,
        whole_instructions=62,
        between_instructions=0,
        observing_instructions=8,
    )
    append(tmp_path / "layers.csv", [row])
    assert read_rows(tmp_path / "layers.csv", LayerRow).rows == (row,)
