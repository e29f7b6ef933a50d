"""Files that nobody has checked: each is a model or one ModelError, whatever its bytes are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.rewritten import planned, rewritten

from harness.errors import ModelError
from harness.model.artifact import load_artifact
from harness.model.graph import NO_TENSOR, read_graph
from harness.model.resolve import inspect_model
from harness.model.subgraphs import MOST_BYTES, MOST_ENTRIES, read_subgraphs

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
SINE = load_artifact(ARTIFACTS / "sine").content
CNN = load_artifact(ARTIFACTS / "fashion_cnn-8").content

Change = Callable[[Any, Any], None]


def refusal(content: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        read_graph(content, name="given")
    text = str(caught.value)
    assert "(model given)" in text and len(text) < 500
    return text


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is not a TFLite model: it is empty"),
        (b"junk", "not its identifier, TFL3"),
        (SINE[:4] + b"TFL2" + SINE[8:], "not its identifier, TFL3"),
        (b"PK\x03\x04" + bytes(30), "a ZIP file, as Keras's .keras is"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "tf.lite.TFLiteConverter"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1c\0\0\0TFL3", "points out of the file"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "points out of the file"),
        (SINE[:8] + bytes(len(SINE) - 8), "no subgraph|is cut off or damaged"),
    ],
)
def test_what_is_no_model_is_told_by_its_beginning(content: bytes, said: str) -> None:
    import re

    assert re.search(said, refusal(content))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("content", [SINE, CNN], ids=["sine", "cnn"])
def test_a_file_that_is_cut_off_is_refused(content: bytes, share: float) -> None:
    assert "the file" in refusal(content[: int(share * len(content))])


def no_inputs(schema: Any, model: Any) -> None:
    model.subgraphs[0].inputs = []


def no_outputs(schema: Any, model: Any) -> None:
    model.subgraphs[0].outputs = []


def no_subgraph(schema: Any, model: Any) -> None:
    model.subgraphs = []


def strings(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].type = schema.TensorType.STRING


def complex_output(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].type = schema.TensorType.COMPLEX64


def open_size(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = np.array([-1, 1], np.int32)


def huge(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = np.array([2**31 - 1, 2**31 - 1], np.int32)


def many_dimensions(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = np.ones(500, np.int32)


def unending_scale(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].quantization.scale = [float("inf")]


def far_zero_point(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = [2**40]


def tensor_beyond(schema: Any, model: Any) -> None:
    model.subgraphs[0].operators[1].inputs[0] = 999


def input_beyond(schema: Any, model: Any) -> None:
    model.subgraphs[0].inputs = [-1]


def output_absent(schema: Any, model: Any) -> None:
    model.subgraphs[0].operators[0].outputs[0] = -1


def kind_beyond(schema: Any, model: Any) -> None:
    model.subgraphs[0].operators[0].opcodeIndex = 77


def short_weights(schema: Any, model: Any) -> None:
    graph = model.subgraphs[0]
    weights = graph.tensors[graph.operators[0].inputs[1]]
    weights.shape = np.array([4000, 4000], np.int32)


@pytest.mark.parametrize(
    "change, said",
    [
        (no_inputs, "has no input: there is nothing to send"),
        (no_outputs, "has no output: there is nothing to compare"),
        (no_subgraph, "has no subgraph"),
        (strings, "input of strings, 'serving_default.*no kernels for strings"),
        (complex_output, "dtype complex64, which is not supported"),
        (open_size, r"leaves a size of its input .* open: \(-1, 1\)"),
        (huge, f"bytes, more than any board holds: at most {MOST_BYTES} are read"),
        (many_dimensions, "has 500 dimensions of tensor 0; at most 8 are read"),
        (unending_scale, "has scale inf"),
        (far_zero_point, "zero point of 1099511627776"),
        (tensor_beyond, r"operator 1 \(FULLY_CONNECTED\) takes tensor 999, and it has 10"),
        (input_beyond, "its inputs name tensor -1"),
        (output_absent, r"operator 0 \(FULLY_CONNECTED\) makes tensor -1"),
        (kind_beyond, "operator 0 of no kind"),
        (short_weights, "whose shape and type need 16000000"),
    ],
)
def test_what_cannot_be_is_said_by_number_and_name(change: Change, said: str) -> None:
    import re

    text = refusal(rewritten(SINE, change))
    assert re.search(said, text), text


def test_a_custom_operator_has_the_files_name_for_it() -> None:
    def change(schema: Any, model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"\x1b[31mMy\xffOp" + b"x" * 5000

    first = read_graph(rewritten(SINE, change), name="given").operators[0]
    assert first.custom and first.kind.startswith("?[31mMy") and len(first.kind) <= 200
    assert first.kind.isprintable()


def test_an_operator_that_no_schema_knows_keeps_its_number() -> None:
    def change(schema: Any, model: Any) -> None:
        model.operatorCodes[0].builtinCode = 5000

    found = read_graph(rewritten(SINE, change), name="given")
    assert found.operators[0].kind == "BUILTIN_5000" and not found.operators[0].custom


def test_an_operator_without_an_output_is_read() -> None:
    def change(schema: Any, model: Any) -> None:
        code, added = deepcopy(model.operatorCodes[0]), deepcopy(model.subgraphs[0].operators[0])
        code.builtinCode, added.outputs = 5000, np.array([], np.int32)
        added.opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)
        model.subgraphs[0].operators.append(added)

    last = read_graph(rewritten(SINE, change), name="given").operators[-1]
    assert (last.tensor, last.shape, last.macs) == (NO_TENSOR, (), 0)


def test_keras_open_batch_is_that_of_the_shape_beside_it() -> None:
    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = np.array([-1, 1], np.int32)

    content = rewritten(SINE, change)
    assert read_graph(content, name="given").inputs[0].shape == (1, 1)
    (graph,) = read_subgraphs(content)
    assert graph.tensors[graph.inputs[0]].signature == (-1, 1)


def test_a_layer_with_integer_weights_and_float_inputs_is_hybrid() -> None:
    def change(schema: Any, model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.operators[1].inputs[0]].type = schema.TensorType.FLOAT32

    assert read_graph(SINE, name="given").hybrid is None
    assert read_graph(rewritten(SINE, change), name="given").hybrid == 1


def test_bytes_of_weights_by_dtype_are_those_of_the_layers() -> None:
    # 1-16-16-1: weights 16 + 256 + 16, biases of 4 bytes 16 + 16 + 1.
    assert dict(read_graph(SINE, name="given").weights) == {"int8": 288, "int32": 132}


def test_a_short_file_cannot_make_the_reader_work_without_end() -> None:
    """20 000 entries of one vector may all lead to the same table, with its 200 000 links."""
    from flatbuffers import Builder

    builder = Builder(0)
    builder.StartVector(4, 5000, 4)
    for _ in range(5000):
        builder.PrependInt32(0)
    links = builder.EndVector()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(1, links, 0)
    operator = builder.EndObject()
    builder.StartVector(4, MOST_ENTRIES, 4)
    for _ in range(MOST_ENTRIES):
        builder.PrependUOffsetTRelative(operator)
    operators = builder.EndVector()
    builder.StartObject(0)
    tensor = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, tensors, 0)
    builder.PrependUOffsetTRelativeSlot(3, operators, 0)
    graph = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    builder.StartObject(1)
    code = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(code)
    codes = builder.EndVector()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(1, codes, 0)
    builder.PrependUOffsetTRelativeSlot(2, graphs, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    assert "inputs; at most" in refusal(bytes(builder.Output()))


@pytest.mark.parametrize("name, content", [("sine", SINE), ("cnn", CNN)])
def test_a_file_with_wrong_bytes_is_a_sane_model_or_one_error(name: str, content: bytes) -> None:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    # Where tables lie, and not weights, is what a reader follows.
    interesting = [at for at in range(0, len(content) - 4, 4) if _looks_like_an_offset(content, at)]
    refused = 0
    for number in range(400):
        damaged = bytearray(content)
        for _ in range(1 + number % 3):
            at = int(random.choice(interesting))
            value = random.choice([0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(content)])
            if number % 2:
                struct.pack_into("<I", damaged, at, int(value))
            else:
                damaged[at + int(random.integers(4))] = int(random.integers(256))
        refused += _refused(bytes(damaged))
    assert 50 < refused < 390


def _looks_like_an_offset(content: bytes, at: int) -> bool:
    return 0 < abs(struct.unpack_from("<i", content, at)[0]) < len(content)


def _refused(content: bytes) -> bool:
    try:
        found = read_graph(content, name="given")
    except ModelError as error:
        assert len(str(error)) < 500
        return True
    for spec in (*found.inputs, *found.outputs):
        assert 0 < spec.size_bytes <= MOST_BYTES and spec.name.isprintable()
    assert len(found.operators) <= MOST_ENTRIES and found.macs >= 0
    return False


@pytest.mark.parametrize("what", ["/dev/zero", "/"])
def test_what_is_no_file_is_not_read(what: str) -> None:
    with pytest.raises(ModelError, match="it is not a file"):
        inspect_model(Path(what))


def test_a_file_larger_than_any_board_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ModelError, match=f"is larger than {MOST_BYTES} bytes"):
        inspect_model(path)


@pytest.mark.parametrize(
    "tensor, offset, said",
    [
        (8, -4096, "has a plan of memory with offsets that cannot be"),
        (3, 34, "has a plan of memory with tensor 3 out of alignment"),  # of int32
    ],
)
def test_a_plan_that_puts_a_tensor_where_it_cannot_be_is_refused(
    tensor: int, offset: int, said: str
) -> None:
    assert said in refusal(planned(SINE, tensor, offset))
    assert read_subgraphs(planned(SINE, 8, 33))[0].tensors[8].dtype == "int8"
