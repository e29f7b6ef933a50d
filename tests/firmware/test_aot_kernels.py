"""Scratch memory of CMSIS-NN's kernels; expected numbers by its own get_buffer_size functions."""

import pytest
from bakenn.backend.portable_c.selection import KernelCapability

from harness.firmware.aot_kernels import with_mve_scratch
from harness.firmware.t32 import has_mve


@pytest.mark.parametrize(
    ("weights", "planned", "needed"),
    [
        ((64, 10, 4, 1), 160, 160),
        ((8, 3, 3, 3), 108, 128),  # 27 columns are four vectors of 8.
        ((3, 3, 64), 1152, 4464),  # 124 channels at once, of however few.
        ((3, 3, 512), 9216, 9216),
        ((64, 1, 1, 64), 0, 0),
    ],
)
def test_helium_has_the_scratch_memory_that_it_takes(
    weights: tuple[int, ...], planned: int, needed: int
) -> None:
    kernel = KernelCapability(
        kernel_id="cmsis_nn.any",
        priority=400,
        optimized=True,
        supported=True,
        reason="it fits",
        scratch_size=planned,
        scratch_alignment=4 if planned else 1,
    )
    assert with_mve_scratch(kernel, weights).scratch_size == needed


def test_cores_with_helium_are_known() -> None:
    assert has_mve("cortex-m55") and has_mve("cortex-m85")
    assert not any(map(has_mve, ("cortex-m33", "cortex-m7", "rv32imac", None)))
