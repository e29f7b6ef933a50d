"""Whether a graph is consistent: what no converter checks for us, and no kernel on a board does.

TFLite Micro trusts the shapes in a file. Where they contradict each other, its kernels read and
write beyond their tensors, on a board without any notice. What is checked here is the order of the
operators and, for the kinds that most models are made of, the sizes of their tensors.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from harness.model.flatbuffer import Malformed, Table
from harness.model.subgraphs import Node, Subgraph, Tensor, names

FIXED_SIZES = "Convert it with fixed sizes, as from a model with Input(batch_shape=(1, ...))."


def check_consistent(graphs: Sequence[Subgraph]) -> None:
    """Check all subgraphs of a file.

    Raises:
        Malformed: an operator takes what nothing computes, writes where it must not, or has tensors
            whose sizes or quantization contradict each other; or subgraphs call each other in a
            circle.
    """
    for graph in graphs:
        for tensor in graph.tensors:
            _check_quantization(tensor)
        _check_flow(graph)
        for node in graph.nodes:
            _check_node(graph, node)
    _check_calls(graphs)


def _check_quantization(tensor: Tensor) -> None:
    if not all(math.isfinite(scale) and scale >= 0 for scale in tensor.scales):
        wrong = next(x for x in tensor.scales if not (math.isfinite(x) and x >= 0))
        raise Malformed(f"has a scale of {wrong:g} in {_called(tensor)}")
    if len(tensor.zero_points) not in (0, 1, len(tensor.scales)):
        raise Malformed(
            f"has {len(tensor.scales)} scales and {len(tensor.zero_points)} zero points in "
            f"{_called(tensor)}"
        )


def _called(tensor: Tensor) -> str:
    return f"tensor {tensor.index} ({tensor.name!r})"


def _check_flow(graph: Subgraph) -> None:
    """Operators stand in an order in which each finds what it takes."""
    inputs = frozenset(graph.inputs)
    given = {t.index for t in graph.tensors if t.content or t.variable or t.elements == 0}
    ready = given | inputs
    made: set[int] = set()
    for node in graph.nodes:
        for index in node.inputs:
            # A custom operator may have scratch memory among its inputs.
            if index >= 0 and index not in ready and not node.custom:
                raise Malformed(
                    f"contradicts itself: {node.name} takes {_called(graph.tensors[index])}, which "
                    "nothing before it computes"
                )
        for index in node.outputs:
            tensor = graph.tensors[index]
            if tensor.content or index in inputs or index in made:
                what = "holds a constant" if tensor.content else "has its value from elsewhere"
                raise Malformed(
                    f"contradicts itself: {node.name} makes {_called(tensor)}, which {what}"
                )
            made.add(index)
        ready.update(node.outputs)
    for index in graph.outputs:
        if index not in ready:
            raise Malformed(
                f"contradicts itself: no operator computes its output, "
                f"{_called(graph.tensors[index])}"
            )


_CALLS: Mapping[str, tuple[int, ...]] = {"CALL_ONCE": (0,), "IF": (0, 1), "WHILE": (0, 1)}
"""Fields of an operator's options that name a subgraph."""


def _check_calls(graphs: Sequence[Subgraph]) -> None:
    """Subgraphs that are called are there, and none calls itself, on whatever way."""
    called = [sorted(_called_by(graph, len(graphs))) for graph in graphs]
    left = set(range(len(graphs)))
    # Those that call none of what is left, again and again: a circle stays.
    while found := {index for index in left if left.isdisjoint(called[index])}:
        left -= found
    if left:
        raise Malformed(f"contradicts itself: subgraph {min(left)} calls itself, or one that does")


def uncalled(graphs: Sequence[Subgraph]) -> tuple[int, ...]:
    """Numbers of the subgraphs that an inference never reaches: it begins with the first one."""
    reached, waiting = {0}, [0]
    while waiting:
        found = _called_by(graphs[waiting.pop()], len(graphs)) - reached
        reached |= found
        waiting += found
    return tuple(sorted(set(range(len(graphs))) - reached))


def _called_by(graph: Subgraph, count: int) -> set[int]:
    called: set[int] = set()
    for node in graph.nodes:
        for field in _CALLS.get(node.kind, ()):
            index = -1  # Without options of its kind, TFLM reads what is not there.
            if node.options and node.options_type == _options_type(node.kind):
                index = int(node.options.number(field))
            if not 0 <= index < count:
                raise Malformed(f"has a {node.kind} of subgraph {index}, and it has {count}")
            called.add(index)
    return called


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensors:
    """Tensors of one operator; None for an input that is absent."""

    node: Node
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    def input(self, number: int) -> Tensor:
        found = self.inputs[number] if number < len(self.inputs) else None
        if found is None:
            raise self.wrong(f"lacks input {number}")
        return found

    def optional(self, number: int) -> Tensor | None:
        return self.inputs[number] if number < len(self.inputs) else None

    @property
    def output(self) -> Tensor:
        if not self.outputs:
            raise self.wrong("lacks an output")
        return self.outputs[0]

    def number(self, field: int, code: str = "i", default: int = 0) -> int:
        """A field of the options."""
        known = self.node.options_type == _options_type(self.node.kind)
        table: Table | None = self.node.options if known else None
        return int(table.number(field, code, default)) if table else default

    def wrong(self, what: str) -> Malformed:
        return Malformed(f"contradicts itself: {self.node.name} {what}")

    def need(self, holds: bool, what: str = "") -> None:
        """Raise where tensors do not fit each other; the text has all their shapes."""
        if not holds:
            takes = ", ".join(_shape(t) for t in self.inputs if t is not None)
            makes = ", ".join(_shape(tensor) for tensor in self.outputs)
            shapes = f"takes {takes} and makes {makes}{what and ': '}{what}"
            if self.open_sizes:
                raise Malformed(
                    f"leaves sizes open, which TFLite Micro needs: {self.node.name} {shapes}",
                    FIXED_SIZES,
                )
            raise self.wrong(shapes)

    @property
    def open_sizes(self) -> bool:
        """Whether the file says of a tensor that its shape is known only when the model runs.

        Converters write -1 for a size, and of a shape whose number of sizes is open, none at all.
        """
        tensors = [*filter(None, self.inputs), *self.outputs]
        of_some = any(tensor.shape for tensor in self.inputs if tensor is not None)
        no_rank = of_some and any(not tensor.shape for tensor in self.outputs)
        return no_rank or any(-1 in tensor.signature for tensor in tensors)

    def constants(self, number: int) -> tuple[int, ...] | None:
        """Values of an input that is a constant of integers; None if it is not known."""
        tensor = self.input(number)
        if tensor.constant_bytes != tensor.size_bytes:  # Computed, or compressed
            return None
        code = {"int32": "i", "int64": "q"}.get(tensor.dtype, "")
        self.need(code != "", f"input {number} is {tensor.dtype}")
        # Without NumPy, whose import takes longer than all the rest of a look.
        return struct.unpack(f"<{tensor.elements}{code}", tensor.content or b"")


def _shape(tensor: Tensor) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"


_LEAST_INPUTS = {"VAR_HANDLE": 0, "CALL_ONCE": 0, "ASSIGN_VARIABLE": 2}
"""Of some kinds of operators; of all others 1. Kernels read what is not there."""


def _check_node(graph: Subgraph, node: Node) -> None:
    tensors = _Tensors(
        node=node,
        inputs=tuple(graph.tensors[index] if index >= 0 else None for index in node.inputs),
        outputs=tuple(graph.tensors[index] for index in node.outputs),
    )
    if not node.custom and len(node.inputs) < _LEAST_INPUTS.get(node.kind, 1):
        raise tensors.wrong(f"has {len(node.inputs)} inputs")
    if node.options_type not in (0, _usual_options(node.kind, node.options_type)):
        raise tensors.wrong(f"has options of type {node.options_type}, another operator's")
    check = None if node.custom else _CHECKS.get(node.kind)
    if check is not None:
        tensors.need(
            all(tensor.elements > 0 for tensor in tensors.outputs), "an output has no elements"
        )
        check(tensors)


def _channels(op: _Tensors, channels: int) -> None:
    """Weights have a scale for each channel, or one; a bias has a value for each."""
    weights, bias = op.input(1), op.optional(2)
    count = len(weights.scales)
    op.need(count in (0, 1, channels), f"{count} scales for {channels} channels")
    op.need(bias is None or bias.elements == channels, "the bias does not fit")


def _dense(op: _Tensors) -> None:
    weights = op.input(1).shape
    op.need(len(weights) == 2 and min(weights) > 0, "weights have two dimensions")
    made, taken = weights
    rows, rest = divmod(op.input(0).elements, taken)
    op.need(rest == 0 and rows > 0 and op.output.elements == rows * made)
    _channels(op, made)


SAME = 0


def _windows(
    op: _Tensors, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    """Heights and widths of a convolution or pooling; `kernel` and the others are (y, x)."""
    for axis, size, step, spread in zip((1, 2), kernel, stride, dilation, strict=True):
        op.need(size > 0 and step > 0 and spread > 0, "a window or stride is not above 0")
        taken, made = op.input(0).shape[axis], op.output.shape[axis]
        covered = taken if op.number(0, "b") == SAME else taken - (size - 1) * spread
        op.need(made == -(-covered // step))


def _images(op: _Tensors) -> None:
    shapes = op.input(0).shape, op.output.shape
    op.need(all(len(shape) == 4 and min(shape) != 0 for shape in shapes), "images have 4 sizes")
    op.need(abs(shapes[0][0]) == abs(shapes[1][0]), "batches differ")


def _convolution(op: _Tensors) -> None:
    _images(op)
    weights = op.input(1).shape
    op.need(len(weights) == 4 and min(weights) > 0, "weights have 4 sizes")
    groups, rest = divmod(op.input(0).shape[3], weights[3])
    op.need(rest == 0 and groups > 0 and weights[0] % groups == 0)
    op.need(op.output.shape[3] == weights[0])
    _windows(
        op,
        (weights[1], weights[2]),
        (op.number(2), op.number(1)),
        (op.number(5, default=1), op.number(4, default=1)),
    )
    _channels(op, weights[0])


def _depthwise(op: _Tensors) -> None:
    _images(op)
    weights, given = op.input(1).shape, op.input(0).shape[3]
    op.need(len(weights) == 4 and min(weights) > 0 and weights[0] == 1, "weights have 4 sizes")
    op.need(weights[3] % given == 0 and op.output.shape[3] == weights[3])
    multiplier = op.number(3)
    op.need(multiplier in (0, weights[3] // given), f"a depth multiplier of {multiplier}")
    _windows(
        op,
        (weights[1], weights[2]),
        (op.number(2), op.number(1)),
        (op.number(6, default=1), op.number(5, default=1)),
    )
    _channels(op, weights[3])


def _pool(op: _Tensors) -> None:
    _images(op)
    op.need(op.input(0).shape[3] == op.output.shape[3], "channels differ")
    _windows(op, (op.number(4), op.number(3)), (op.number(2), op.number(1)), (1, 1))


def _same_elements(op: _Tensors) -> None:
    op.need(op.input(0).elements == op.output.elements)


def _broadcast(op: _Tensors) -> None:
    """One size of two is 1 where they differ."""
    op.need(_broadcast_elements(op.input(0).shape, op.input(1).shape) == op.output.elements)


def _broadcast_elements(left: Sequence[int], right: Sequence[int]) -> int | None:
    rank = max(len(left), len(right))
    padded = [[1] * (rank - len(shape)) + [abs(x) for x in shape] for shape in (left, right)]
    pairs = list(zip(*padded, strict=True))
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        return None
    sizes: list[int] = [b if a == 1 else a for a, b in pairs]
    return math.prod(sizes)


def _axis(op: _Tensors, axis: int, rank: int) -> int:
    op.need(-rank <= axis < rank, f"axis {axis} of {rank}")
    return axis % rank


def _concatenation(op: _Tensors) -> None:
    shape = op.output.shape
    axis = _axis(op, op.number(0), len(shape))
    parts = [op.input(number).shape for number in range(len(op.inputs))]
    op.need(all(len(part) == len(shape) for part in parts), "ranks differ")
    rest = [size for at, size in enumerate(shape) if at != axis]
    for part in parts:
        op.need([size for at, size in enumerate(part) if at != axis] == rest)
    op.need(sum(part[axis] for part in parts) == shape[axis])


def _pieces(op: _Tensors) -> None:
    """As many elements come in as go out, in pieces."""
    taken = sum(tensor.elements for tensor in op.inputs if tensor is not None)
    op.need(taken == sum(tensor.elements for tensor in op.outputs))


def _pack(op: _Tensors) -> None:
    _axis(op, op.number(1), len(op.output.shape))
    _pieces(op)


def _unpack(op: _Tensors) -> None:
    _axis(op, op.number(1), len(op.input(0).shape))
    _pieces(op)


def _split(op: _Tensors, data: int, axis: int) -> None:
    number = op.constants(axis)
    if number is not None:
        op.need(len(number) == 1, "one axis is named")
        _axis(op, number[0], len(op.input(data).shape))
    op.need(op.input(data).elements == sum(tensor.elements for tensor in op.outputs))


def _extreme(op: _Tensors) -> None:
    number = op.constants(1)
    if number is not None:
        op.need(len(number) == 1, "one axis is named")
        shape = op.input(0).shape
        along = abs(shape[_axis(op, number[0], len(shape))])
        op.need(op.output.elements * along == op.input(0).elements)


def _reduction(op: _Tensors) -> None:
    numbers, shape = op.constants(1), op.input(0).shape
    if numbers is not None:
        axes = {_axis(op, number, len(shape)) for number in numbers}
        rest = math.prod(abs(size) for at, size in enumerate(shape) if at not in axes)
        op.need(op.output.elements == rest)


def _padding(op: _Tensors) -> None:
    pads, shape = op.constants(1), op.input(0).shape
    op.need(len(op.output.shape) == len(shape), "ranks differ")
    if pads is not None:
        op.need(len(pads) == 2 * len(shape) and min(pads, default=0) >= 0, f"paddings {pads[:8]}")
        for at, (taken, made) in enumerate(zip(shape, op.output.shape, strict=True)):
            op.need(abs(taken) + pads[2 * at] + pads[2 * at + 1] == abs(made))


def _transpose(op: _Tensors) -> None:
    order, shape = op.constants(1), op.input(0).shape
    _same_elements(op)
    if order is not None:
        op.need(sorted(order) == list(range(len(shape))), f"order {order[:8]}")
        op.need([abs(shape[at]) for at in order] == [abs(size) for size in op.output.shape])


_OPTIONS = {
    **{"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "PACK": "Pack"},
    **{"CONCATENATION": "Concatenation", "UNPACK": "Unpack"},
    **{"CALL_ONCE": "CallOnce", "IF": "If", "WHILE": "While"},
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), "Pool2D"),
}


@cache
def _options_type(kind: str) -> int:
    """The number of the type of options of a kind of operator."""
    wanted = f"{_OPTIONS[kind]}Options"
    return next(number for number, name in names("BuiltinOptions").items() if name == wanted)


@cache
def _usual_options(kind: str, otherwise: int) -> int:
    """The number of the options' type that bears the operator's name, if there is one."""
    wanted = "".join(part.capitalize() for part in kind.split("_")) + "Options"
    found = (number for number, name in names("BuiltinOptions").items() if name == wanted)
    return next(found, otherwise)


_Check = Callable[[_Tensors], None]
_CHECKS: Mapping[str, _Check] = {
    "FULLY_CONNECTED": _dense,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _pool),
    **dict.fromkeys(
        (
            *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6"),
            *("RELU_N1_TO_1", "HARD_SWISH", "LEAKY_RELU", "ELU", "GELU", "ABS", "NEG", "SQUARE"),
            *("SQRT", "RSQRT", "EXP", "LOG", "SIN", "COS", "ROUND", "CEIL", "FLOOR", "QUANTIZE"),
            *("DEQUANTIZE", "CAST", "LOG_SOFTMAX", "LOGICAL_NOT", "L2_NORMALIZATION", "CUMSUM"),
            *("ZEROS_LIKE", "REVERSE_V2", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
        ),
        _same_elements,
    ),
    **dict.fromkeys(
        (
            *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU"),
            *("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"),
            *("LOGICAL_AND", "LOGICAL_OR", "FLOOR_DIV", "FLOOR_MOD", "POW"),
        ),
        _broadcast,
    ),
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": lambda op: _split(op, 1, 0),
    "SPLIT_V": lambda op: _split(op, 0, 2),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _extreme),
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"),
        _reduction,
    ),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _padding),
    "TRANSPOSE": _transpose,
}
"""By kind of operator. Of other kinds TFLite Micro and LiteRT check what they do themselves."""
