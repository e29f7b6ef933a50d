from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from harness.board.registry import parse_board
from harness.errors import ModelError
from harness.firmware.aot_pass import GENERATED
from harness.firmware.support import PER_CHANNEL_DENSE, refuse_unsupported
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


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_model_that_the_library_computes_rightly_is_let_through(dtype: str) -> None:
    assert refuse_unsupported(artifact(dtype), BOARD, OLD) is None


def test_per_channel_dense_is_refused_with_the_reason_where_the_library_cannot() -> None:
    model = artifact(per_channel=True)
    with pytest.raises(ModelError) as caught:
        refuse_unsupported(model, BOARD, OLD)
    text = str(caught.value)
    assert "runtime tflm cannot run the model" in text
    assert "quantized per channel" in text and "board nano, model sine_int8" in text
    assert "_experimental_disable_per_channel_quantization_for_dense_layers" in text
    assert refuse_unsupported(model, BOARD, ()) is None


def test_operators_of_the_generator_are_those_that_bakenn_imports_in_that_version() -> None:
    from bakenn.frontends.tflite import importer

    source = inspect.getsource(importer._Importer.build)
    named = re.findall(
        r'int\(builtin\.([A-Z0-9_]+)\): \("\w+", frozenset\(\(([0-9, ]+)\)\)\)', source
    )
    taken = {
        kind: [int(item) for item in versions.split(",") if item.strip()]
        for kind, versions in named
    }
    assert set(taken) == set(GENERATED)
    assert all(version in taken[kind] for kind, version in GENERATED.items())
