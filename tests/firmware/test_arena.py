from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.rewritten import all_operators, lsh_projection

from harness.firmware import arena
from harness.firmware.arena import (
    MARGIN_BYTES,
    PLAN_BYTES,
    capacity,
    plan_arena,
)
from harness.firmware.probe import Allocations
from harness.model.artifact import load_artifact
from harness.model.graph import read_graph
from harness.model.wheels import tflm_version

SINE = load_artifact(Path(__file__).parents[2] / "models" / "artifacts" / "sine")


def test_small_model_needs_room_to_plan_and_large_one_its_activations() -> None:
    small = Allocations(head=32, tail=1472, tensors=10)
    assert capacity(small, 0) == -(-(1472 + 10 * PLAN_BYTES + MARGIN_BYTES) // 16) * 16
    large = Allocations(head=50_000, tail=3000, tensors=10)
    assert capacity(large, 0) == -(-(53_000 + MARGIN_BYTES) // 16) * 16
    assert capacity(large, 4096) == capacity(large, 0) + 4096


def test_capacity_is_a_multiple_of_16() -> None:
    assert {capacity(Allocations(head=n, tail=n, tensors=1), n) % 16 for n in range(40)} == {0}


def test_arena_of_the_sine_is_measured_and_says_so() -> None:
    if tflm_version() is None:
        pytest.skip("no tflite-micro wheel on this machine")
    plan = plan_arena(SINE)
    assert 2000 < plan.size_bytes < 5000
    assert "on the host takes" in plan.source


def test_model_the_host_does_not_take_gets_an_estimate_that_says_so() -> None:
    measured = plan_arena(SINE)
    estimated = plan_arena(replace(SINE, content=lsh_projection(SINE.content)))
    assert "an estimate from the file" in estimated.source
    assert estimated.size_bytes >= measured.size_bytes


def test_an_lstm_has_room_for_the_sums_that_cmsis_nn_keeps() -> None:
    # The host takes neither file: both are estimated.
    other = plan_arena(replace(SINE, content=lsh_projection(SINE.content)))
    lstm = all_operators(SINE.content, "UNIDIRECTIONAL_SEQUENCE_LSTM")
    planned = plan_arena(replace(SINE, content=lstm))
    # Its layers write 16, 16 and 1 numbers; eight sums for each, of 8 bytes, and 16 to align them.
    assert planned.size_bytes - other.size_bytes == 8 * (8 * (16 + 16 + 1) + 3 * 16)


@pytest.mark.parametrize(
    "kind, weights, kept",
    [
        # arm_vector_sum_s8: a sum of 32 bits for each output or filter, and 16 bytes to align them.
        ("FULLY_CONNECTED", (640, 128), 4 * 640 + 16),
        ("SVDF", (32, 10), 4 * 32 + 16),
        ("CONV_2D", (8, 3, 3, 5), 0),
    ],
)
def test_helium_keeps_the_sums_of_a_layers_weights(
    kind: str, weights: tuple[int, ...], kept: int
) -> None:
    operator = replace(read_graph(SINE.content, name="m").operators[0], kind=kind, weights=weights)
    assert arena._helium_sums_bytes(operator) == kept


def test_the_arena_of_a_core_with_helium_has_room_for_these_sums() -> None:
    kept = sum(map(arena._helium_sums_bytes, read_graph(SINE.content, name="m").operators))
    # The sine's layers write 16, 16 and 1 numbers.
    assert kept == 4 * (16 + 16 + 1) + 3 * 16
    more = plan_arena(SINE, helium=True).size_bytes - plan_arena(SINE).size_bytes
    assert kept <= more <= kept + 4 * 16 + 16


@pytest.mark.parametrize(
    "kind, weights, needs, with_helium",
    [
        # Two columns of 16 bits; four of 8, each filled up to 16 bytes.
        ("CONV_2D", (8, 3, 3, 5), 4 * 45, 4 * 48),
        # Channels 124 at a time, also where the layer has fewer.
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 64), 4 * 9 * 64, 4 * 1120),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 256), 4 * 9 * 256, 4 * 9 * 256),
        # A sum of the weights for each output.
        ("FULLY_CONNECTED", (640, 128), 0, 4 * 640),
        ("MAX_POOL_2D", (), 0, 0),
    ],
)
def test_scratch_memory_is_what_cmsis_nn_says_of_an_operator(
    kind: str, weights: tuple[int, ...], needs: int, with_helium: int
) -> None:
    operator = replace(read_graph(SINE.content, name="m").operators[0], kind=kind, weights=weights)
    assert arena._im2col_bytes(operator) == needs
    assert arena._helium_bytes(operator) == with_helium
