"""An operator cut out of a model computes what it computes within it."""

import numpy as np
import pytest
from fakes.stateful import summing

from harness.errors import ModelError
from harness.model.alone import operator_alone
from harness.model.artifact import Artifact
from harness.model.graph import read_graph
from harness.model.interpreters import TflmInterpreter
from harness.model.resolve import resolve_model
from harness.model.wheels import tflm_installed
from harness.project import find_project

pytestmark = pytest.mark.skipif(not tflm_installed(), reason="no tflite-micro wheel here")


@pytest.fixture(scope="module")
def whole() -> Artifact:
    return resolve_model("fashion_cnn-8", find_project().artifacts)


def test_every_operator_alone_gives_what_it_gives_within_the_model(whole: Artifact) -> None:
    assert whole.goldens is not None
    sample = whole.goldens.inputs[:1].reshape(whole.inputs[0].shape)
    golden = TflmInterpreter(whole.content, name=whole.name, keep_tensors=True)
    golden.run(sample)
    operators = read_graph(whole.content, name=whole.name).operators
    for operator in operators:
        alone = operator_alone(whole.content, operator.index, name=whole.name)
        graph = read_graph(alone.content, name="alone")
        assert [one.kind for one in graph.operators] == [operator.kind]
        assert len(graph.inputs) == len(alone.inputs) == 1
        given = golden.tensor(alone.inputs[0])
        answered = TflmInterpreter(alone.content, name="alone").run(given)
        right = golden.tensor(operator.tensor)
        np.testing.assert_array_equal(answered.reshape(right.shape), right)
    assert len(operators) == 8


def test_it_keeps_its_weights_and_none_of_the_others(whole: Artifact) -> None:
    alone = operator_alone(whole.content, 5, name=whole.name)
    assert len(alone.content) < 60_000 < len(whole.content) + 10_000
    softmax = operator_alone(whole.content, 7, name=whole.name)
    assert len(softmax.content) < 2000


def test_one_that_calls_another_graph_is_refused() -> None:
    with pytest.raises(ModelError, match=r"operator 0 calls another graph of the model \(model m"):
        operator_alone(summing(), 0, name="m")


def test_one_of_constants_alone_is_refused() -> None:
    kinds = [one.kind for one in read_graph(summing(), name="m").operators]
    handle = kinds.index("VAR_HANDLE")
    with pytest.raises(ModelError, match="takes constants alone"):
        operator_alone(summing(), handle, name="m")
