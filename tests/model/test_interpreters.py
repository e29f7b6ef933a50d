from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ModelError, UnknownName
from harness.firmware.host import HostInterpreters
from harness.model.artifact import load_artifact
from harness.model.graph import read_operators
from harness.model.interpreters import LiteRtInterpreter, TflmInterpreter
from harness.model.resolve import inspect_model, resolve_model
from harness.model.wheels import tflm_version
from harness.rig.checks import run_batch

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
SINE = load_artifact(ARTIFACTS / "sine")
needs_tflm = pytest.mark.skipif(tflm_version() is None, reason="no tflite-micro wheel here")


@needs_tflm
def test_tflm_gives_the_stored_goldens() -> None:
    run = run_batch(HostInterpreters(SINE).golden, SINE.goldens.inputs, SINE.inputs[0])
    assert run.source == f"tflm {tflm_version()}"
    assert np.array_equal(run.outputs, SINE.goldens.outputs)


def test_both_kinds_of_litert_are_near_the_goldens() -> None:
    references = HostInterpreters(SINE)
    for interpreter, kind in ((references.litert, "no delegates"), (references.xnnpack, "xnnpack")):
        run = run_batch(interpreter, SINE.goldens.inputs, SINE.inputs[0])
        apart = np.abs(run.outputs.astype(int) - SINE.goldens.outputs)
        assert run.source.endswith(kind) and apart.max() <= 4


class Doubler:
    source = "doubler"

    def run_all(self, inputs):
        (sample,) = inputs
        assert sample.shape == (1, 2)
        return (sample * 2,)

    def reset(self):
        pass


@pytest.mark.parametrize("k", [1, 2, 3])
def test_batch_runs_one_sample_at_a_time_and_times_each(k: int) -> None:
    spec = replace(SINE.inputs[0], shape=(1, 2))
    batch = np.arange(2 * k, dtype=np.int8).reshape(k, 2)
    seconds = (number**2 * 1e-6 for number in count())
    run = run_batch(Doubler(), batch, spec, clock=lambda: next(seconds))
    assert np.array_equal(run.outputs, batch * 2)
    # By hand: (2 n + 1)^2 - (2 n)^2 = 4 n + 1.
    assert run.latency_us == pytest.approx([4 * n + 1 for n in range(k)])


def test_model_without_a_manifest_is_described_as_its_manifest_does() -> None:
    found = inspect_model(SINE.path)
    assert found.inputs[0].same_layout(SINE.inputs[0])
    assert found.outputs[0].same_layout(SINE.outputs[0])
    assert (found.name, found.dtype, found.operators) == ("sine_int8", "int8", SINE.operators)
    assert (found.goldens, found.per_channel_dense) == (None, SINE.per_channel_dense)
    assert found.sha256 == SINE.sha256


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1c\0\0\0TFL3", cut(SINE.content)])
def test_file_that_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="broken"):
        inspect_model(path)


@needs_tflm
def test_tflm_names_the_model_it_does_not_take() -> None:
    with pytest.raises(ModelError, match="TFLM on the host cannot load") as caught:
        TflmInterpreter(SINE.content, name=SINE.name, arena_bytes=1000)
    assert "model sine_int8" in str(caught.value)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read .*absent.tflite: No such file"):
        resolve_model(str(tmp_path / "absent.tflite"), ARTIFACTS)


def test_file_in_an_artifact_folder_comes_with_its_manifest(tmp_path: Path) -> None:
    found = resolve_model(str(SINE.path), ARTIFACTS)
    assert (found.name, found.goldens is None) == ("sine_int8", False)
    assert resolve_model("sine_float32", ARTIFACTS).dtype == "float32"
    copy = tmp_path / "mine.tflite"
    copy.write_bytes(SINE.content)
    assert resolve_model(str(copy), ARTIFACTS).goldens is None
    with pytest.raises(UnknownName, match="unknown model 'cosine'; known: .*sine"):
        resolve_model("cosine", ARTIFACTS)


def test_litert_says_what_is_wrong_with_a_file() -> None:
    with pytest.raises(ModelError, match=r"not a TFLite model: .*model mine"):
        LiteRtInterpreter(b"junk", name="mine", default_delegates=False)


def test_a_damaged_file_is_a_model_error_that_names_it_or_still_a_model(tmp_path: Path) -> None:
    whole = SINE.content
    random = np.random.default_rng(5)
    damaged = [whole[: random.integers(len(whole))] for _ in range(20)]
    damaged += [whole.replace(b"serving_default", b"serving_def\xff\xfe\xfdt")]
    for _ in range(60):
        content = bytearray(whole)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        damaged.append(bytes(content))
    refused = 0
    for content in damaged:
        path = tmp_path / "damaged.tflite"
        path.write_bytes(content)
        try:
            inspect_model(path)
        except ModelError as error:
            assert "damaged" in str(error)
            refused += 1
    assert refused >= 21


@needs_tflm
def test_tflm_keeps_the_tensors_between_the_operators_where_asked() -> None:
    sine = load_artifact(ARTIFACTS / "sine")
    interpreter = TflmInterpreter(sine.content, name=sine.name, keep_tensors=True)
    for sample in sine.goldens.inputs[:3]:
        output = interpreter.run(sample.reshape(sine.inputs[0].shape))
        first, second, last = (interpreter.tensor(item.tensor) for item in read_operators(sine))
        assert first.shape == second.shape == (1, 16) and first.any() and second.any()
        np.testing.assert_array_equal(last, output)


def test_inputs_that_a_kernel_of_litert_refuses_are_a_model_error() -> None:
    model = inspect_model(ARTIFACTS.parents[1] / "tests" / "zoo" / "div-int8.tflite")
    interpreter = LiteRtInterpreter(model.content, name=model.name, default_delegates=False)
    zeros = [np.full(spec.shape, spec.zero_point, np.int8) for spec in model.inputs]
    with pytest.raises(ModelError, match="LiteRT cannot run the model: .*zero_point.*div-int8"):
        interpreter.run_all(zeros)
