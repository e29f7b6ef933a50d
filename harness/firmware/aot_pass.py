"""Makes of a model parts that the generator of `aot` takes, and our own C for the rest.

The generator takes int8 models with one input, one output and a batch of 1. Its parts are new
`.tflite` files, equal in what they compute; between and around them the firmware calls its own
operators. What was changed is said in sentences; what cannot be done is refused by operator.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from harness.errors import NOWHERE, ModelError, Where
from harness.firmware.aot_graph import HINT, VIEWS, FileWriter, Graph, read_graph
from harness.firmware.aot_importer import importer_says
from harness.firmware.aot_own import Own, own_operator
from harness.model.subgraphs import Node, Tensor

GENERATED = {
    **{"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2},
    **{"AVERAGE_POOL_2D": 2, "MAX_POOL_2D": 2, "RESHAPE": 1, "PAD": 2, "PADV2": 2},
}
"""What BakeNN 1.0.0 imports, and as which version: `supported` in frontends/tflite/importer.py."""

_WEIGHT_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Operators that the generator compiles, as a file of its own with one input and one output.

    `operators` are their numbers in the model; `origins` has one for each operator of `content`,
    -1 for a RESHAPE that was put in. The code runs `repeats` times, each time on the next part of
    the tensors `source` and `target`: the rows of a batch.
    """

    content: bytes
    operators: tuple[int, ...]
    origins: tuple[int, ...]
    source: int
    target: int
    repeats: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """As those of an own operator."""
        return (self.source,)

    @property
    def outputs(self) -> tuple[int, ...]:
        """As those of an own operator."""
        return (self.target,)


Part = Body | Own


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model as `aot` runs it: parts in their order. `changes` are sentences for people."""

    graph: Graph
    parts: tuple[Part, ...]
    changes: tuple[str, ...]

    @property
    def bodies(self) -> tuple[Body, ...]:
        """What the generator compiles."""
        return tuple(part for part in self.parts if isinstance(part, Body))

    @property
    def own(self) -> tuple[Own, ...]:
        """What the firmware's own C computes."""
        return tuple(part for part in self.parts if isinstance(part, Own))

    @property
    def computed_tensors(self) -> tuple[Tensor, ...]:
        """Inputs, outputs and what lies between operators."""
        used = {i for node in self.graph.nodes for i in (*self.graph.computed(node), *node.outputs)}
        return tuple(self.graph.tensors[index] for index in sorted(used))


@lru_cache(maxsize=2)
def prepare(content: bytes, *, where: Where = NOWHERE) -> Prepared:
    """Divide a model into parts for the generator and our own operators.

    Args:
        content: the `.tflite` file.
        where: the model, and the board if there is one, for errors.

    Raises:
        ModelError: `aot` cannot run the model; the text names the operator and the reason.
    """
    graph = read_graph(content, where=where)
    _check_ends(graph)
    reasons = []
    for node in graph.nodes:
        with _only_our_errors(graph, node):
            reasons.append(_unlike(graph, node))
    parts: list[Part] = []
    position = 0
    while position < len(graph.nodes):
        with _only_our_errors(graph, graph.nodes[position]):
            body = _taken(graph, reasons, position)
            if body is not None:
                parts.append(body)
                position += len(body.operators)
            else:
                parts.append(_own_or_refused(graph, graph.nodes[position], reasons[position]))
                position += 1
    return Prepared(graph=graph, parts=tuple(parts), changes=graph.changes + _changes(graph, parts))


@contextmanager
def _only_our_errors(graph: Graph, node: Node) -> Iterator[None]:
    """Whatever numbers a hostile file makes us or the generator compute with."""
    try:
        yield
    except (
        *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
        *(TypeError, ValueError, struct.error),
    ) as error:
        why = "its shapes, options or scales contradict each other"
        raise graph.refused(node, why, "Convert the model again. " + HINT) from error


def _check_ends(graph: Graph) -> None:
    made = {index for node in graph.nodes for index in node.outputs}
    if not made.issuperset(graph.outputs):
        raise ModelError(
            "runtime aot cannot run the model: an output is not computed by any operator",
            where=graph.where,
            hint=HINT,
        )


def _own_or_refused(graph: Graph, node: Node, reason: str) -> Own:
    try:
        return own_operator(graph, node)
    except ModelError as error:
        if node.kind not in GENERATED:
            raise
        reason = reason or importer_says(_body(graph, [node]).content)
        if not reason:
            raise
        hint = "Convert the model to full int8, if it is not. " + HINT
        raise graph.refused(node, reason, hint) from error


def _computed_tensors(graph: Graph, node: Node) -> list[Tensor]:
    return [graph.tensors[i] for i in (*graph.computed(node), *node.outputs)]


def _rows(graph: Graph, node: Node) -> int:
    """How often the generator's code runs for a node, which takes a batch of 1."""
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    if node.kind == "FULLY_CONNECTED":
        weights = graph.tensors[node.inputs[1]].shape
        return source.elements // weights[-1] if weights and weights[-1] else 1
    return target.shape[0] if len(target.shape) > 1 else 1


def _taken(graph: Graph, reasons: list[str], start: int) -> Body | None:
    """The longest run of operators from `start` on that the generator takes; None if it is empty.

    The generator is asked about the run, and about each operator only if it refuses that: asking
    takes 5 ms.
    """
    end = _longest(graph, reasons, start)
    if end == start:
        return None
    body = _body(graph, graph.nodes[start:end])
    if not importer_says(body.content):
        return body
    for index in range(start, end):
        reasons[index] = importer_says(_body(graph, [graph.nodes[index]]).content)
    end = _longest(graph, reasons, start)
    return _body(graph, graph.nodes[start:end]) if end > start else None


def _unlike(graph: Graph, node: Node) -> str:
    """Why the generator does not take an operator, as far as it need not be asked; else empty."""
    if node.kind not in GENERATED and node.kind not in VIEWS:
        return "the generator does not have it"
    if any(index >= 0 and graph.tensors[index].variable for index in node.inputs):
        return "it keeps a state from one inference to the next"
    if not graph.computed(node):
        return "all its inputs are constants"
    for tensor in _computed_tensors(graph, node):
        if tensor.dtype != "int8" or len(tensor.scales) != 1 or len(tensor.zero_points) != 1:
            what = tensor.dtype if tensor.dtype != "int8" else "without one scale"
            return f"tensor {tensor.index} is {what}, and the generator takes int8 with one scale"
    rows = _rows(graph, node)
    if node.kind != "FULLY_CONNECTED" and rows > 1:
        for tensor in _computed_tensors(graph, node):
            if not tensor.shape or tensor.shape[0] != rows:
                return f"tensor {tensor.index} does not have the batch of {rows}"
    if node.kind == "ADD" and len(graph.computed(node)) == 2:
        shapes = {graph.tensors[i].shape for i in (*node.inputs, *node.outputs)}
        return "" if len(shapes) == 1 else "the generator adds tensors of one shape only"
    return ""


def _longest(graph: Graph, reasons: Sequence[str], start: int) -> int:
    """The end of the longest run of operators from `start` on with one input and one output."""
    nodes = graph.nodes
    best = start
    made: set[int] = set()
    taken: set[int] = set()
    for end in range(start, len(nodes)):
        node = nodes[end]
        if reasons[end] or _rows(graph, node) != _rows(graph, nodes[start]):
            break
        taken.update(set(graph.computed(node)) - made)
        made.update(node.outputs)
        if len(taken) > 1:
            break
        only_views = all(item.kind in VIEWS for item in nodes[start : end + 1])
        if len(_used_later(graph, made, end + 1)) == 1 and not only_views:
            best = end + 1
    return best


def _used_later(graph: Graph, made: set[int], position: int) -> list[int]:
    used = {index for node in graph.nodes[position:] for index in graph.computed(node)}
    return sorted(made & (used | set(graph.outputs)))


def _inside(tensor: Tensor, rows: int) -> tuple[int, ...]:
    """A computed tensor's shape within a body: a batch of 1 and two to four dimensions."""
    if 2 <= len(tensor.shape) <= 4 and tensor.shape[0] == rows:
        return (1, *tensor.shape[1:])
    return (1, tensor.elements // rows)


class _BodyWriter:
    """The file of a body, operator by operator."""

    def __init__(self, graph: Graph, rows: int) -> None:
        self._graph = graph
        self._rows = rows
        self._file = FileWriter()
        self._added: dict[int, int] = {}
        self.origins: list[int] = []

    def computed(self, index: int) -> int:
        """A computed tensor, added once."""
        if index not in self._added:
            tensor = self._graph.tensors[index]
            shape = _inside(tensor, self._rows)
            self._added[index] = self._file.tensor(tensor, shape=shape)
        return self._added[index]

    def add(self, node: Node) -> None:
        """An operator in the form that the generator takes."""
        if node.kind in VIEWS:
            self._file.reshape(self.computed(node.inputs[0]), self.computed(node.outputs[0]))
        elif node.kind == "FULLY_CONNECTED":
            self._dense(node)
        else:
            source, target = self.computed(node.inputs[0]), self.computed(node.outputs[0])
            self._operator(node, [source, *self._others(node)], target)
        self.origins.append(node.index)

    def _dense(self, node: Node) -> None:
        weights = self._graph.tensors[node.inputs[1]]
        source = self._flat(node.inputs[0], weights.shape[-1])
        wanted = _inside(self._graph.tensors[node.outputs[0]], self._rows)
        flat = (1, weights.shape[0])
        if wanted == flat:
            self._operator(node, [source, *self._others(node)], self.computed(node.outputs[0]))
            return
        inner = self._file.tensor(
            self._graph.tensors[node.outputs[0]], shape=flat, name=f"t{node.outputs[0]}_flat"
        )
        self._operator(node, [source, *self._others(node)], inner)
        self._file.reshape(inner, self.computed(node.outputs[0]))
        self.origins.append(node.index)

    def _flat(self, index: int, width: int) -> int:
        tensor = self._graph.tensors[index]
        if _inside(tensor, self._rows) == (1, width):
            return self.computed(index)
        name = f"t{index}_for_{len(self.origins)}"
        flat = self._file.tensor(tensor, shape=(1, width), name=name)
        self._file.reshape(self.computed(index), flat)
        self.origins.append(-1)
        return flat

    def _operator(self, node: Node, inputs: Sequence[int], output: int) -> None:
        bias = len(node.inputs) > 2
        version = 6 if node.kind == "FULLY_CONNECTED" and not bias else GENERATED[node.kind]
        self._file.operator(
            node.kind,
            inputs,
            [output],
            version=version,
            options=_options(self._graph, node),
            options_type=node.options_type,
        )

    def _others(self, node: Node) -> list[int]:
        """Inputs from the second on: weights and bias, a second operand, or paddings."""
        axis = _WEIGHT_AXES.get(node.kind)
        added = []
        for place, index in enumerate(node.inputs[1:], start=1):
            tensor = self._graph.tensors[index]
            if tensor.content is None:
                added.append(self.computed(index))
            elif axis is None:
                constant = _inside(tensor, 1) if node.kind == "ADD" else tensor.shape
                added.append(self._file.tensor(tensor, shape=constant))
            elif place == 1:
                added.append(self._file.tensor(tensor, axis=axis))
            else:
                scales = _bias_scales(self._graph, node)
                added.append(self._file.tensor(tensor, scales=scales))
        return added

    def content(self, source: int, target: int) -> bytes:
        """The file."""
        return self._file.content([self.computed(source)], [self.computed(target)])


def _bias_scales(graph: Graph, node: Node) -> list[float]:
    """What TFLM computes with, whatever the file says: scale of the input times that of weights."""
    source, weights = (graph.tensors[index] for index in node.inputs[:2])
    scales: list[float] = (source.scale * np.array(weights.scales)).astype(np.float32).tolist()
    return scales


def _options(graph: Graph, node: Node) -> Any:
    options = graph.options(node)
    if options is None:
        return None
    if node.kind == "FULLY_CONNECTED":
        options.keepNumDims = options.asymmetricQuantizeInputs = False
    if node.kind == "DEPTHWISE_CONV_2D":
        channels = (graph.tensors[i].shape[-1] for i in (node.outputs[0], node.inputs[0]))
        made, given = channels
        options.depthMultiplier = made // given
    return options


def _body(graph: Graph, nodes: Sequence[Node]) -> Body:
    """The file of some operators; with several inputs or outputs, of the first of each."""
    rows = _rows(graph, nodes[0])
    made = {index for node in nodes for index in node.outputs}
    source = next(i for node in nodes for i in graph.computed(node) if i not in made)
    later = _used_later(graph, made, graph.nodes.index(nodes[-1]) + 1)
    target = later[0] if later else nodes[-1].outputs[0]
    nodes = [_without_absent(node) for node in nodes]
    writer = _BodyWriter(graph, rows)
    for node in nodes:
        writer.add(node)
    return Body(
        content=writer.content(source, target),
        operators=tuple(node.index for node in nodes),
        origins=tuple(writer.origins),
        source=source,
        target=target,
        repeats=rows,
    )


def _without_absent(node: Node) -> Node:
    """Without a bias that is not there, which files write as -1 or leave out."""
    return replace(node, inputs=tuple(index for index in node.inputs if index >= 0))


def _numbers(operators: Sequence[int]) -> str:
    if len(operators) > 2 and operators[-1] - operators[0] == len(operators) - 1:
        return f"{operators[0]} to {operators[-1]}"
    return ", ".join(map(str, operators))


def _changes(graph: Graph, parts: Sequence[Part]) -> tuple[str, ...]:
    """What parts differ in from the model, as sentences."""
    said = []
    bodies = [part for part in parts if isinstance(part, Body)]
    own = [part.node for part in parts if isinstance(part, Own)]
    if own:
        names = ", ".join(f"{node.index} ({node.kind})" for node in own)
        said.append(f"Our own C, equal to TFLM's, computes operators {names}.")
    if len(bodies) > 1:
        listed = "; ".join(_numbers(body.operators) for body in bodies)
        said.append(f"The generator compiles {len(bodies)} parts: operators {listed}.")
    for body in bodies:
        if body.repeats > 1:
            said.append(
                f"The part of operators {_numbers(body.operators)} runs {body.repeats} times, once "
                "for each row: the generator takes a batch of 1."
            )
    return tuple(said)
