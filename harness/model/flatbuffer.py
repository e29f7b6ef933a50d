"""Reads the tables of a `.tflite` file that nobody has checked yet: all numbers are bounded."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
MOST_NAME = 200

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


class Malformed(Exception):
    """The bytes are no `.tflite` file, or one that contradicts itself; `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor as the file describes it.

    `dtype` is TFLite's name in lower case. `signature` is the shape with -1 where a size is left
    open; () where the file has none. `scales` counts the scales, of which `scale` is the first,
    0 without any. `constant_bytes` is the size of its values in the file, 0 if it has none.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    scale: float
    zero_point: int
    scales: int
    variable: bool
    constant_bytes: int

    @property
    def elements(self) -> int:
        """Number of elements; an open size counts as 1."""
        return math.prod(max(1, size) for size in self.shape)

    @property
    def size_bytes(self) -> int:
        """Size of its values; elements of unknown size count as 8 bytes."""
        return (self.elements * _BITS.get(self.dtype, 64) + 7) // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator: TFLite's name or, of a custom one, the name that the file gives it.

    `inputs` and `outputs` are indices of tensors; -1 is an optional input that is absent.
    `variable` is the container and name that VAR_HANDLE stands for, and `initializer` the subgraph
    that CALL_ONCE runs; None for other operators.
    """

    kind: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variable: tuple[str, str] | None = None
    initializer: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgraph:
    """One subgraph; `inputs` and `outputs` are indices of its tensors."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_subgraphs(content: bytes) -> tuple[Subgraph, ...]:
    """All subgraphs of a `.tflite` file; the first is the one that is invoked.

    Raises:
        Malformed: the file is none, is cut off, or has numbers that cannot be.
    """
    _check_beginning(content)
    import tflite  # 0.05 s: only where a model is looked into

    with _bounded():
        model = tflite.Model.GetRootAs(content, 0)
        return _File(model, content).subgraphs()


def _check_beginning(content: bytes) -> None:
    if len(content) > MOST_BYTES:
        raise Malformed(f"is larger than {MOST_BYTES} bytes")
    for start, what, hint in _OTHERS:
        if content.startswith(start):
            raise Malformed(f"is not a TFLite model but {what}", hint)
    if content[4:8] != IDENTIFIER:
        said = "it is empty" if not content else "bytes 4 to 7 are not its identifier, TFL3"
        raise Malformed(f"is not a TFLite model: {said}")


@contextmanager
def _bounded() -> Iterator[None]:
    """Turns what the flatbuffers package raises for offsets out of the file into Malformed."""
    try:
        yield
    except (
        *(struct.error, LookupError, ValueError, AttributeError),
        *(TypeError, OverflowError, AssertionError),
    ) as error:
        raise Malformed("is cut off or damaged: a part of it points out of the file") from error


def _limited(count: int, most: int, what: str) -> int:
    if not 0 <= count <= most:
        raise Malformed(f"has {count} {what}; at most {most} are read")
    return count


def _text(table: Any, slot: int) -> str:
    """The start of a table's string, fit to be printed, whatever bytes the file has for it.

    Args:
        slot: the field's place in the vtable. The field's own method copies the whole string,
            which may be as long as the file, for each of the tables that share it.
    """
    inner = table._tab
    offset = inner.Offset(slot)
    if offset == 0:
        return ""
    start, count = inner.Vector(offset), min(MOST_NAME, inner.VectorLen(offset))
    text = bytes(inner.Bytes[start : start + count]).decode(errors="replace")
    return "".join(char if char.isprintable() else "?" for char in text)


_TENSOR_NAME, _CUSTOM_CODE, _METADATA_NAME = 10, 6, 4
_CONTAINER, _SHARED_NAME = 4, 6
"""Slots, as the schema numbers the fields: 4 plus 2 for each field before."""


def _numbers(table: Any, field: str, most: int, what: str) -> tuple[int, ...]:
    """The vector of integers that is a table's field; () where it is absent."""
    count = _limited(getattr(table, f"{field}Length")(), most, what)
    get: Callable[[int], Any] = getattr(table, field)
    return tuple(int(get(index)) for index in range(count))


class _File:
    """The tables of one file."""

    def __init__(self, model: Any, content: bytes) -> None:
        import tflite

        self._model = model
        self._size = len(content)
        self._kinds = _names(tflite.BuiltinOperator)
        self._dtypes = {code: name.lower() for code, name in _names(tflite.TensorType).items()}
        self._buffers = self._constants()
        self._codes = self._operator_codes()
        self._left = {"tensors": MOST_ENTRIES, "operators": MOST_ENTRIES, "links": MOST_LINKS}
        # Weights that are stored sparse or compressed have fewer bytes than elements.
        self._compressed = model.MetadataLength() > 0 and self._says_compressed()

    def subgraphs(self) -> tuple[Subgraph, ...]:
        count = _limited(self._model.SubgraphsLength(), MOST_SUBGRAPHS, "subgraphs")
        if count == 0:
            raise Malformed("has no subgraph: there is nothing to run")
        return tuple(self._subgraph(self._model.Subgraphs(index)) for index in range(count))

    def _says_compressed(self) -> bool:
        count = _limited(self._model.MetadataLength(), MOST_ENTRIES, "metadata entries")
        entries = (self._model.Metadata(index) for index in range(count))
        return any(_text(entry, _METADATA_NAME) == "COMPRESSION_METADATA" for entry in entries)

    def _constants(self) -> tuple[int, ...]:
        """Size in bytes of each buffer, all of which lie within the file."""
        count = _limited(self._model.BuffersLength(), MOST_ENTRIES, "buffers")
        return tuple(self._constant(self._model.Buffers(index)) for index in range(count))

    def _constant(self, buffer: Any) -> int:
        if buffer.Offset() > 1:
            raise Malformed("keeps weights outside of its flatbuffer, as files above 2 GB do")
        size = int(buffer.DataLength())
        if size:
            buffer.Data(size - 1)
        return size

    def _operator_codes(self) -> tuple[tuple[str, bool], ...]:
        count = _limited(self._model.OperatorCodesLength(), MOST_ENTRIES, "operator codes")
        return tuple(self._kind(self._model.OperatorCodes(index)) for index in range(count))

    def _kind(self, code: Any) -> tuple[str, bool]:
        # Codes up to 127 stand in the older, one-byte field; the newer one is 0 in old files.
        number = int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        kind = self._kinds.get(number, f"BUILTIN_{number}")
        if kind != "CUSTOM":
            return kind, False
        return _text(code, _CUSTOM_CODE) or kind, True

    def _take(self, what: str, count: int) -> int:
        """Count towards the most of a file, whichever subgraph has them."""
        self._left[what] -= _limited(count, self._left[what], what)
        return count

    def _subgraph(self, graph: Any) -> Subgraph:
        count = self._take("tensors", graph.TensorsLength())
        tensors = tuple(self._tensor(graph.Tensors(index), index) for index in range(count))
        operators = self._take("operators", graph.OperatorsLength())
        nodes = tuple(self._node(graph.Operators(index), index) for index in range(operators))
        made = Subgraph(
            tensors=tensors,
            nodes=nodes,
            inputs=self._links(graph, "Inputs"),
            outputs=self._links(graph, "Outputs"),
        )
        _check_links(made)
        return made

    def _links(self, table: Any, field: str) -> tuple[int, ...]:
        numbers = _numbers(table, field, self._left["links"], field.lower())
        self._take("links", len(numbers))
        return numbers

    def _node(self, node: Any, index: int) -> Node:
        code = node.OpcodeIndex()
        if code >= len(self._codes):
            raise Malformed(f"has an operator {index} of no kind")
        kind, custom = self._codes[code]
        return Node(
            kind=kind,
            custom=custom,
            inputs=self._links(node, "Inputs"),
            outputs=self._links(node, "Outputs"),
            variable=_variable(node) if kind == "VAR_HANDLE" else None,
            initializer=_initializer(node) if kind == "CALL_ONCE" else None,
        )

    def _tensor(self, tensor: Any, index: int) -> Tensor:
        buffer = tensor.Buffer()
        # Some converters let tensors without values point beyond the list.
        constant = self._buffers[buffer] if buffer < len(self._buffers) else 0
        scale, zero_point, scales = _quantization(tensor.Quantization(), index)
        made = Tensor(
            index=index,
            name=_text(tensor, _TENSOR_NAME),
            dtype=self._dtypes.get(tensor.Type(), f"type {tensor.Type()}"),
            shape=_numbers(tensor, "Shape", MOST_RANK, f"dimensions of tensor {index}"),
            signature=_numbers(
                tensor, "ShapeSignature", MOST_RANK, f"dimensions of tensor {index}"
            ),
            scale=scale,
            zero_point=zero_point,
            scales=scales,
            variable=bool(tensor.IsVariable()),
            constant_bytes=constant,
        )
        if any(size < -1 for size in made.shape):
            raise Malformed(f"has a size below -1 in tensor {index} ({made.name!r}): {made.shape}")
        if constant and not self._compressed and tensor.Sparsity() is None:
            _check_constant(made)
        return made


def _names(enumeration: type) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


def _variable(node: Any) -> tuple[str, str]:
    import tflite

    options = tflite.VarHandleOptions()
    options.Init(node.BuiltinOptions().Bytes, node.BuiltinOptions().Pos)
    return _text(options, _CONTAINER), _text(options, _SHARED_NAME)


def _initializer(node: Any) -> int:
    import tflite

    options = tflite.CallOnceOptions()
    options.Init(node.BuiltinOptions().Bytes, node.BuiltinOptions().Pos)
    return int(options.InitSubgraphIndex())


def _quantization(parameters: Any, index: int) -> tuple[float, int, int]:
    """The first scale and zero point, and the number of scales."""
    if parameters is None:
        return 0.0, 0, 0
    scales = _limited(parameters.ScaleLength(), MOST_SCALES, f"scales of tensor {index}")
    if scales == 0:
        return 0.0, 0, 0
    parameters.Scale(scales - 1)
    zero_points = _limited(
        parameters.ZeroPointLength(), MOST_SCALES, f"zero points of tensor {index}"
    )
    zero_point = int(parameters.ZeroPoint(0)) if zero_points else 0
    if not -(2**31) <= zero_point < 2**31:
        raise Malformed(f"has a zero point of {zero_point} in tensor {index}")
    return float(parameters.Scale(0)), zero_point, scales


def _check_constant(tensor: Tensor) -> None:
    if tensor.dtype in _BITS and tensor.constant_bytes < tensor.size_bytes:
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
    ):
        for link in links:
            if not least <= link <= last:
                raise Malformed(f"contradicts itself: {what} tensor {link}, and it has {last + 1}")
