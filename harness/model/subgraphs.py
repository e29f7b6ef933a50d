"""Tensors and operators of a `.tflite` file that nobody has checked yet: all is bounded."""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from itertools import chain
from typing import TYPE_CHECKING, Any

from harness.model.flatbuffer import Malformed, Table, limited

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 64 * 1024 * 1024
"""Of a file, and of one input or output: more than any board that TFLM runs on can hold."""

MOST_ENTRIES = 20_000
"""Tensors, operators, buffers or operator codes of a file."""

MOST_LINKS = 200_000
"""Inputs and outputs of all operators and subgraphs. Tables may be shared, so that a short file
can name many."""

MOST_SCALES = 1_000_000
MOST_RANK = 8
MOST_SUBGRAPHS = 100

IDENTIFIER = b"TFL3"

_BITS = {
    **dict.fromkeys(("int4",), 4),
    **dict.fromkeys(("uint8", "bool", "int8"), 8),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 16),
    **dict.fromkeys(("float32", "int32", "uint32"), 32),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 64),
}
"""Of an element. Strings and resources have no fixed size."""

_OTHERS = (
    (b"PK\x03\x04", "a ZIP file, as Keras's .keras is", "Convert it with tf.lite.TFLiteConverter."),
    (b"\x89HDF", "an HDF5 file, as Keras's .h5 is", "Convert it with tf.lite.TFLiteConverter."),
    (b"version https://git-lfs", "the pointer of a file in Git LFS", "Fetch it: git lfs pull"),
)
"""What is often given in place of a `.tflite` file: first bytes, what it is, what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor as the file describes it.

    `dtype` is TFLite's name in lower case. `signature` is the shape with -1 where a size is left
    open; () where the file has none. `content` holds a constant's values, None for what is
    computed. A `variable` keeps its value from one invoke to the next.
    """

    index: int
    shape: tuple[int, ...]
    dtype: str
    name: str = ""
    signature: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    variable: bool = False
    content: bytes | memoryview | None = None

    @property
    def elements(self) -> int:
        """Number of elements; an open size counts as 1."""
        return math.prod(1 if size < 0 else size for size in self.shape)

    @property
    def size_bytes(self) -> int:
        """Size of its values; elements of unknown size count as 8 bytes."""
        return (self.elements * _BITS.get(self.dtype, 64) + 7) // 8

    @property
    def constant_bytes(self) -> int:
        """Size of its values in the file, 0 if it has none."""
        return len(self.content or b"")

    @property
    def scale(self) -> float:
        """The first scale; 0 where there is none."""
        return self.scales[0] if self.scales else 0.0

    @property
    def zero_point(self) -> int:
        """The first zero point; 0 where there is none."""
        return self.zero_points[0] if self.zero_points else 0

    def values(self) -> NDArray[Any]:
        """A constant's values, in its shape."""
        import numpy as np  # 0.06 s: the rest of this module does without

        return np.frombuffer(self.content or b"", dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator: TFLite's name or, of a custom one, the name that the file gives it.

    `index` counts from 0. `inputs` and `outputs` are indices of tensors; -1 is an optional input
    that is absent. `intermediates` are tensors of an LSTM's inside. `options` is the table of the
    kind that `options_type` says, None where the file has none.
    """

    index: int
    kind: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    options_type: int
    intermediates: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"operator {self.index} ({self.kind})"

    @property
    def variable(self) -> tuple[str, str] | None:
        """The container and name that VAR_HANDLE stands for; None of other operators."""
        if self.kind != "VAR_HANDLE":
            return None
        return (self.options.text(0), self.options.text(1)) if self.options else ("", "")

    @property
    def initializer(self) -> int | None:
        """The subgraph that CALL_ONCE runs; None of other operators."""
        if self.kind != "CALL_ONCE":
            return None
        return int(self.options.number(0)) if self.options else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgraph:
    """One subgraph; `inputs` and `outputs` are indices of its tensors."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@lru_cache(maxsize=2)
def read_subgraphs(content: bytes) -> tuple[Subgraph, ...]:
    """All subgraphs of a `.tflite` file; the first is the one that is invoked.

    Raises:
        Malformed: the file is none, is cut off, or has numbers that cannot be.
    """
    _check_beginning(content)
    return _File(Table.root(content)).subgraphs()


def _check_beginning(content: bytes) -> None:
    if len(content) > MOST_BYTES:
        raise Malformed(f"is larger than {MOST_BYTES} bytes")
    for start, what, hint in _OTHERS:
        if content.startswith(start):
            raise Malformed(f"is not a TFLite model but {what}", hint)
    if content[4:8] != IDENTIFIER:
        said = "it is empty" if not content else "bytes 4 to 7 are not its identifier, TFL3"
        raise Malformed(f"is not a TFLite model: {said}")


@cache
def names(enumeration: str) -> Mapping[int, str]:
    """Names of an enumeration of TFLite's schema, `BuiltinOperator` or `TensorType`, by number."""
    # `import tflite` imports 180 modules, which takes 0.05 s: this is one of them.
    package = importlib.util.find_spec("tflite")
    folders = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec(enumeration, folders or [])
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"tflite.{enumeration}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    members = vars(getattr(module, enumeration))
    return {code: name for name, code in members.items() if isinstance(code, int)}


_VECTOR_OPTIONS = {"RESHAPE": 17, "SQUEEZE": 30}
"""Types of options that hold a vector of sizes, which kernels read."""


class _File:
    """The tables of one file. Fields are numbered as in the schema, from 0."""

    def __init__(self, model: Table) -> None:
        self._model = model
        self._left = {
            **{"tensors": MOST_ENTRIES, "operators": MOST_ENTRIES},
            **{"links": MOST_LINKS, "scales": MOST_SCALES},
        }
        self._buffers = [_constant(item) for item in model.tables(4, MOST_ENTRIES, "buffers")]
        codes = model.tables(1, MOST_ENTRIES, "operator codes")
        self._kinds = [_kind(code) for code in codes]
        # Weights that are stored sparse or compressed have fewer bytes than elements.
        metadata = model.tables(6, MOST_ENTRIES, "metadata entries")
        self._check_plan(metadata)
        self._compressed = any(entry.text(0) == "COMPRESSION_METADATA" for entry in metadata)

    def _check_plan(self, metadata: Sequence[Table]) -> None:
        """A plan of the arena in the file, which TFLM follows: an offset for each tensor."""
        for entry in metadata:
            if entry.text(0) != "OfflineMemoryAllocation":
                continue
            number = entry.number(1, "I")
            content = self._buffers[number] if number < len(self._buffers) else None
            plan = content or b""
            numbers = [at for (at,) in struct.iter_unpack("<i", bytes(plan)[: len(plan) & ~3])]
            graphs = self._model.tables(2, MOST_SUBGRAPHS, "subgraphs")
            tensors = sum(graph.count(0) for graph in graphs)
            offsets = numbers[3:]
            if len(numbers) < 3 or numbers[2] != len(offsets) or len(offsets) != tensors:
                raise Malformed(
                    f"has a plan of its memory that is not one of its {tensors} tensors"
                )
            if offsets and not -1 <= min(offsets) <= max(offsets) <= MOST_BYTES:
                raise Malformed("has a plan of memory with offsets that cannot be")
            self._check_alignment(offsets, graphs)

    def _check_alignment(self, offsets: Sequence[int], graphs: Sequence[Table]) -> None:
        """Many cores cannot read an int32 or a float at any address."""
        tensors = chain.from_iterable(graph.tables(0, MOST_ENTRIES, "tensors") for graph in graphs)
        for index, (offset, tensor) in enumerate(zip(offsets, tensors, strict=True)):
            number = tensor.number(1, "b")
            dtype = names("TensorType").get(number, "").lower()
            if offset != -1 and offset % max(1, _BITS.get(dtype, 8) // 8):
                raise Malformed(f"has a plan of memory with tensor {index} out of alignment")

    def subgraphs(self) -> tuple[Subgraph, ...]:
        tables = self._model.tables(2, MOST_SUBGRAPHS, "subgraphs")
        if not tables:
            raise Malformed("has no subgraph: there is nothing to run")
        return tuple(map(self._subgraph, tables))

    def _take(self, what: str, count: int) -> int:
        """Count towards the most of a file, whichever subgraph has them."""
        self._left[what] -= limited(count, self._left[what], what)
        return count

    def _subgraph(self, graph: Table) -> Subgraph:
        tensors = graph.tables(0, self._left["tensors"], "tensors")
        self._take("tensors", len(tensors))
        operators = graph.tables(3, self._left["operators"], "operators")
        self._take("operators", len(operators))
        made = Subgraph(
            tensors=tuple(self._tensor(item, index) for index, item in enumerate(tensors)),
            nodes=tuple(self._node(item, index) for index, item in enumerate(operators)),
            inputs=self._links(graph, 1, "inputs"),
            outputs=self._links(graph, 2, "outputs"),
        )
        _check_links(made)
        return made

    def _links(self, table: Table, field: int, what: str) -> tuple[int, ...]:
        numbers = table.numbers(field, "i", self._left["links"], what)
        self._take("links", len(numbers))
        return numbers

    def _node(self, node: Table, index: int) -> Node:
        code = node.number(0, "I")
        if code >= len(self._kinds):
            raise Malformed(f"has an operator {index} of no kind")
        kind, custom = self._kinds[code]
        for field in (5, 7):  # Options of a custom operator, and which inputs are variables
            node.raw(field)
        options, options_type = node.table(4), node.number(3, "B")
        if options is not None and options_type == _VECTOR_OPTIONS.get(kind):
            self._take("links", len(options.numbers(0, "i", MOST_RANK, f"sizes of {kind}")))
        return Node(
            index=index,
            kind=kind,
            custom=custom,
            inputs=self._links(node, 1, "inputs"),
            outputs=self._links(node, 2, "outputs"),
            intermediates=self._links(node, 8, "intermediates"),
            options=options,
            options_type=options_type,
        )

    def _tensor(self, tensor: Table, index: int) -> Tensor:
        buffer = tensor.number(2, "I")
        if buffer >= len(self._buffers) > 0:
            raise Malformed(
                f"has the values of tensor {index} in buffer {buffer}, and it has "
                f"{len(self._buffers)}"
            )
        content = self._buffers[buffer] if self._buffers else None
        scales, zero_points = self._quantization(tensor.table(4), index)
        dtype = names("TensorType").get(tensor.number(1, "b"), f"type {tensor.number(1, 'b')}")
        made = Tensor(
            index=index,
            name=tensor.text(3),
            dtype=dtype.lower(),
            shape=tensor.numbers(0, "i", MOST_RANK, f"dimensions of tensor {index}"),
            signature=tensor.numbers(7, "i", MOST_RANK, f"dimensions of tensor {index}"),
            scales=scales,
            zero_points=zero_points,
            variable=bool(tensor.number(5, "B")),
            content=content,
        )
        if any(size < -1 for size in made.shape):
            raise Malformed(f"has a size below -1 in tensor {index} ({made.name!r}): {made.shape}")
        if content and not self._compressed and tensor.table(6) is None:
            _check_constant(made)
        return made

    def _quantization(
        self, parameters: Table | None, index: int
    ) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Scales and zero points; none of both where the file has no scale."""
        if parameters is None:
            return (), ()
        scales = parameters.numbers(2, "f", self._left["scales"], f"scales of tensor {index}")
        if self._take("scales", len(scales)) == 0:
            return (), ()
        what = f"zero points of tensor {index}"
        zero_points = parameters.numbers(3, "q", self._left["scales"], what)
        self._take("scales", len(zero_points))
        for zero_point in zero_points:
            if not -(2**31) <= zero_point < 2**31:
                raise Malformed(f"has a zero point of {zero_point} in tensor {index}")
        return scales, zero_points


def _constant(buffer: Table) -> memoryview | None:
    """A buffer's bytes; None if it has none."""
    if buffer.number(1, "Q") > 1:
        raise Malformed("keeps weights outside of its flatbuffer, as files above 2 GB do")
    return buffer.raw(0) or None


def _kind(code: Table) -> tuple[str, bool]:
    # Codes up to 127 stand in the older, one-byte field; the newer one is 0 in old files.
    number = max(code.number(3, "i"), code.number(0, "b"))
    kind = names("BuiltinOperator").get(number, f"BUILTIN_{number}")
    return (code.text(1) or kind, True) if kind == "CUSTOM" else (kind, False)


def _check_constant(tensor: Tensor) -> None:
    if tensor.dtype in _BITS and tensor.constant_bytes != tensor.size_bytes:
        raise Malformed(
            f"has {tensor.constant_bytes} bytes of values for tensor {tensor.index} "
            f"({tensor.name!r}), whose shape and type need {tensor.size_bytes}"
        )


def _check_links(graph: Subgraph) -> None:
    """Every tensor that is named must be there; only an operator's input may be absent (-1)."""
    last = len(graph.tensors) - 1
    for what, least, links in (
        ("its inputs name", 0, graph.inputs),
        ("its outputs name", 0, graph.outputs),
        *((f"operator {i} ({n.kind}) takes", -1, n.inputs) for i, n in enumerate(graph.nodes)),
        *((f"operator {i} ({n.kind}) makes", 0, n.outputs) for i, n in enumerate(graph.nodes)),
        *((f"operator {i} ({n.kind}) has", -1, n.intermediates) for i, n in enumerate(graph.nodes)),
    ):
        for link in links:
            if not least <= link <= last:
                raise Malformed(f"contradicts itself: {what} tensor {link}, and it has {last + 1}")
