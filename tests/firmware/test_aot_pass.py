"""Models divided for the generator and our own operators, and the proof that parts are equal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from harness.errors import ModelError, Where
from harness.firmware.aot_graph import FileWriter
from harness.firmware.aot_memory import lifetimes, place_tensors
from harness.firmware.aot_pass import Body, Own, Prepared, prepare
from harness.firmware.aot_proof import prove
from harness.model.artifact import Artifact, load_artifact
from harness.model.goldens import Bounds
from harness.model.graph import read_graph
from harness.model.subgraphs import Tensor

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
CNN = load_artifact(ARTIFACTS / "fashion_cnn-8")


class Model:
    """A small int8 model, written operator by operator."""

    def __init__(self) -> None:
        self._file = FileWriter()
        self._random = np.random.default_rng(3)
        self._count = 0

    def tensor(
        self, *shape: int, scale: float = 0.1, content: Any = None, dtype: str = "int8"
    ) -> int:
        self._count += 1
        added = Tensor(
            index=self._count,
            shape=shape,
            dtype=dtype,
            scales=(scale,) if scale else (),
            zero_points=(0,) if scale else (),
            content=None if content is None else np.asarray(content, dtype).tobytes(),
            variable=False,
        )
        return self._file.tensor(added, name=f"tensor{self._count}")

    def dense(self, source: int, target: int, inputs: int, outputs: int, **wrong: Any) -> None:
        weights = self._random.integers(-127, 128, (outputs, inputs))
        bias = self.tensor(
            outputs, scale=wrong.get("bias", 0.1 * 0.02), content=np.arange(outputs), dtype="int32"
        )
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = wrong.get("keep", False)
        self._file.operator(
            "FULLY_CONNECTED",
            [source, self.tensor(outputs, inputs, scale=0.02, content=weights), bias],
            [target],
            version=wrong.get("version", 4),
            options=options,
            options_type=schema.BuiltinOptions.FullyConnectedOptions,
        )

    def add(self, left: int, right: int, target: int) -> None:
        self._file.operator(
            "ADD", [left, right], [target], version=2,
            options=schema.AddOptionsT(), options_type=schema.BuiltinOptions.AddOptions,
        )  # fmt: skip

    def reshape(self, source: int, target: int, *, shape: int | None = None) -> None:
        """Without options, as the converter writes it; `shape` is the second input."""
        inputs = [source] if shape is None else [source, shape]
        self._file.operator("RESHAPE", inputs, [target])

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        return self._file.content(inputs, outputs)


def artifact(content: bytes) -> Artifact:
    graph = read_graph(content, name="made")
    return Artifact(
        name="made",
        model="made",
        dtype="int8",
        path=Path("made.tflite"),
        content=content,
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=tuple(operator.kind for operator in graph.operators),
        per_channel_dense=False,
        bounds=Bounds(),
    )


def proved(content: bytes) -> Prepared:
    pytest.importorskip("tflite_micro", reason="no TFLM on this platform")
    prepared = prepare(content)
    prove(prepared, artifact(content))
    return prepared


def shown(prepared: Prepared) -> list[Any]:
    """Operators of each body, kinds of our own."""
    return [part.operators if isinstance(part, Body) else part.node.kind for part in prepared.parts]


def test_last_softmax_is_cut_off_and_said() -> None:
    prepared = prepare(CNN.content)
    assert shown(prepared) == [tuple(range(7)), "SOFTMAX"]
    assert "Our own C, equal to TFLM's, computes operators 7 (SOFTMAX)." in prepared.changes
    prove(prepared, CNN)


def test_what_the_generator_takes_as_it_is_says_no_change() -> None:
    prepared = prepare(load_artifact(ARTIFACTS / "sine").content)
    assert (len(prepared.parts), prepared.changes) == (1, ())


def test_two_inputs_and_two_outputs_become_parts_around_our_add() -> None:
    model = Model()
    a, b = model.tensor(1, 6), model.tensor(1, 6)
    left, right, both = (model.tensor(1, 4) for _ in range(3))
    last, other = model.tensor(1, 3), model.tensor(1, 2)
    model.dense(a, left, 6, 4)
    model.dense(b, right, 6, 4)
    model.add(left, right, both)
    model.dense(both, last, 4, 3)
    model.dense(both, other, 4, 2)
    prepared = proved(model.content([a, b], [last, other]))
    assert shown(prepared) == [(0,), (1,), "ADD", (3,), (4,)]
    assert "The generator compiles 4 parts: operators 0; 1; 3; 4." in prepared.changes


def test_batch_runs_row_by_row_and_a_flat_input_needs_no_batch() -> None:
    for shape, target, rows in (((4, 6), (4, 3), 4), ((6,), (3,), 1), ((1, 2, 1, 3), (1, 3), 1)):
        model = Model()
        source, made = model.tensor(*shape), model.tensor(*target)
        model.dense(source, made, 6, 3)
        prepared = proved(model.content([source], [made]))
        (body,) = prepared.bodies
        assert body.repeats == rows
    assert "runs 4 times" not in " ".join(prepared.changes)


def test_dense_layer_that_keeps_dimensions_and_states_other_scales_is_normalized() -> None:
    model = Model()
    source, made, last = model.tensor(1, 2, 6), model.tensor(1, 2, 4), model.tensor(1, 8)
    model.dense(source, made, 6, 4, keep=True, version=5, bias=0.1 * 0.02 * 1.00001)
    model.reshape(made, last)
    prepared = proved(model.content([source], [last]))
    assert shown(prepared) == [(0,), "RESHAPE"] and prepared.bodies[0].repeats == 2


def test_operators_that_compute_a_fixed_shape_are_left_out() -> None:
    model = Model()
    source, flat, made = model.tensor(1, 2, 3), model.tensor(1, 6), model.tensor(1, 2)
    shape = model.tensor(2, scale=0, dtype="int32")
    known = model.tensor(2, scale=0, dtype="int32", content=[1, 6])
    model._file.operator("ABS", [known], [shape])
    model.reshape(source, flat, shape=shape)
    model.dense(flat, made, 6, 2)
    prepared = prepare(model.content([source], [made]))
    assert shown(prepared) == [(1, 2)]
    assert (
        "Operators 0 (ABS) are left out: they compute shapes, which are fixed." in prepared.changes
    )
    assert "RESHAPE gets the shape of its output as an option (operators 1)." in prepared.changes


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\x1c\0\0\0TFL3" + bytes(60), CNN.content[:9000]]
)
def test_file_that_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="runtime aot cannot"):
        prepare(content, where=Where(model="broken"))


def test_float_model_is_refused_by_its_first_operator() -> None:
    content = load_artifact(ARTIFACTS / "fashion_cnn-8", "float32").content
    with pytest.raises(
        ModelError, match=r"operator 0 \(CONV_2D\): tensor \d+ is float32"
    ) as caught:
        prepare(content, where=Where(board="qemu-m4", model="float"))
    assert "(board qemu-m4, model float)" in str(caught.value)
    assert "full int8" in caught.value.hint


def test_proof_finds_a_part_that_computes_something_else() -> None:
    pytest.importorskip("tflite_micro", reason="no TFLM on this platform")
    prepared = prepare(CNN.content)
    own = prepared.own[0]
    wrong = replace(own, compute=lambda arrays: tuple(x + 1 for x in own.compute(arrays)))
    with pytest.raises(ModelError, match="would compute the model wrongly: 10 of 10 values"):
        prove(replace(prepared, parts=(*prepared.bodies, wrong)), CNN)


def test_tensors_that_live_at_different_times_share_memory() -> None:
    model = Model()
    tensors = [model.tensor(1, 40) for _ in range(5)]
    for source, target in zip(tensors, tensors[1:], strict=False):
        model.add(source, source, target)
    prepared = prepare(model.content(tensors[:1], tensors[-1:]))
    # ADD of a tensor to itself has one input, so the generator takes all of them at once.
    own = [
        Own(node=node, inputs=node.inputs[:1], outputs=node.outputs, calls=(), compute=tuple)
        for node in prepared.graph.nodes
    ]
    ends = {prepared.graph.inputs[0], prepared.graph.outputs[0]}
    assert sorted(lifetimes(own, ends).values()) == [(0, 1), (1, 2), (2, 3)]
    places = place_tensors(replace(prepared, parts=tuple(own)))
    assert places.shared_bytes == 2 * 48  # each of 40 B, aligned to 16
    assert sorted(places.of.values()).count("(arena + 0)") == 2
    assert places.of[prepared.graph.inputs[0]] == "(input + 0)"


def test_the_importer_alone_leaves_the_generator_as_it_is() -> None:
    """In a fresh process: what is imported first must not hide the compiler."""
    script = (
        "import sys; from harness.firmware.aot_importer import importer_says\n"
        "said = importer_says(b'no model')\n"
        "assert said and 'bakenn.compiler' not in sys.modules and 'bakenn' not in sys.modules\n"
        "import bakenn; from bakenn.frontends import import_tflite\n"
        "try: bakenn.compile_tflite(b'no model', 'unused', name='x')\n"
        "except (bakenn.BakeNNError, ValueError) as error: assert said in str(error), error\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
