"""Graphs that contradict themselves, which no kernel on a board would notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.rewritten import rewritten

from harness.errors import ModelError
from harness.firmware.look import as_page
from harness.model.artifact import load_artifact
from harness.model.graph import read_graph
from harness.model.inspect import facts_of
from harness.model.resolve import described

ROOT = Path(__file__).parents[2]
SINE = load_artifact(ROOT / "models" / "artifacts" / "sine").content
CNN = load_artifact(ROOT / "models" / "artifacts" / "fashion_cnn-8").content
Change = Callable[[Any], None]
"""Of the first subgraph."""


def refusal(content: bytes, change: Change) -> str:
    def changed(schema: Any, model: Any) -> None:
        change(model.subgraphs[0])

    with pytest.raises(ModelError) as raised:
        read_graph(rewritten(content, changed), name="given")
    assert raised.value.where.model == "given"
    return raised.value.what


def shape(number: int, place: int, sizes: list[int], *, output: bool = False) -> Change:
    """Give an operator's tensor other sizes."""

    def change(graph: Any) -> None:
        operator = graph.operators[number]
        links = operator.outputs if output else operator.inputs
        graph.tensors[links[place]].shape = np.array(sizes, np.int32)

    return change


def swap(graph: Any) -> None:
    graph.operators[0], graph.operators[1] = graph.operators[1], graph.operators[0]


def output_of_nothing(graph: Any) -> None:
    graph.operators.pop()


def output_on_weights(graph: Any) -> None:
    graph.operators[-1].outputs = graph.operators[0].inputs[1:2]


def output_twice(graph: Any) -> None:
    graph.operators[1].outputs = graph.operators[0].outputs


def scale_below_0(graph: Any) -> None:
    graph.tensors[graph.operators[0].inputs[1]].quantization.scale = [-1.0]


def fewer_scales(graph: Any) -> None:
    quantization = graph.tensors[graph.operators[0].inputs[1]].quantization
    quantization.scale, quantization.zeroPoint = [1.0, 1.0], [0, 0]


def stride_0(graph: Any) -> None:
    graph.operators[0].builtinOptions.strideW = 0


@pytest.mark.parametrize(
    "content, change, said",
    [
        # An output of a batch that nobody gives: TFLM reads beyond its input, and crashes.
        (SINE, shape(0, 0, [99, 16], output=True), "operator 0 (FULLY_CONNECTED) takes int8 1x1"),
        (SINE, shape(0, 0, [1, 0], output=True), "operator 0 (FULLY_CONNECTED)"),
        (SINE, swap, "takes tensor"),
        (SINE, output_of_nothing, "no operator computes its output"),
        (SINE, output_on_weights, "holds a constant"),
        (SINE, output_twice, "has its value from elsewhere"),
        (SINE, scale_below_0, "scale of -1"),
        (SINE, fewer_scales, "2 scales for 16 channels"),
        (CNN, shape(0, 0, [1, 27, 26, 8], output=True), "(CONV_2D)"),
        (CNN, stride_0, "not above 0"),
        (CNN, shape(1, 0, [1, 13, 13, 9], output=True), "(MAX_POOL_2D)"),
    ],
)
def test_what_contradicts_itself_is_said_by_operator_and_shapes(
    content: bytes, change: Change, said: str
) -> None:
    assert said in refusal(content, change)


def test_an_operator_without_the_inputs_that_its_kernel_reads_is_refused() -> None:
    content = (ROOT / "tests" / "zoo" / "variable-float32.tflite").read_bytes()

    def change(graph: Any) -> None:
        for operator in graph.operators:
            if len(operator.inputs) == 1:  # READ_VARIABLE
                operator.inputs = np.array([], np.int32)

    assert "has 0 inputs" in refusal(content, change)


@pytest.mark.parametrize("calls", [[1, 0], [0, 0]])
def test_subgraphs_that_call_each_other_in_a_circle_are_refused(calls: list[int]) -> None:
    content = (ROOT / "tests" / "zoo" / "if-float32.tflite").read_bytes()

    def change(schema: Any, model: Any) -> None:
        for number, graph in enumerate(model.subgraphs):
            for operator in graph.operators:
                if model.operatorCodes[operator.opcodeIndex].builtinCode == 118:  # IF
                    options = operator.builtinOptions
                    options.thenSubgraphIndex, options.elseSubgraphIndex = calls[number], 0

    with pytest.raises(ModelError, match="calls itself"):
        read_graph(rewritten(content, change), name="given")


def test_subgraphs_that_nothing_calls_are_named_as_not_run() -> None:
    content = (ROOT / "tests" / "zoo" / "if-float32.tflite").read_bytes()
    assert read_graph(content, name="given").uncalled == ()

    def change(schema: Any, model: Any) -> None:
        for operator in model.subgraphs[0].operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode == 118:  # IF
                options = operator.builtinOptions
                options.thenSubgraphIndex = options.elseSubgraphIndex = 1

    facts = facts_of(described(Path("given.tflite"), rewritten(content, change)))
    assert facts.uncalled == (2,)
    page = as_page(facts, None, ())
    assert "\nnote       subgraph 0 alone is run; nothing calls 2, as of other signatures\n" in page


def test_committed_models_are_consistent() -> None:
    for path in sorted((ROOT / "models" / "artifacts").glob("*/*.tflite")):
        assert read_graph(path.read_bytes(), name=path.stem).operators


def of_no_rank(graph: Any) -> None:
    graph.tensors[graph.operators[0].outputs[0]].shape = None


def open_size(graph: Any) -> None:
    tensor = graph.tensors[graph.operators[0].outputs[0]]
    tensor.shape, tensor.shapeSignature = np.array([1, 1], np.int32), np.array([1, -1], np.int32)


@pytest.mark.parametrize("change", [of_no_rank, open_size])
def test_sizes_that_a_file_leaves_open_are_no_contradiction(change: Change) -> None:
    # Both as in LiteRT's own test data: add_unknown_dimensions.bin, dynamic_shapes.bin.
    what = refusal(SINE, change)
    assert "leaves sizes open, which TFLite Micro needs: operator 0 (FULLY_CONNECTED)" in what
    assert "contradicts" not in what
