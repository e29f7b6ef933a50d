"""The firmware's own operators against TFLM on the host: as C under sanitizers, and as NumPy."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from fakes.host_programs import host_program
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.firmware.aot_graph import FileWriter
from harness.firmware.aot_own import Own
from harness.firmware.aot_pass import prepare
from harness.model.subgraphs import Tensor

pytest.importorskip("tflite_micro", reason="no TFLM on this platform")

SOURCE = Path(__file__).parents[2] / "firmware" / "src"
SAMPLES = 40


def tensor(
    shape: Sequence[int],
    dtype: str = "int8",
    scale: float = 0.0,
    zero_point: int = 0,
    content: Any = None,
) -> Tensor:
    return Tensor(
        index=0,
        shape=tuple(shape),
        dtype=dtype,
        scales=(scale,) if scale else (),
        zero_points=(zero_point,) if scale else (),
        content=None if content is None else np.array(content, dtype).tobytes(),
        variable=False,
    )


def model(
    kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], options: Any = None
) -> bytes:
    """A file with one operator; inputs with content are constants."""
    writer = FileWriter()
    given = [writer.tensor(item, name=f"in{i}") for i, item in enumerate(inputs)]
    made = [writer.tensor(item, name=f"out{i}") for i, item in enumerate(outputs)]
    name = type(options).__name__.removesuffix("T")
    number = getattr(schema.BuiltinOptions, name) if options is not None else 0
    writer.operator(kind, given, made, version=2, options=options, options_type=number)
    computed = [index for index, item in zip(given, inputs, strict=True) if item.content is None]
    return writer.content(computed, made)


def softmax(
    shape: Sequence[int], scale: float, zero_point: int = 0, dtype: str = "int8", beta: float = 1
) -> bytes:
    options = schema.SoftmaxOptionsT()
    options.beta = beta
    to = (1 / 256, -128) if dtype == "int8" else (1 / 65536, -32768)
    return model(
        "SOFTMAX",
        [tensor(shape, "int8", scale, zero_point)],
        [tensor(shape, dtype, *to)],
        options,
    )


def arithmetic(
    kind: str, left: Tensor, right: Tensor, result: Tensor, activation: int = 0
) -> bytes:
    options = {"ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT, "MUL": schema.MulOptionsT}
    chosen = options[kind]()
    chosen.fusedActivationFunction = activation
    return model(kind, [left, right], [result], chosen)


def reduced(
    kind: str, shape: Sequence[int], axes: Sequence[int], to: Sequence[int], scales: tuple[Any, ...]
) -> bytes:
    options = schema.ReducerOptionsT()
    options.keepDims = len(to) == len(shape)
    inputs = [tensor(shape, "int8", *scales[:2]), tensor([len(axes)], "int32", content=axes)]
    return model(kind, inputs, [tensor(to, "int8", *scales[2:])], options)


def extreme(kind: str, shape: Sequence[int], axis: int, dtype: str = "int8") -> bytes:
    options = schema.ArgMaxOptionsT() if kind == "ARG_MAX" else schema.ArgMinOptionsT()
    options.outputType = 2
    left = [size for place, size in enumerate(shape) if place != axis % len(shape)]
    scale = 0.0 if dtype == "float32" else 0.1
    inputs = [tensor(shape, dtype, scale), tensor([1], "int32", content=[axis])]
    return model(kind, inputs, [tensor(left, "int32")], options)


def joined(shapes: Sequence[Sequence[int]], axis: int, to: Sequence[int]) -> bytes:
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    parts = [tensor(shape, "int8", 0.5, 3) for shape in shapes]
    return model("CONCATENATION", parts, [tensor(to, "int8", 0.5, 3)], options)


def unary(kind: str, source: Tensor, target: Tensor, options: Any = None) -> bytes:
    return model(kind, [source], [target], options)


ROWS = (3, 2, 8)
CASES = {
    "softmax": softmax((1, 10), 0.16, 14),
    "softmax of one value": softmax((4, 1), 0.1),
    "softmax of rows": softmax((2, 3, 7), 0.05),
    "softmax of 300 values": softmax((1, 300), 0.9),
    "softmax of a scale that saturates": softmax((1, 5), 60.0),
    "softmax of a tiny scale": softmax((1, 5), 3e-7),
    "softmax with beta": softmax((1, 12), 0.1, beta=2.5),
    "softmax to int16": softmax((2, 12), 0.07, dtype="int16"),
    "logistic": unary(
        "LOGISTIC",
        tensor([1, 9], scale=0.06, zero_point=5),
        tensor([1, 9], scale=1 / 256, zero_point=-128),
    ),
    "tanh": unary("TANH", tensor([2, 3], scale=0.03), tensor([2, 3], scale=1 / 128)),
    "int8 to uint8": unary(
        "QUANTIZE",
        tensor([1, 6], scale=0.5, zero_point=2),
        tensor([1, 6], "uint8", 0.25, 130),
        schema.QuantizeOptionsT(),
    ),
    "uint8 to int8": unary(
        "QUANTIZE",
        tensor([7], "uint8", 0.5, 130),
        tensor([7], "int8", 0.5, 2),
        schema.QuantizeOptionsT(),
    ),
    "int8 to float": unary(
        "DEQUANTIZE",
        tensor([1, 5], scale=0.37, zero_point=-9),
        tensor([1, 5], "float32"),
        schema.DequantizeOptionsT(),
    ),
    "float to int8": unary(
        "QUANTIZE",
        tensor([1, 64], "float32"),
        tensor([1, 64], "int8", 0.013, -7),
        schema.QuantizeOptionsT(),
    ),
    "greatest of the last axis": extreme("ARG_MAX", (2, 3, 6), -1),
    "least of a middle axis": extreme("ARG_MIN", (2, 5, 3), 1),
    "greatest of float": extreme("ARG_MAX", (1, 9), 1, "float32"),
    "mean over the picture": reduced("MEAN", (1, 4, 5, 6), (1, 2), (1, 6), (0.3, 4, 0.2, -3)),
    "mean to a scalar": reduced("MEAN", (1, 6), (0, 1), (), (0.1, 1, 0.1, 1)),
    "mean of channels": reduced("MEAN", (2, 3, 7), (-1,), (2, 3, 1), (0.05, -128, 0.02, 127)),
    "sum": reduced("SUM", (1, 5, 4), (1,), (1, 4), (0.05, 3, 0.3, -2)),
    "add": arithmetic(
        "ADD",
        tensor(ROWS, scale=0.1, zero_point=-4),
        tensor(ROWS, scale=0.3, zero_point=9),
        tensor(ROWS, scale=0.35),
    ),
    "add of a constant row with relu": arithmetic(
        "ADD",
        tensor(ROWS, scale=0.1),
        tensor([8], scale=0.02, content=range(-4, 4)),
        tensor(ROWS, scale=0.1, zero_point=-128),
        1,
    ),
    "add with relu6": arithmetic(
        "ADD",
        tensor([1, 6], scale=0.1),
        tensor([1, 6], scale=0.1),
        tensor([1, 6], scale=0.1, zero_point=-20),
        3,
    ),
    "sub": arithmetic(
        "SUB",
        tensor(ROWS, scale=0.5, zero_point=127),
        tensor(ROWS, scale=0.4, zero_point=-128),
        tensor(ROWS, scale=0.7, zero_point=1),
    ),
    "mul": arithmetic(
        "MUL",
        tensor(ROWS, scale=0.05, zero_point=3),
        tensor(ROWS, scale=0.07, zero_point=-8),
        tensor(ROWS, scale=0.4, zero_point=2),
    ),
    "concatenation": joined([(2, 3), (2, 1)], -1, (2, 4)),
}


@dataclass(frozen=True)
class Program:
    """All operators in one program: it takes a case's number on its command line."""

    path: Path

    def run(self, number: int, inputs: bytes) -> bytes:
        done = subprocess.run([self.path, str(number)], input=inputs, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def own_of(name: str) -> tuple[Any, Own]:
    prepared = prepare(CASES[name])
    (part,) = prepared.parts
    assert isinstance(part, Own)
    return prepared.graph, part


def case_source(number: int, name: str) -> str:
    """C++ that reads an operator's inputs, calls it and writes its outputs."""
    graph, own = own_of(name)
    sizes = {index: graph.tensors[index].size_bytes for index in (*own.inputs, *own.outputs)}
    calls = [re.sub(r"@(\d+)", r"t\1.data()", call) for call in own.calls]
    lines = [
        f"namespace case{number} {{",
        *own.constants,
        "}",
        f"void Case{number}() {{",
        f"  using namespace case{number};",
        *(f"  std::vector<uint8_t> t{index}({size});" for index, size in sizes.items()),
        f"  for (int sample = 0; sample < {SAMPLES}; ++sample) {{",
        *(f"    Read(&t{index});" for index in own.inputs),
        *(f"    {call}" for call in calls),
        *(f"    Write(t{index});" for index in own.outputs),
        "  }\n}",
    ]
    return "\n".join(lines)


MAIN = """
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "runtime/aot_operators.h"
namespace {{
void Read(std::vector<uint8_t>* to) {{
  if (std::fread(to->data(), 1, to->size(), stdin) != to->size()) std::exit(2);
}}
void Write(const std::vector<uint8_t>& from) {{ std::fwrite(from.data(), 1, from.size(), stdout); }}
{cases}
void (*const cases[])() = {{ {names} }};
}}
int main(int, char** arguments) {{ cases[std::atoi(arguments[1])](); }}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    cases = [case_source(number, name) for number, name in enumerate(CASES)]
    names = ", ".join(f"Case{number}" for number in range(len(CASES)))
    words = [
        *("-std=gnu++11", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Wdouble-promotion", "-Werror"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{SOURCE}"),
        str(SOURCE / "runtime" / "aot_operators.cpp"),
    ]
    text = MAIN.format(cases="\n".join(cases), names=names)
    return Program(host_program(words, folders=[SOURCE], text=text))


def random_inputs(name: str) -> list[list[NDArray[Any]]]:
    graph, own = own_of(name)
    random = np.random.default_rng(5)
    samples = []
    for number in range(SAMPLES):
        sample = []
        for item in (graph.tensors[index] for index in own.inputs):
            if item.dtype == "float32":
                # Halves of the grid too, where rounding could differ.
                reals = random.integers(-200, 200, item.shape) / 2
                drawn = reals * 0.013 if number % 2 else random.normal(0, 2, item.shape)
                sample.append(drawn.astype(np.float32))
                continue
            limits = np.iinfo(item.dtype)
            spread = (limits.min, limits.max + 1) if number % 3 else (limits.min, limits.min + 9)
            sample.append(random.integers(*spread, item.shape).astype(item.dtype))
        samples.append(sample)
    return samples


def interpreter_of(content: bytes) -> Any:
    from tflite_micro import runtime

    return runtime.Interpreter.from_bytes(content, arena_size=200_000)


def on_host(name: str, samples: list[list[NDArray[Any]]]) -> list[NDArray[Any]]:
    interpreter = interpreter_of(CASES[name])
    answers = []
    for sample in samples:
        for index, value in enumerate(sample):
            interpreter.set_input(value, index)
        interpreter.invoke()
        answers.append(np.array(interpreter.get_output(0)))
    return answers


@pytest.mark.parametrize("name", CASES)
def test_operator_gives_the_bytes_of_tflm(name: str, program: Program) -> None:
    samples = random_inputs(name)
    expected = on_host(name, samples)
    _, own = own_of(name)
    for sample, wanted in zip(samples, expected, strict=True):
        (made,) = own.compute(sample)
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made.reshape(-1), wanted.reshape(-1))
    given = b"".join(value.tobytes() for sample in samples for value in sample)
    wanted = b"".join(value.tobytes() for value in expected)
    assert program.run(list(CASES).index(name), given) == wanted


@pytest.mark.parametrize("seed", range(30))
def test_softmax_is_tflms_for_any_scale(seed: int) -> None:
    random = np.random.default_rng(seed)
    depth = int(random.choice([1, 2, 3, 10, 64, 256]))
    scale = float(np.float32(10 ** random.uniform(-6, 2)))
    beta = float(np.float32(random.choice([1, 0.5, 2.7])))
    dtype = str(random.choice(["int8", "int16"]))
    content = softmax((4, depth), scale, int(random.integers(-128, 128)), dtype, beta)
    (part,) = prepare(content).own
    values = random.integers(-128, 128, (4, depth)).astype(np.int8)
    interpreter = interpreter_of(content)
    interpreter.set_input(values, 0)
    interpreter.invoke()
    np.testing.assert_array_equal(part.compute([values])[0], interpreter.get_output(0))


@pytest.mark.parametrize(
    "content, said",
    [
        (softmax((1, 4), 1e-9), r"operator 0 \(SOFTMAX\): its input has a scale of 1e-09"),
        (
            reduced("MEAN", (1, 4, 5, 6), (1, 3), (1, 5), (0.3, 4, 0.2, -3)),
            r"operator 0 \(MEAN\): it has no code for this operator with int8 tensors like these",
        ),
        (
            model("FLOOR_DIV", [tensor([2], "int32")] * 2, [tensor([2], "int32")]),
            r"operator 0 \(FLOOR_DIV\): it has no code for this operator with int32 tensors",
        ),
    ],
)
def test_operator_that_is_not_there_is_refused_by_number_and_kind(
    content: bytes, said: str
) -> None:
    with pytest.raises(ModelError, match=f"runtime aot cannot run {said}") as caught:
        prepare(content)
    assert caught.value.hint
