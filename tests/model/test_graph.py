from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ModelError
from harness.firmware.steps import steps_of, steps_text
from harness.model.artifact import list_models, load_artifact
from harness.model.graph import Step, one_step_each, read_graph, read_operators

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"


@pytest.mark.parametrize("model", list_models(ARTIFACTS))
def test_operators_and_macs_are_those_of_the_manifest(model: str) -> None:
    artifact = load_artifact(ARTIFACTS / model)
    operators = read_operators(artifact)
    assert tuple(item.kind for item in operators) == artifact.operators
    assert sum(item.macs for item in operators) == artifact.macs
    assert [item.index for item in operators] == list(range(len(operators)))


def test_last_operator_writes_the_models_output() -> None:
    artifact = load_artifact(ARTIFACTS / "fashion_cnn-8")
    last = read_operators(artifact)[-1]
    assert (last.kind, last.shape, last.dtype, last.macs) == ("SOFTMAX", (1, 10), "int8", 0)
    assert last.name == artifact.outputs[0].name


def test_macs_of_a_convolution_are_outputs_times_weights_of_each() -> None:
    # 28x28 by 3x3 without padding is 26x26; 8 filters over 1 channel.
    first = read_operators(load_artifact(ARTIFACTS / "fashion_cnn-8"))[0]
    assert first.kind == "CONV_2D" and first.shape == (1, 26, 26, 8)
    assert first.macs == 26 * 26 * 8 * 3 * 3 * 1


@pytest.mark.parametrize("content", [b"", b"junk", bytes(8)])
def test_file_that_is_no_model_is_named(content: bytes) -> None:
    sine = replace(load_artifact(ARTIFACTS / "sine"), content=content)
    with pytest.raises(ModelError, match="is not a TFLite model") as caught:
        read_operators(sine)
    assert "sine_int8" in str(caught.value)


def test_steps_survive_their_file() -> None:
    steps = (Step(operators=(0,), output=0), Step(operators=(1, 2), output=1))
    assert steps_of(steps_text(steps)) == steps
    assert steps_of(steps_text(())) == ()


def test_an_interpreter_takes_one_step_for_each_operator() -> None:
    assert one_step_each(2) == (Step(operators=(0,), output=0), Step(operators=(1,), output=1))


def test_weights_of_an_svdf_are_known_and_no_macs_are_counted_of_it() -> None:
    path = Path(__file__).parents[1] / "zoo/svdf-int8.tflite"
    svdf = read_graph(path.read_bytes(), name="svdf").operators[0]
    assert svdf.kind == "SVDF" and len(svdf.weights) == 2 and svdf.macs == 0
