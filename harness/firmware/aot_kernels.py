"""Which kernels BakeNN chooses: CMSIS-NN's for convolutions with uneven padding too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

Capabilities = Callable[[Any, Any, Any], tuple[Any, ...]]
CMSIS_NN = "cmsis_nn."


@contextmanager
def any_padding_for_cmsis_nn() -> Iterator[None]:
    """While open, BakeNN takes CMSIS-NN's convolutions whatever the padding is.

    BakeNN 1.0.0 wants as much padding at the bottom and right as at the top and left, and else
    takes a portable loop, up to 14 times slower. CMSIS-NN's kernels are given the top and left
    padding and the output's size, and see themselves where the input ends.
    """
    from bakenn.backend.portable_c import families  # which registers those of convolutions
    from bakenn.backend.portable_c.selection import kernel_capabilities
    from bakenn.plan.steps.conv import Conv2DStep, DepthwiseConv2DStep

    assert families
    registered = {
        kind: kernel_capabilities.dispatch(kind) for kind in (Conv2DStep, DepthwiseConv2DStep)
    }
    for kind, original in registered.items():
        kernel_capabilities.register(kind, _widened(original))
    try:
        yield
    finally:
        for kind, original in registered.items():
            kernel_capabilities.register(kind, original)


def _widened(original: Capabilities) -> Capabilities:
    def capabilities(step: Any, plan: Any, options: Any) -> tuple[Any, ...]:
        top, bottom, left, right = step.padding
        even = replace(step, padding=(max(top, bottom),) * 2 + (max(left, right),) * 2)
        own = [item for item in original(step, plan, options) if not _of_cmsis_nn(item)]
        return (*own, *(item for item in original(even, plan, options) if _of_cmsis_nn(item)))

    return capabilities


def _of_cmsis_nn(capability: Any) -> bool:
    return bool(capability.kernel_id.startswith(CMSIS_NN))
