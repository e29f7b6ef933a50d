"""Plans the arena of a model: what TFLM on the host reports, plus a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.firmware.probe import Allocations, Answer, ask_tflm
from harness.model.artifact import Artifact
from harness.model.graph import Operator, read_graph
from harness.model.wheels import tflm_version

MARGIN_BYTES = 1024
"""Libraries differ in the size of a tensor (64 bytes without TF_LITE_STATIC_MEMORY), in alignment
and in the records they keep. The host's 64-bit pointers add a margin of their own."""

PLAN_BYTES = 96
"""Per tensor, while TFLM plans the memory: its record of the tensor and the planner's."""

IM2COL_BYTES = 4
"""Scratch bytes per weight of one output channel: for a convolution CMSIS-NN unrolls two columns
of 16-bit inputs. The host's reference kernels do not, so that its report lacks it."""

HELIUM_CHANNELS = 124
"""CH_IN_BLOCK_MVE of CMSIS-NN: with Helium a depthwise convolution has room for four columns of so
many channels, also where the model has fewer."""

HELIUM_LANES = 16
"""With Helium each of a convolution's columns is filled up to whole vectors of bytes."""

SUM_BYTES = 4
"""With Helium a Dense layer and an SVDF keep a sum of weights for each output or filter."""

LSTM_SUMS, LSTM_SUM_BYTES = 8, 8
"""CMSIS-NN keeps this many sums of weights for each unit of an LSTM, of up to 8 bytes each, which
the host's reference kernel does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaPlan:
    """Size of the arena to reserve, and a text that says where it comes from."""

    size_bytes: int
    source: str


def capacity(allocations: Allocations, scratch_bytes: int, kept_bytes: int = 0) -> int:
    """Size of the arena, a multiple of 16.

    Args:
        scratch_bytes: what the board's kernels need of their own during an invoke.
        kept_bytes: what they keep of their own from the start on.
    """
    planning = PLAN_BYTES * allocations.tensors
    tail = allocations.tail + kept_bytes
    need = tail + max(allocations.head + scratch_bytes, planning) + MARGIN_BYTES
    return -(-need // 16) * 16


def plan_arena(
    artifact: Artifact, answer: Answer | None = None, *, helium: bool = False
) -> ArenaPlan:
    """Plan the arena for a model: measured on the host where TFLM runs there, else estimated.

    The estimate is an upper bound: as if all tensors but the constants were in use at once.

    Args:
        answer: TFLM's on the host, if it was asked already.
        helium: whether the board's core has Helium, whose kernels take more.
    """
    graph = read_graph(artifact.content, name=artifact.name)
    scratch = _helium_bytes if helium else _im2col_bytes
    scratch_bytes = max(map(scratch, graph.operators), default=0)
    kept_bytes = sum(map(_lstm_sums_bytes, graph.operators))
    kept_bytes += sum(map(_helium_sums_bytes, graph.operators)) if helium else 0
    answer = answer or ask_tflm(artifact.content)
    if answer is not None and answer.allocations is not None:
        used = answer.allocations.head + answer.allocations.tail
        return ArenaPlan(
            size_bytes=capacity(answer.allocations, scratch_bytes, kept_bytes),
            source=f"tflm {tflm_version()} on the host takes {used} bytes of it",
        )
    estimate = Allocations(
        head=graph.activation_bytes, tail=_RECORDS_BYTES * graph.tensors, tensors=graph.tensors
    )
    return ArenaPlan(
        size_bytes=capacity(estimate, scratch_bytes, kept_bytes),
        source="an estimate from the file: TFLM on the host does not say",
    )


_RECORDS_BYTES = 256
"""Assumed size of the tail per tensor, for an estimate. On the host it is 60 to 150."""


def _lstm_sums_bytes(operator: Operator) -> int:
    """For the sums of an LSTM, whose output has its units as the last dimension."""
    if operator.kind != "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return 0
    return LSTM_SUMS * (LSTM_SUM_BYTES * (operator.shape or (1,))[-1] + _ALIGNMENT_BYTES)


_ALIGNMENT_BYTES = 16


def _helium_sums_bytes(operator: Operator) -> int:
    """For the sums of weights that kernels with Helium make once, before the first inference."""
    if operator.kind not in ("FULLY_CONNECTED", "SVDF"):
        return 0
    return SUM_BYTES * math.prod(operator.weights[:1]) + _ALIGNMENT_BYTES


def _im2col_bytes(operator: Operator) -> int:
    return IM2COL_BYTES * _column(operator)


def _helium_bytes(operator: Operator) -> int:
    """What CMSIS-NN's `get_buffer_size` functions say of it with MVE, at most."""
    if operator.kind == "FULLY_CONNECTED":
        return SUM_BYTES * math.prod(operator.weights[:1])
    column = _column(operator)
    if operator.kind == "DEPTHWISE_CONV_2D":
        column = max(column, HELIUM_CHANNELS * math.prod(operator.weights[1:3]))
    return IM2COL_BYTES * -(-column // HELIUM_LANES) * HELIUM_LANES


def _column(operator: Operator) -> int:
    """Weights of one output channel of a convolution; 0 for other operators."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    return math.prod(max(1, size) for size in operator.weights[1:])
