"""What boards of the tests say of themselves."""

from dataclasses import replace
from typing import Any

from harness.protocol import Capability, Hello
from harness.tensor import TensorSpec

PAIR = TensorSpec(shape=(1, 2), dtype="int8", scale=0.5)
SINGLE = TensorSpec(shape=(1, 1), dtype="int8", scale=0.25)

_HELLO = Hello(
    capabilities=Capability.INFER | Capability.TENSORS | Capability.RESET,
    max_payload=256,
    tick_hz=1_000_000,
    timer_step_ticks=1,
    timer_read_ticks=2,
    arena_used=1,
    arena_capacity=1,
    model_sha256=bytes(range(32)),
    build_id=bytes(range(16)),
    board="memory",
    board_uid="",
    runtime="aot",
    runtime_version="1",
    kernels="",
    inputs=(PAIR,),
    outputs=(SINGLE,),
    model="fake",
)


def hello(**changes: Any) -> Hello:
    """HELLO of a small healthy board, with these fields changed."""
    return replace(_HELLO, **changes)
