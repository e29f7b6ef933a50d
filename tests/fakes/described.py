"""What boards of the tests say of themselves."""

from dataclasses import replace
from typing import Any

from harness.link.protocol import Capability, Hello
from harness.measure.tables import LatencyRow
from harness.model.tensor import TensorSpec

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


_ROW = LatencyRow(
    time_utc="2026-11-21T06:00:00Z",
    git_commit=None,
    session="s0",
    board="nano",
    board_uid=None,
    port="/dev/ttyACM0",
    mcu="host, of this machine",
    clock_hz=1,
    emulated=False,
    runtime="tflm",
    runtime_version="1",
    model="sine",
    dtype="int8",
    model_sha256="ab",
    firmware_build="cd",
    flash_bytes=None,
    ram_bytes=None,
    arena_used_bytes=None,
)


def row(**changes: Any) -> LatencyRow:
    """A row with the least in it, with these fields changed."""
    return replace(_ROW, **changes)
