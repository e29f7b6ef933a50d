"""A runtime of a distribution outside of the harness: layers as plain C loops over a table."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from harness import Board, Job, Look, Question, Runtime, Step, write_model

VERSION = "acme-loops 1.0"
OPTIONS = {
    "FULLY_CONNECTED": tflite.FullyConnectedOptions,
    "CONV_2D": tflite.Conv2DOptions,
    "MAX_POOL_2D": tflite.Pool2DOptions,
}
VIEWS = ("RESHAPE",)
SAME = 0
LEAST = {1: 0.0, 3: 0.0}
MOST = {3: 6.0}
"""Limits of fused activations, by TFLite's numbers: RELU and RELU6."""
CODE = Path(__file__).with_suffix(".c")


def look(question: Question) -> Look:
    known = (*OPTIONS, *VIEWS)
    for operator in question.graph.operators:
        if operator.kind not in known:
            return Look(
                reason=f"{operator} is none of {', '.join(known)}",
                hint="Take runtime aot, which has more operators.",
            )
        if operator.dtype != "int8":
            return Look(reason=f"{operator} is of {operator.dtype}, and it has int8 alone")
    return Look(flash_bytes=sum(count for _, count in question.graph.weights))


def refuses(board: Board) -> str:
    return "it is an MSP430, whose int has 16 bits" if "MSP430" in board.mcu else ""


def generate(job: Job, build_id: str, folder: Path) -> tuple[Step, ...]:
    layers = tuple(layers_of(job.artifact.content))
    half = max((math.prod(layer.output) for layer in layers), default=1)
    tables = "".join(layer.arrays(number) for number, layer in enumerate(layers))
    rows = "".join(layer.row(number) for number, layer in enumerate(layers))
    (folder / "acme_model.c").write_text(
        f'#include "acme_loops.h"\n{tables}'
        f"const acme_layer acme_layers[] = {{\n{rows}}};\n"
        f"const int acme_layer_count = {len(layers)};\nconst int acme_half_bytes = {half};\n"
    )
    for file in (CODE, CODE.with_suffix(".h")):
        shutil.copy(file, folder)
    write_model(
        *(job, build_id, folder),
        infer="acme_infer",
        version=VERSION,
        kernels="plain C loops",
        arena_bytes=2 * half,
    )
    return ()


LOOPS = Runtime(
    description="layers as plain C loops, to compare others with",
    version=VERSION,
    look=look,
    generate=generate,
    refuses=refuses,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a row of the table needs. `input` and `output` are rows, columns and channels."""

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int]
    zero_points: tuple[int, int]
    limits: tuple[int, int]
    weights: Sequence[int] = ()
    bias: Sequence[int] = ()
    multipliers: Sequence[tuple[int, int]] = ()

    def arrays(self, number: int) -> str:
        """C of its constants."""
        if not self.weights:
            return ""
        columns = {
            "weights": ("int8_t", self.weights),
            "bias": ("int32_t", self.bias),
            "multipliers": ("int32_t", [item for item, _ in self.multipliers]),
            "shifts": ("int32_t", [shift for _, shift in self.multipliers]),
        }
        return "".join(
            f"static const {kind} {name}_{number}[] = {{{_listed(items)}}};\n"
            for name, (kind, items) in columns.items()
        )

    def row(self, number: int) -> str:
        """C of its row."""
        named = (f"{name}_{number}" for name in ("weights", "bias", "multipliers", "shifts"))
        arrays = ", ".join(named if self.weights else ("0",) * 4)
        numbers = (*self.input, *self.output, *self.kernel, self.stride, *self.pad)
        return f"  {{{arrays}, {_listed((*numbers, *self.zero_points, *self.limits))}}},\n"


def layers_of(content: bytes) -> Iterable[Layer]:
    """The layers of a model that `look` takes."""
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = tflite.opcode2name(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if kind not in VIEWS:
            yield _layer(model, graph, operator, kind)


def _layer(model: Any, graph: Any, operator: Any, kind: str) -> Layer:
    options = OPTIONS[kind]()
    options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    source, target = graph.Tensors(operator.Inputs(0)), graph.Tensors(operator.Outputs(0))
    zero_points, scale = (_zero_point(source), _zero_point(target)), _scales(target)[0]
    limits = _limits(options.FusedActivationFunction(), scale, zero_points[1])
    if kind == "MAX_POOL_2D":
        kernel = (options.FilterHeight(), options.FilterWidth())
        return Layer(
            **_places(source, target, kernel, options), zero_points=zero_points, limits=limits
        )
    weights = graph.Tensors(operator.Inputs(1))
    bias = operator.Inputs(2) if operator.InputsLength() > 2 else -1
    shape = tuple(weights.ShapeAsNumpy())
    per_channel = np.resize(_scales(weights), shape[0]).astype(np.float64)
    if kind == "FULLY_CONNECTED":
        # The reference kernel multiplies these two as float32.
        products = (np.float32(_scales(source)[0]) * _scales(weights)).astype(np.float64)
        reals = np.resize(products, shape[0]) / float(scale)
        places = {"input": (1, 1, shape[1]), "output": (1, 1, shape[0]), "kernel": (1, 1)}
        places |= {"stride": 1, "pad": (0, 0)}
    else:
        reals = float(_scales(source)[0]) * per_channel / float(scale)
        places = _places(source, target, (shape[1], shape[2]), options)
    return Layer(
        **places,
        zero_points=zero_points,
        limits=limits,
        weights=_values(model, weights, np.int8),
        bias=_values(model, graph.Tensors(bias), np.int32) if bias >= 0 else [0] * shape[0],
        multipliers=[_multiplier(real) for real in reals],
    )


def _places(source: Any, target: Any, kernel: tuple[int, int], options: Any) -> dict[str, Any]:
    """Sizes of a window over the input, and what TFLite pads before it."""
    taken, given = tuple(source.ShapeAsNumpy()[1:]), tuple(target.ShapeAsNumpy()[1:])
    stride = options.StrideH()
    needed = ((given[axis] - 1) * stride + kernel[axis] - taken[axis] for axis in (0, 1))
    pad = tuple(max(0, size) // 2 if options.Padding() == SAME else 0 for size in needed)
    return {"input": taken, "output": given, "kernel": kernel, "stride": stride, "pad": pad}


def _multiplier(real: float) -> tuple[int, int]:
    """As TFLite's QuantizeMultiplier: a fraction of 31 bits, and the power of 2."""
    fraction, shift = math.frexp(real)
    rounded = math.floor(fraction * 2**31 + 0.5)
    return (rounded // 2, shift + 1) if rounded == 2**31 else (rounded, shift)


def _limits(activation: int, scale: float, zero_point: int) -> tuple[int, int]:
    def quantized(limit: float) -> int:
        return zero_point + math.floor(limit / float(scale) + 0.5)

    least = quantized(LEAST[activation]) if activation in LEAST else -128
    most = quantized(MOST[activation]) if activation in MOST else 127
    return max(-128, least), min(127, most)


def _scales(tensor: Any) -> Any:
    return tensor.Quantization().ScaleAsNumpy()


def _zero_point(tensor: Any) -> int:
    return int(tensor.Quantization().ZeroPoint(0))


def _values(model: Any, tensor: Any, kind: Any) -> list[int]:
    data: list[int] = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy(), kind).tolist()
    return data


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
