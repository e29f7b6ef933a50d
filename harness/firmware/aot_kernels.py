"""Faster kernels than those BakeNN chooses by itself, where they give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

Capabilities = Callable[[Any, Any, Any], tuple[Any, ...]]
CMSIS_NN = "cmsis_nn."


_MVE_CHANNELS = 124
"""CH_IN_BLOCK_MVE of CMSIS-NN 4.0.0."""


@contextmanager
def convolutions_by_cmsis_nn(*, mve: bool = False) -> Iterator[None]:
    """While open, BakeNN takes CMSIS-NN's convolutions whatever the padding is.

    With `mve` their kernels by Helium have the scratch memory that these need: BakeNN 1.0.0 plans
    that of the DSP extension, of which a depthwise one uses up to several times as much.

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
        kernel_capabilities.register(kind, _widened(original, mve))
    try:
        yield
    finally:
        for kind, original in registered.items():
            kernel_capabilities.register(kind, original)


def _widened(original: Capabilities, mve: bool) -> Capabilities:
    def capabilities(step: Any, plan: Any, options: Any) -> tuple[Any, ...]:
        top, bottom, left, right = step.padding
        even = replace(step, padding=(max(top, bottom),) * 2 + (max(left, right),) * 2)
        own = [item for item in original(step, plan, options) if not _of_cmsis_nn(item)]
        theirs = [item for item in original(even, plan, options) if _of_cmsis_nn(item)]
        if mve:
            shape = plan.constants[step.weight].shape
            theirs = [with_mve_scratch(item, shape) for item in theirs]
        return (*own, *theirs)

    return capabilities


def with_mve_scratch(item: Any, weights: tuple[int, ...]) -> Any:
    """A convolution's kernel with the scratch memory that it takes on a core with Helium.

    As arm_convolve_s8_get_buffer_size and arm_depthwise_conv_s8_opt_get_buffer_size have it.

    Args:
        weights: shape, (out, height, width, in), of a depthwise one (height, width, out).
    """
    if not item.scratch_size:
        return item
    if len(weights) == 4:
        columns = weights[1] * weights[2] * weights[3]
        needed = 4 * (-(-columns // 8) * 8)
    else:
        needed = 4 * _MVE_CHANNELS * weights[0] * weights[1]
    return replace(item, scratch_size=max(item.scratch_size, needed))


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
