"""Profiles and first differences on an emulated board: the real firmware, built to be profiled."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from fakes.models import few_checks
from fakes.rewritten import of_bias, per_channel

from harness.board.registry import load_registry
from harness.cli.profile import show_profile
from harness.errors import BoardStatus, ModelError
from harness.firmware.build import Builder
from harness.firmware.support import PER_CHANNEL_DENSE
from harness.firmware.tflm_library import find_library
from harness.link.protocol import Capability
from harness.model.artifact import Artifact
from harness.model.graph import Step, read_operators
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import inspect_model, resolve_model
from harness.outcome import Outcome
from harness.project import find_project
from harness.rig.open import RigOptions, open_board
from harness.rig.profiling import first_difference, layer_rows, profile_board

PROJECT = find_project()
REGISTRY = load_registry()
BOARD = REGISTRY["qemu-m4"]
MODELS = ("sine", "fashion_cnn-8")


@pytest.fixture(scope="module", params=["aot", "tflm"])
def options(request) -> RigOptions:
    """Of each runtime; of tflm where $HIL_TFLM names a library."""
    named = os.environ.get("HIL_TFLM")
    if request.param == "tflm" and not named:
        pytest.skip("$HIL_TFLM names no TFLM library")
    folder = Path(named).resolve() if named else None
    return RigOptions(runtime=request.param, profile=True, tflm=folder)


def has_kernels(options: RigOptions, artifact: Artifact) -> bool:
    """Whether a library cut down to some kernels has those of the model."""
    if options.runtime == "aot" or options.tflm is None or "CONV_2D" not in artifact.operators:
        return True
    return any(path.stem == "conv" for path in options.tflm.rglob("micro/kernels/**/conv.c*"))


@pytest.fixture(scope="module", params=MODELS)
def model(request, options) -> Artifact:
    artifact = few_checks(resolve_model(request.param, PROJECT.artifacts))
    if not has_kernels(options, artifact):
        pytest.skip(f"this library lacks kernels of {artifact.name}")
    return artifact


@pytest.fixture
def opened(options, model, plain_instructions):
    """The board, after it ran the plain firmware: one at a time."""
    with open_board(BOARD, model, PROJECT, options) as board:
        yield board


@pytest.fixture(scope="module")
def plain_instructions(options, model) -> int:
    """What one invoke takes in the firmware whose latency counts."""
    with open_board(BOARD, model, PROJECT, replace(options, profile=False)) as board:
        assert not board.dut.hello.capabilities & Capability.PROFILE
        measured = board.dut.measure(board.checks.inputs[:1], 1)
        return int(measured.timer.instructions(measured.ticks, BOARD.ns_per_instruction)[0])


def test_layers_and_the_rest_add_up_to_the_whole_to_the_instruction(
    opened, plain_instructions
) -> None:
    profile = profile_board(opened, n=3)
    layers = sum(layer.cost.instructions for layer in profile.layers)
    assert layers + profile.between.instructions == profile.whole.instructions
    # Between the steps of generated code lie only the inference function's first and last lines,
    # and of the interpreter's its loop.
    most = 40 if opened.runtime == "aot" else 80 + 30 * len(profile.layers)
    assert 0 < profile.between.instructions <= most
    # The compiler keeps other registers where there are hooks between the calls.
    apart = abs(profile.whole.instructions - plain_instructions)
    assert apart <= 10 + 8 * len(profile.layers)


def test_profiles_are_the_same_again(opened) -> None:
    first, second = (profile_board(opened, n=2) for _ in range(2))
    assert [layer.cost.instructions for layer in first.layers] == [
        layer.cost.instructions for layer in second.layers
    ]
    assert first.whole.instructions == second.whole.instructions


def test_every_operator_of_the_model_is_in_one_step(opened) -> None:
    steps = opened.firmware.steps
    covered = [index for step in steps for index in step.operators]
    assert sorted(covered) == list(range(len(opened.artifact.operators)))
    assert sum(layer.macs for layer in profile_board(opened, n=1).layers) == opened.artifact.macs


def test_every_step_writes_what_tflm_on_the_host_does(opened) -> None:
    sample = opened.checks.inputs[:1]
    golden = TflmInterpreter(opened.artifact.content, name=opened.artifact.name, keep_tensors=True)
    golden.run(sample.reshape(opened.artifact.inputs[0].shape))
    operators = read_operators(opened.artifact)
    checksums = opened.dut.step_checksums(sample)
    for number, step in enumerate(opened.firmware.steps):
        got = opened.dut.step_output(sample, number, checksum=int(checksums[number]))
        assert got == golden.tensor(operators[step.output].tensor).tobytes(), step
    assert first_difference(opened) is None


def test_rows_say_what_was_profiled(opened) -> None:
    now = datetime(2026, 11, 21, 6, tzinfo=timezone.utc)
    rows = layer_rows(opened, [profile_board(opened, n=2)], run="a1", now=now)
    assert len(rows) == len(opened.firmware.steps)
    first = rows[0]
    assert (first.run, first.time_utc, first.n) == ("a1", "2026-11-21T06:00:00Z", 2)
    assert (first.board, first.emulated, first.runtime) == ("qemu-m4", True, opened.runtime)
    assert first.firmware_build == opened.firmware.build_id
    assert first.whole_instructions == first.between_instructions + sum(
        row.instructions_p50 for row in rows
    )
    assert [row.index for row in rows] == [step.output for step in opened.firmware.steps]


def test_inference_goes_on_as_ever_in_firmware_to_be_profiled(opened) -> None:
    profile_board(opened, n=1)
    assert opened.comparison().mismatches == 0


def wrong_bias(artifact: Artifact, operator: int, folder: Path) -> Artifact:
    """The model with the first bias of an operator a little off."""
    path = folder / f"{artifact.name}.tflite"
    path.write_bytes(of_bias(artifact.content, operator, 3000))
    return inspect_model(path)


@pytest.mark.parametrize("operator", [0, 2, 6])
def test_first_operator_that_differs_is_found(options, tmp_path, operator: int) -> None:
    golden = resolve_model("fashion_cnn-8", PROJECT.artifacts)
    if not has_kernels(options, golden):
        pytest.skip(f"this library lacks kernels of {golden.name}")
    wrong = wrong_bias(golden, operator, tmp_path)
    sample = golden.goldens.inputs[:1]
    with open_board(BOARD, wrong, PROJECT, options) as board:
        assert first_difference(board, sample=sample) is None, "it computes what it was built for"
        found = first_difference(board, sample=sample, golden=golden)
    expected = read_operators(golden)[operator]
    assert (found.index, found.kind) == (operator, expected.kind)
    assert (found.name, found.shape, found.dtype) == (expected.name, expected.shape, "int8")
    right, mistaken = (_tensor(model, sample, expected.tensor) for model in (golden, wrong))
    assert found.differing == np.count_nonzero(right != mistaken) > 0
    for element in found.first:
        assert element.golden == right[element.at] and element.board == mistaken[element.at]
        assert element.at[-1] == 0, "the channel whose bias is wrong"


def test_an_operator_that_differs_fails_the_command(tmp_path, capsys) -> None:
    golden = few_checks(resolve_model("fashion_cnn-8", PROJECT.artifacts))
    with open_board(
        BOARD, wrong_bias(golden, 2, tmp_path), PROJECT, RigOptions(profile=True)
    ) as board:
        board.artifact = golden
        assert show_profile(board, n=1, difference=True) == Outcome.WRONG.exit_status
    assert "first difference: operator 2, CONV_2D\n" in capsys.readouterr().out


def _tensor(model: Artifact, sample: np.ndarray, index: int) -> np.ndarray:
    interpreter = TflmInterpreter(model.content, name=model.name, keep_tensors=True)
    interpreter.run(sample.reshape(model.inputs[0].shape))
    return interpreter.tensor(index)


def test_golden_of_another_network_is_refused() -> None:
    sine = resolve_model("sine", PROJECT.artifacts)
    other = resolve_model("sine-1-16-1", PROJECT.artifacts)
    with open_board(BOARD, sine, PROJECT, RigOptions(profile=True)) as board:
        with pytest.raises(ModelError, match="sine-1-16-1_int8 has other operators than sine_int8"):
            first_difference(board, golden=other)


def test_library_that_ignores_dense_scales_goes_wrong_at_the_first_dense_layer(tmp_path) -> None:
    named = os.environ.get("HIL_TFLM")
    library = find_library(Path(named).resolve(), PROJECT.state / "libraries") if named else None
    if library is None or PER_CHANNEL_DENSE not in library.cannot:
        pytest.skip("$HIL_TFLM names no library that ignores the scales of Dense layers")
    path = tmp_path / "per_channel.tflite"
    path.write_bytes(per_channel(resolve_model("sine", PROJECT.artifacts).content))
    options = RigOptions(runtime="tflm", tflm=library.folder, profile=True, check_support=False)
    with open_board(BOARD, inspect_model(path), PROJECT, options) as board:
        found = first_difference(board)
    assert (found.index, found.kind) == (0, "FULLY_CONNECTED")
    assert all(element.at[-1] % 2 for element in found.first), "channels whose scale is not halved"


@pytest.mark.parametrize("board_id", ["qemu-m4", "virtual"])
def test_board_that_cannot_be_profiled_says_why(board_id: str) -> None:
    board = REGISTRY[board_id]
    sine = resolve_model("sine", PROJECT.artifacts)
    with open_board(board, sine, PROJECT, RigOptions()) as opened:
        with pytest.raises(BoardStatus, match="refused PROFILE: unsupported") as caught:
            profile_board(opened)
    assert "not built to be profiled" in str(caught.value)
    assert "virtual board never can" in str(caught.value)


def test_the_two_flavours_of_a_firmware_are_two_builds() -> None:
    sine = resolve_model("sine", PROJECT.artifacts)
    plain, profiled = (
        Builder(PROJECT, profile=profile).build(BOARD, "aot", sine) for profile in (False, True)
    )
    assert plain.build_id != profiled.build_id
    assert plain.steps == ()
    assert profiled.steps == tuple(Step(operators=(i,), output=i) for i in range(3))
    assert b"hil_step_begin" in profiled.elf.read_bytes()
    for name in (b"hil_step_begin", b"Stopwatch", b"InvokeObserved"):
        assert name not in plain.elf.read_bytes()
