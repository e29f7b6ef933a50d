from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.rewritten import lsh_projection

from harness.firmware.arena import (
    MARGIN_BYTES,
    PLAN_BYTES,
    capacity,
    plan_arena,
)
from harness.firmware.probe import Allocations
from harness.model.artifact import load_artifact
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
