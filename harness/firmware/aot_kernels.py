"""Faster kernels than those BakeNN chooses by itself, where they give the same bytes."""

from __future__ import annotations

import re
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


_ADD = re.compile(r"(\nvoid bknn_\w+_add_s8\([^)]*\) \{\n)")
_DENSE_ADD = """\
    if (a_stride3 == 1 && b_stride3 == 1 && a_stride2 == dim3 && b_stride2 == dim3 &&
        a_stride1 == dim2 * dim3 && b_stride1 == a_stride1 && dim0 == 1) {
        const int32_t numbers[] = {
            input_a_zero_point, input_b_zero_point, output_zero_point,
            input_a_multiplier, input_a_shift, input_b_multiplier, input_b_shift,
            output_multiplier, output_shift, activation_min, activation_max};
        hil_add_s8(input_a, input_b, output, dim1 * dim2 * dim3, numbers);
        return;
    }
"""
_DECLARED = """
void hil_add_s8(const int8_t* left, const int8_t* right, int8_t* output, size_t count,
                const int32_t* numbers);
"""


def with_our_add(source: str) -> str:
    """BakeNN's kernels with ADD of equal shapes by the firmware's own function.

    BakeNN's takes 136 instructions for each value on a Cortex-M4, with calls of functions that
    handle every shift. A source without an ADD stays as it is.
    """
    return _ADD.sub(lambda found: _DECLARED + found[1] + _DENSE_ADD, source)
