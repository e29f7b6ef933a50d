"""One operator of a model as a model of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import ModelError, ToolMissing, Where
from harness.model.wheels import TFLM_WHEEL, tflm_runtime

_IDENTIFIER = b"TFL3"
_NO_TENSOR = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A file with one operator of another's main graph.

    `inputs` are the tensors of the whole model, by number, that it takes in this order; all others
    of the operator's are constants, or variables.
    """

    content: bytes
    inputs: tuple[int, ...]


def operator_alone(content: bytes, index: int, *, name: str) -> Alone:
    """Cut an operator out of a model, with its constants, options and quantization.

    Args:
        index: of the main graph's operators, from 0.

    Raises:
        ToolMissing: the TFLM wheel, which has the file's schema, is not installed.
        ModelError: the operator calls another graph, or takes constants alone.
    """
    try:
        import flatbuffers

        schema = tflm_runtime().schema_fb
    except (ImportError, AttributeError) as error:
        raise ToolMissing(
            f"the schema of .tflite files, of a {TFLM_WHEEL} wheel",
            needed_for="an operator alone",
            install=f"pip install --pre {TFLM_WHEEL} (Linux on x86-64)",
        ) from error
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    inputs = _cut(model, index, Where(model=name))
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return Alone(content=bytes(builder.Output()), inputs=inputs)


def _cut(model: Any, index: int, where: Where) -> tuple[int, ...]:
    graph = model.subgraphs[0]
    operator = graph.operators[index]
    if any(_called(operator)):
        raise ModelError(f"operator {index} calls another graph of the model", where=where)
    used = [int(number) for number in _tensors(operator) if number != _NO_TENSOR]
    kept = sorted(set(used))
    taken = tuple(
        dict.fromkeys(
            int(number)
            for number in operator.inputs
            if number != _NO_TENSOR and _is_given(model, graph.tensors[number])
        )
    )
    if not taken:
        raise ModelError(f"operator {index} takes constants alone", where=where)
    place = {number: new for new, number in enumerate(kept)} | {_NO_TENSOR: _NO_TENSOR}
    _keep_buffers(model, [graph.tensors[number] for number in kept])
    model.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    model.subgraphs, model.signatureDefs = [graph], None
    model.metadata = model.metadataBuffer = None
    operator.opcodeIndex = 0
    graph.operators = [operator]
    graph.tensors = [graph.tensors[number] for number in kept]
    graph.inputs = [place[number] for number in taken]
    graph.outputs = [place[int(number)] for number in operator.outputs]
    for name in ("inputs", "outputs", "intermediates"):
        numbers = getattr(operator, name)
        if numbers is not None:
            setattr(operator, name, [place[int(number)] for number in numbers])
    return taken


def _tensors(operator: Any) -> Iterator[int]:
    for numbers in (operator.inputs, operator.outputs, operator.intermediates):
        yield from () if numbers is None else numbers


def _called(operator: Any) -> Iterator[bool]:
    """Whether its options name another graph, as those of IF, WHILE and CALL_ONCE do."""
    for name in vars(operator.builtinOptions) if operator.builtinOptions is not None else ():
        yield name.lower().endswith("subgraphindex")


def _is_given(model: Any, tensor: Any) -> bool:
    """Whether a tensor is computed or an input: neither a constant nor a variable."""
    data = model.buffers[tensor.buffer].data
    return not tensor.isVariable and (data is None or len(data) == 0)


def _keep_buffers(model: Any, tensors: list[Any]) -> None:
    """Those of these tensors, behind the first, which is always empty."""
    kept = [model.buffers[0]]
    for tensor in tensors:
        if tensor.buffer:
            kept.append(model.buffers[tensor.buffer])
            tensor.buffer = len(kept) - 1
    model.buffers = kept
