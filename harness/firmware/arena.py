"""Plans the arena of a model: what TFLM on the host reports, plus a margin."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from harness.model.artifact import Artifact
from harness.model.interpreters import ARENA_HEADROOM, tflm_version

MARGIN_BYTES = 1024
"""Libraries differ in the size of a tensor (64 bytes without TF_LITE_STATIC_MEMORY), in alignment
and in the records they keep. The host's 64-bit pointers add a margin of their own."""

PLAN_BYTES = 96
"""Per tensor, while TFLM plans the memory: its record of the tensor and the planner's."""

IM2COL_BYTES = 4
"""Scratch bytes per weight of one output channel: for a convolution CMSIS-NN unrolls two columns
of 16-bit inputs. The host's reference kernels do not, so that its report lacks it."""

_NUMBER = {
    "head": re.compile(r"Arena allocation head (\d+) bytes"),
    "tail": re.compile(r"Arena allocation tail (\d+) bytes"),
    "tensors": re.compile(r"'TfLiteEvalTensor data' .* for (\d+) allocations"),
}

# In a process of its own: TFLM prints the report on the process's standard error.
_PROBE = """\
import sys
from tflite_micro import runtime
model = sys.stdin.buffer.read()
runtime.Interpreter.from_bytes(model, arena_size=int(sys.argv[1])).print_allocations()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocations:
    """Bytes that TFLM takes of an arena on the host: `head` for activations and scratch buffers,
    `tail` for records that stay. `tensors` counts all tensors of the model."""

    head: int
    tail: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaPlan:
    """Size of the arena to reserve, and a text that says where it comes from."""

    size_bytes: int
    source: str


def parse_allocations(report: str) -> Allocations | None:
    """The figures in the text of `print_allocations`; None if they are not there."""
    found = {name: pattern.search(report) for name, pattern in _NUMBER.items()}
    if any(match is None for match in found.values()):
        return None
    return Allocations(**{name: int(match[1]) for name, match in found.items() if match})


def capacity(allocations: Allocations, scratch_bytes: int) -> int:
    """Size of the arena, a multiple of 16, for kernels that need `scratch_bytes` of their own."""
    planning = PLAN_BYTES * allocations.tensors
    need = allocations.tail + max(allocations.head + scratch_bytes, planning) + MARGIN_BYTES
    return -(-need // 16) * 16


def plan_arena(artifact: Artifact) -> ArenaPlan:
    """Plan the arena for a model: measured on the host where TFLM runs there, else estimated.

    The estimate is an upper bound: as if all tensors but the constants were in use at once.
    """
    shapes = _Shapes.of(artifact.content)
    version = tflm_version()
    if version is not None:
        command = [sys.executable, "-c", _PROBE, str(10 * len(artifact.content) + ARENA_HEADROOM)]
        done = subprocess.run(command, input=artifact.content, capture_output=True)
        allocations = parse_allocations(done.stderr.decode(errors="replace"))
        if allocations is not None:
            used = allocations.head + allocations.tail
            return ArenaPlan(
                size_bytes=capacity(allocations, shapes.scratch_bytes),
                source=f"tflm {version} on the host takes {used} bytes of it",
            )
    estimate = Allocations(
        head=shapes.activation_bytes, tail=_RECORDS_BYTES * shapes.tensors, tensors=shapes.tensors
    )
    return ArenaPlan(
        size_bytes=capacity(estimate, shapes.scratch_bytes),
        source="an estimate from the file: TFLM on the host does not say",
    )


_RECORDS_BYTES = 256
"""Assumed size of the tail per tensor, for an estimate. On the host it is 60 to 150."""

_ELEMENT_BYTES = {"FLOAT32": 4, "INT32": 4, "INT64": 8, "INT16": 2, "INT8": 1, "UINT8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shapes:
    """What the tensors of a model file need."""

    tensors: int
    activation_bytes: int
    scratch_bytes: int

    @classmethod
    def of(cls, content: bytes) -> _Shapes:
        import tflite  # 0.05 s: only where an arena is planned

        model = tflite.Model.GetRootAs(content)
        graph = model.Subgraphs(0)
        sizes = {value: name for name, value in vars(tflite.TensorType).items()}
        activations = 0
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            if model.Buffers(tensor.Buffer()).DataLength() == 0:
                elements = 1
                for axis in range(tensor.ShapeLength()):
                    elements *= max(1, tensor.Shape(axis))
                activations += elements * _ELEMENT_BYTES.get(sizes[tensor.Type()], 8) + 16
        scratch = 0
        convolutions = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D)
        for index in range(graph.OperatorsLength()):
            node = graph.Operators(index)
            if model.OperatorCodes(node.OpcodeIndex()).BuiltinCode() in convolutions:
                weights = graph.Tensors(node.Inputs(1))
                elements = 1
                for axis in range(1, weights.ShapeLength()):
                    elements *= weights.Shape(axis)
                scratch = max(scratch, IM2COL_BYTES * elements)
        return cls(
            tensors=graph.TensorsLength(), activation_bytes=activations, scratch_bytes=scratch
        )
