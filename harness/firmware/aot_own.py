"""Operators that the generator of `aot` lacks, as calls of `firmware/src/runtime/aot_operators.h`.

Each gives the very bytes of TFLite Micro's kernel. Functions of one 8-bit value become tables that
TFLM on the host fills, so that they are exact by construction; the others are fixed-point C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.firmware import aot_fixed
from harness.firmware.aot_fixed import multiplier
from harness.firmware.aot_graph import HINT, VIEWS, Graph, one_operator
from harness.firmware.c_source import c_bytes
from harness.model.subgraphs import Node, Tensor

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """One operator computed by the firmware's own C.

    `calls` are C statements in which `@3` stands for the place of tensor 3 in memory; `constants`
    are definitions they need. `compute` does the same on the host: the operator's computed inputs
    in their order, in their shapes, to its outputs.
    """

    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    calls: tuple[str, ...]
    compute: Callable[[Sequence[Array]], tuple[Array, ...]]
    constants: tuple[str, ...] = ()

    @property
    def operators(self) -> tuple[int, ...]:
        """Numbers of the operators that it stands for."""
        return (self.node.index,)


OF_ONE_VALUE = frozenset(
    {
        *("LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "LEAKY_RELU"),
        *("ELU", "GELU", "ABS", "NEG", "SQUARE", "SQRT", "RSQRT", "EXP", "LOG", "SIN", "COS"),
        *("ROUND", "CEIL", "FLOOR", "QUANTIZE", "DEQUANTIZE", "CAST", "ADD", "SUB", "MUL", "DIV"),
        *("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU", "EQUAL", "NOT_EQUAL", "GREATER"),
        *("GREATER_EQUAL", "LESS", "LESS_EQUAL"),
    }
)
"""Element by element: with one 8-bit input, and constants of one value, they are a table."""


def own_operator(graph: Graph, node: Node) -> Own:
    """The operator in our own C.

    Raises:
        ModelError: it is not among them; the text names the operator.
    """
    computed = [graph.tensors[index] for index in graph.computed(node)]
    if not computed:
        raise graph.refused(node, "all its inputs are constants", HINT)
    if any(graph.tensors[i].variable for i in node.inputs if i >= 0):
        raise graph.refused(node, "it keeps a state from one inference to the next", HINT)
    maker = _MAKERS.get(node.kind)
    made = _table(graph, node, computed) or (maker and maker(graph, node, computed))
    if made is None:
        types = ", ".join(dict.fromkeys(tensor.dtype for tensor in computed))
        raise graph.refused(
            node,
            f"it has no code for this operator with {types} tensors like these",
            "Convert the model to full int8, if it is not. " + HINT,
        )
    return made


def _own(node: Node, inputs: Sequence[Tensor], call: str, compute: Any, *constants: str) -> Own:
    """An operator with one output."""
    return Own(
        node=node,
        inputs=tuple(tensor.index for tensor in inputs),
        outputs=node.outputs,
        calls=(call,),
        compute=lambda arrays: (compute(*arrays),),
        constants=constants,
    )


def _place(tensor: Tensor) -> str:
    return f"@{tensor.index}"


def _view(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    source, target = computed[0], graph.tensors[node.outputs[0]]
    if source.elements != target.elements or source.dtype != target.dtype:
        return None
    call = f"runtime::Copy({_place(source)}, {{1, {source.size_bytes}, 0, 0}}, {_place(target)});"
    return _own(node, [source], call, lambda x: x.reshape(target.shape))


def _table(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    """A function of one 8-bit value, computed by TFLM on the host for all 256 of them."""
    source, target = computed[0], graph.tensors[node.outputs[0]]
    constants = [graph.tensors[i] for i in node.inputs if i >= 0 and i != source.index]
    if (
        node.kind not in OF_ONE_VALUE
        or len(computed) > 1
        or source.dtype not in ("int8", "uint8")
        or source.elements != target.elements
        or any(tensor.elements != 1 for tensor in constants)
    ):
        return None
    values = np.arange(256, dtype=np.uint8).view(source.dtype)
    shape = (*(1 for _ in source.shape[1:]), 256) if source.shape else (256,)
    shapes = {index: shape for index in (source.index, target.index)}
    table = _tflm(one_operator(graph, node, shapes), values.reshape(shape), graph, node)
    flat = np.ascontiguousarray(table).reshape(256).astype(target.dtype)
    entry = flat.dtype.itemsize
    little = flat.astype(flat.dtype.newbyteorder("<"))
    name = f"kTable{node.index}"
    call = (
        f"runtime::Lookup({_place(source)}, {source.elements}, {name}, {entry}, {_place(target)});"
    )
    return _own(
        node,
        [source],
        call,
        lambda x: flat[x.view(np.uint8)].reshape(target.shape),
        f"alignas(4) const uint8_t {name}[] = {{{c_bytes(little.tobytes())}}};",
    )


def _tflm(content: bytes, values: Array, graph: Graph, node: Node) -> Array:
    try:
        return _answered(content, values.dtype.str, values.shape, values.tobytes())
    except ModelError as error:
        raise graph.refused(node, "TFLM on the host refuses it", HINT) from error


@lru_cache(maxsize=64)
def _answered(content: bytes, dtype: str, shape: tuple[int, ...], values: bytes) -> Array:
    from harness.firmware import host  # 0.02 s: only where there is such an operator

    interpreter = host.tflm(content, name="one operator", arena_bytes=64 * 1024)
    try:
        table = interpreter.run(np.frombuffer(values, dtype).reshape(shape))
    finally:
        interpreter.close()
    table.flags.writeable = False
    return table


def _quantize(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    source, target = computed[0], graph.tensors[node.outputs[0]]
    fits = source.elements == target.elements and target.scale > 0
    if source.dtype != "float32" or target.dtype != "int8" or not fits:
        return None
    scale = np.float32(target.scale)

    def compute(x: Array) -> Array:
        # In double, since in single precision 0.5 and the number below 0.5 make 1.
        ratio = (x.astype(np.float32) / scale).astype(np.float64)
        whole = np.trunc(ratio + np.copysign(0.5, ratio)) + target.zero_point
        clipped: Array = np.clip(whole, -128, 127).astype(np.int8)
        return clipped.reshape(target.shape)

    grid = f"{{{float(scale).hex()}f, {target.zero_point}}}"
    call = f"runtime::QuantizeFloat({_place(source)}, {source.elements}, {grid}, {_place(target)});"
    return _own(node, [source], call, compute)


def _softmax(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    source, target = computed[0], graph.tensors[node.outputs[0]]
    fits = source.shape and 0 < source.elements == target.elements
    if source.dtype != "int8" or target.dtype not in ("int8", "int16") or not fits:
        return None
    beta = float(getattr(graph.options(node), "beta", 0))
    if not beta * source.scale * 2**26 > 1:
        raise graph.refused(
            node,
            f"its input has a scale of {source.scale:g}, too small for TFLM's fixed-point exp(): "
            "TFLM aborts on it as well",
            "Calibrate the model with representative inputs and convert it again.",
        )
    powers = aot_fixed.softmax_powers(beta, source.scale)
    depth, size = source.shape[-1], np.dtype(target.dtype).itemsize
    name = f"kPowers{node.index}"
    rows = f"{{{source.elements // depth}, {depth}, {name}, {len(powers)}, {size}}}"
    listed = ", ".join(map(str, powers))
    return _own(
        node,
        [source],
        f"runtime::Softmax({_place(source)}, {rows}, {_place(target)});",
        lambda x: aot_fixed.softmax(x, powers, target.dtype).reshape(target.shape),
        f"const int32_t {name}[] = {{{listed}}};",
    )


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """Elements before, along and after an axis."""
    axis = axis % len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _arg_extreme(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    source, target = computed[0], graph.tensors[node.outputs[0]]
    types = {"int8": "kSigned8", "float32": "kReal32"}
    axis = graph.tensors[node.inputs[1]]
    fits = source.dtype in types and target.dtype in ("int32", "int64") and source.shape
    if not fits or axis.content is None or axis.elements != 1:
        return None
    number = int(axis.values().reshape(-1)[0])
    if not -len(source.shape) <= number < len(source.shape):
        return None
    smallest = node.kind == "ARG_MIN"
    outer, along, inner = _around(source.shape, number)
    if along < 1 or target.elements != outer * inner:
        return None
    find = np.argmin if smallest else np.argmax
    extreme = (
        f"{{{outer}, {along}, {inner}, runtime::{types[source.dtype]}, "
        f"{str(smallest).lower()}, {np.dtype(target.dtype).itemsize}}}"
    )
    call = f"runtime::ArgMinMax({_place(source)}, {extreme}, {_place(target)});"
    return _own(
        node,
        [source],
        call,
        lambda x: find(x, axis=number).astype(target.dtype).reshape(target.shape),
    )


def _mean(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    source, target = computed[0], graph.tensors[node.outputs[0]]
    axes = graph.tensors[node.inputs[1]]
    if source.dtype != "int8" or target.dtype != "int8" or axes.content is None:
        return None
    rank = len(source.shape)
    given = [int(item) for item in axes.values().reshape(-1)]
    if not all(-rank <= item < rank for item in given):
        return None
    numbers = sorted({item % rank for item in given})
    if not numbers or numbers != list(range(numbers[0], numbers[-1] + 1)):
        return None
    outer = math.prod(source.shape[: numbers[0]])
    along = math.prod(source.shape[numbers[0] : numbers[-1] + 1])
    inner = math.prod(source.shape[numbers[-1] + 1 :])
    if not (source.scale > 0 and target.scale > 0 and along > 0):
        return None
    if target.elements != outer * inner:
        return None
    by = multiplier(source.scale / target.scale)
    if node.kind == "MEAN":
        by = _divided(by, along)

    def compute(x: Array) -> Array:
        sums = x.reshape(outer, along, inner).astype(np.int64).sum(axis=1)
        shifted = sums - source.zero_point * along
        values = aot_fixed.scaled(shifted, by) + target.zero_point
        return np.clip(values, -128, 127).astype(np.int8).reshape(target.shape)

    mean = f"{{{outer}, {along}, {inner}, {source.zero_point}, {target.zero_point}, {by.c_text}}}"
    return _own(
        node, [source], f"runtime::Mean({_place(source)}, {mean}, {_place(target)});", compute
    )


def _divided(by: aot_fixed.Multiplier, count: int) -> aot_fixed.Multiplier:
    """A factor divided by a number of elements, as TFLM's mean does it."""
    shift = min(count.bit_length() - 1, 32, 31 + by.shift)
    return aot_fixed.Multiplier(
        multiplier=(by.multiplier << shift) // count, shift=by.shift - shift
    )


def _activation_range(target: Tensor, activation: int) -> tuple[int, int]:
    """Least and greatest int8 value of a fused activation: NONE, RELU, RELU_N1_TO_1, RELU6."""
    ends: Mapping[int, tuple[float | None, float | None]] = {
        **{0: (None, None), 1: (0.0, None)},
        **{2: (-1.0, 1.0), 3: (0.0, 6.0)},
    }
    low, high = ends[activation]

    def level(real: float) -> int:
        ratio = float(np.float32(real) / np.float32(target.scale))
        return math.trunc(ratio + math.copysign(0.5, ratio)) + target.zero_point

    return (
        -128 if low is None else max(-128, level(low)),
        127 if high is None else min(127, level(high)),
    )


def _combination(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    """ADD, SUB or MUL of two int8 tensors, one of which may be repeated to fill the other."""
    if len(node.inputs) != 2 or min(node.inputs) < 0:
        return None
    pair = [graph.tensors[index] for index in node.inputs]
    target = graph.tensors[node.outputs[0]]
    activation = getattr(graph.options(node), "fusedActivationFunction", 0)
    whole = all(
        tensor.dtype == "int8"
        and tensor.scale > 0
        and target.shape[len(target.shape) - len(_stripped(tensor.shape)) :]
        == _stripped(tensor.shape)
        for tensor in (*pair, target)
    )
    fits = target.elements == max(tensor.elements for tensor in pair)
    if not whole or not fits or activation not in (0, 1, 2, 3):
        return None
    left, right = pair
    if node.kind == "MUL":
        scales = [aot_fixed.Multiplier(multiplier=0, shift=0)] * 2
        by = multiplier(left.scale * right.scale / target.scale)
    else:
        shared = 2 * max(left.scale, right.scale)
        scales = [multiplier(left.scale / shared), multiplier(right.scale / shared)]
        by = multiplier(shared / ((1 << 20) * target.scale))
    lowest, highest = _activation_range(target, activation)

    def compute(*arrays: Array) -> Array:
        given = iter(arrays)
        known: dict[int, Array] = {}
        for tensor in pair:
            if tensor.index not in known:
                known[tensor.index] = next(given) if tensor.content is None else tensor.values()
        a, b = (known[t.index].astype(np.int64) - t.zero_point for t in pair)
        if node.kind == "MUL":
            raw = a * b
        else:
            wide = [aot_fixed.scaled(x << 20, s) for x, s in zip((a, b), scales, strict=True)]
            raw = wide[0] + wide[1] if node.kind == "ADD" else wide[0] - wide[1]
        values = aot_fixed.scaled(raw, by) + target.zero_point
        return np.clip(values, lowest, highest).astype(np.int8).reshape(target.shape)

    constants, operands = [], []
    for side, (tensor, scale) in enumerate(zip(pair, scales, strict=True)):
        place = _place(tensor)
        if tensor.content is not None:
            place = f"kOperand{node.index}_{side}"
            constants.append(f"const uint8_t {place}[] = {{{c_bytes(bytes(tensor.content))}}};")
        operands.append(f"{{{place}, {tensor.elements}, {tensor.zero_point}, {scale.c_text}}}")
    result = f"{{{target.elements}, {target.zero_point}, {by.c_text}, {lowest}, {highest}}}"
    function = {"ADD": "Add", "SUB": "Subtract", "MUL": "Multiply"}[node.kind]
    call = f"runtime::{function}({operands[0]}, {operands[1]}, {result}, {_place(target)});"
    return _own(node, computed, call, compute, *constants)


def _stripped(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the leading ones, which broadcasting ignores."""
    kept = list(shape)
    while kept and kept[0] == 1:
        kept.pop(0)
    return tuple(kept)


def _concatenation(graph: Graph, node: Node, computed: Sequence[Tensor]) -> Own | None:
    target = graph.tensors[node.outputs[0]]
    if min(node.inputs) < 0:
        return None
    parts = [graph.tensors[index] for index in node.inputs]
    same = {(tensor.dtype, tensor.scale, tensor.zero_point) for tensor in (*parts, target)}
    if len(same) > 1 or any(tensor.content is not None for tensor in parts):
        return None
    options = graph.options(node)
    if getattr(options, "fusedActivationFunction", 0):
        return None
    axis = getattr(options, "axis", 0)
    if not -len(target.shape) <= axis < len(target.shape) or target.elements == 0:
        return None
    outer, _, _ = _around(target.shape, axis)
    if any(part.size_bytes % outer for part in parts):
        return None
    if sum(part.size_bytes for part in parts) != target.size_bytes:
        return None
    calls, offset = [], 0
    stride = target.size_bytes // outer
    for part in parts:
        block = part.size_bytes // outer
        blocks = f"{{{outer}, {block}, {block}, {stride}}}"
        calls.append(f"runtime::Copy({_place(part)}, {blocks}, {_place(target)} + {offset});")
        offset += block

    def compute(arrays: Sequence[Array]) -> tuple[Array, ...]:
        known = dict(zip((tensor.index for tensor in computed), arrays, strict=True))
        rows = [known[part.index].reshape(outer, -1) for part in parts]
        return (np.concatenate(rows, axis=1).reshape(target.shape),)

    return Own(
        node=node,
        inputs=tuple(tensor.index for tensor in computed),
        outputs=node.outputs,
        calls=tuple(calls),
        compute=compute,
    )


Maker = Callable[[Graph, Node, Sequence[Tensor]], Own | None]
_MAKERS: Mapping[str, Maker] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _arg_extreme),
    **dict.fromkeys(("MEAN", "SUM"), _mean),
    **dict.fromkeys(("ADD", "SUB", "MUL"), _combination),
    **dict.fromkeys(("CONCATENATION", "PACK"), _concatenation),
    "QUANTIZE": _quantize,
    "SOFTMAX": _softmax,
}

KINDS = OF_ONE_VALUE | frozenset(_MAKERS)
"""Operators that are here in some form: see `own_operator`."""
