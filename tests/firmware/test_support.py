from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.registry import parse_board
from harness.errors import ModelError
from harness.firmware.support import AOT_OPERATORS, PER_CHANNEL_DENSE, refuse_unsupported
from harness.model.artifact import Artifact
from harness.model.goldens import Bounds
from harness.model.tensor import TensorSpec

TABLE = {"description": "", "attachment": "serial", "mcu": "", "clock_hz": 1}


BOARD = parse_board("nano", {**TABLE, "runtimes": ["tflm", "aot"]})
OLD = (PER_CHANNEL_DENSE,)


def artifact(dtype: str = "int8", output: str | None = None, per_channel: bool = False) -> Artifact:
    first, last = (
        TensorSpec(shape=(1, 1), dtype=name, name=role)
        for name, role in ((dtype, "in"), (output or dtype, "out"))
    )
    return Artifact(
        name=f"sine_{dtype}",
        model="sine",
        dtype=dtype,
        path=Path("sine.tflite"),
        content=b"",
        inputs=(first,),
        outputs=(last,),
        operators=("FULLY_CONNECTED",),
        per_channel_dense=per_channel,
        bounds=Bounds(),
    )


@pytest.mark.parametrize(
    "given, runtime",
    [(artifact(), "aot"), (artifact(), "tflm"), (artifact("float32"), "tflm")],
)
def test_model_that_the_runtime_takes_is_let_through(given: Artifact, runtime: str) -> None:
    assert refuse_unsupported(given, BOARD, runtime, OLD) is None


def test_per_channel_dense_is_refused_with_the_reason_where_the_library_cannot() -> None:
    model = artifact(per_channel=True)
    with pytest.raises(ModelError) as caught:
        refuse_unsupported(model, BOARD, "tflm", OLD)
    text = str(caught.value)
    assert "runtime tflm cannot run the model" in text
    assert "quantized per channel" in text and "board nano, model sine_int8" in text
    assert "_experimental_disable_per_channel_quantization_for_dense_layers" in text
    assert refuse_unsupported(model, BOARD, "tflm") is None
    assert refuse_unsupported(model, BOARD, "aot") is None


@pytest.mark.parametrize(
    "given, named",
    [
        (artifact("float32"), "full int8 models, and tensor 'in' is float32"),
        (artifact("int8", "float32"), "tensor 'out' is float32"),
        (artifact("uint8"), "tensor 'in' is uint8"),
    ],
)
def test_aot_refuses_all_but_full_int8_and_says_what_to_use(given: Artifact, named: str) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        refuse_unsupported(given, BOARD, "aot")
    assert "runtime tflm" in caught.value.hint


@pytest.mark.parametrize(
    "operators, named, cure",
    [
        (("FULLY_CONNECTED", "SOFTMAX"), "no operator SOFTMAX,", "int8_logits"),
        (("CONV_2D", "LOGISTIC"), "no operator LOGISTIC,", "int8_logits"),
        (("MEAN", "CONV_2D", "SOFTMAX"), "no operator MEAN, SOFTMAX,", "Runtime tflm may run it"),
    ],
)
def test_operators_that_aot_lacks_are_named_with_what_to_use(
    operators: tuple[str, ...], named: str, cure: str
) -> None:
    model = replace(artifact(), operators=operators)
    with pytest.raises(ModelError, match=named) as caught:
        refuse_unsupported(model, BOARD, "aot")
    assert cure in str(caught.value)
    assert refuse_unsupported(model, BOARD, "tflm") is None


def test_operators_of_aot_are_those_that_bakenn_imports() -> None:
    from bakenn.frontends.tflite import importer

    source = inspect.getsource(importer._Importer.build)
    named = set(re.findall(r"int\(builtin\.([A-Z0-9_]+)\): ", source))
    assert named == AOT_OPERATORS
