"""The zoo: its page says what was measured, and every model is still refused or runs as it says."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.whole.zoo import (
    EQUAL,
    INDEX,
    OUTCOMES,
    PAGE,
    REFUSED,
    RUNTIMES,
    UNKNOWN,
    UPDATE,
    ZOO,
    aot_refusal,
    files,
    measure,
    read,
    refusal,
    render,
)
from harness.firmware.aot_pass import prepare
from harness.firmware.aot_proof import prove
from harness.model.interpreters import TflmInterpreter
from harness.model.legal import random_inputs
from harness.model.resolve import inspect_model
from harness.model.samples import Layout
from harness.model.wheels import tflm_version

FILES = files()
RECORDED = read(OUTCOMES)
REFUSED_BY_ALL = [name for name, of in RECORDED.items() if of["virtual"].startswith(REFUSED)]
REFUSED_BY_AOT = [name for name, of in RECORDED.items() if of["aot"].startswith(REFUSED)]
HINT = f"An outcome changed. If it should: {UPDATE} [--tflm DIR] writes outcomes and page anew."
BUILT = ("separable-int8", "two-inputs-two-outputs-int8", "network-uint8-io", "rank-0-int8")

needs_tflm = pytest.mark.skipif(tflm_version() is None, reason="TFLM's wheel is not installed")


def test_page_says_what_was_measured() -> None:
    assert PAGE.read_text() == render(read(INDEX), RECORDED), HINT


def test_every_model_has_an_outcome_on_each_runtime() -> None:
    assert list(RECORDED) == list(FILES), HINT
    assert all(set(of) == set(RUNTIMES) for of in RECORDED.values())


def test_index_describes_the_files() -> None:
    index = read(INDEX)
    own = {path.stem: path for path in ZOO.glob("*.tflite")}
    assert set(index) == set(own)
    for name, path in own.items():
        assert index[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), name


def test_no_outcome_is_a_wrong_answer() -> None:
    found = {
        name: of[runtime]
        for name, of in RECORDED.items()
        for runtime in RUNTIMES
        if not of[runtime].startswith((EQUAL, "within ", REFUSED, UNKNOWN))
    }
    assert not found


@needs_tflm
@pytest.mark.parametrize("name", REFUSED_BY_ALL)
def test_what_tflm_refuses_is_refused_with_the_reason(name: str) -> None:
    said = refusal(FILES[name], "virtual")
    assert said == RECORDED[name]["virtual"], HINT
    assert RECORDED[name]["aot"].startswith(REFUSED)
    assert RECORDED[name]["tflm"].startswith(REFUSED)


@needs_tflm
@pytest.mark.parametrize("name", sorted(set(RECORDED) - set(REFUSED_BY_ALL)))
def test_what_runs_answers_the_same_after_a_reset(name: str) -> None:
    artifact = inspect_model(FILES[name])
    samples = random_inputs(artifact, 2, seed=1)
    first, second = Layout(specs=artifact.inputs).tensors(samples, 0), samples[1:]
    interpreter = TflmInterpreter(artifact.content, name=name)
    expected = interpreter.run_all(first)
    interpreter.run_all(Layout(specs=artifact.inputs).tensors(second, 0))
    interpreter.reset()
    for one, other in zip(interpreter.run_all(first), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_tflm
@pytest.mark.parametrize("name", sorted(set(RECORDED) - set(REFUSED_BY_ALL)))
def test_aot_refuses_or_has_equal_parts(name: str) -> None:
    said = aot_refusal(FILES[name])
    recorded = RECORDED[name]["aot"]
    assert said == (recorded if recorded.startswith(REFUSED) else ""), HINT
    if not said:
        artifact = inspect_model(FILES[name])
        prove(prepare(artifact.content), artifact)


@needs_tflm
@pytest.mark.program
@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("runtime", ["aot", "tflm"])
def test_board_comes_to_the_recorded_outcome(name: str, runtime: str) -> None:
    tflm = os.environ.get("HIL_TFLM")
    if runtime == "tflm" and not tflm:
        pytest.skip("$HIL_TFLM names no TFLM library: its column is not checked")
    found = measure(FILES[name], runtime, Path(tflm).resolve() if tflm else None)
    assert found == RECORDED[name][runtime], HINT
