"""Training takes rounding from the harness: held to exact arithmetic, which neither wrote."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from harness.model.tensor import TensorSpec, dequantize, quantize

SCALES = st.floats(2.0**-20, 1e3, width=32)
REALS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1)


def exactly(real: np.float32, scale: np.float32, zero_point: int) -> int:
    """The float32 quotient, which TFLite computes, rounded half away from zero and saturated."""
    quotient = Decimal(float(real / scale))
    steps = int(quotient.to_integral_value(rounding=ROUND_HALF_UP))
    return max(-128, min(127, steps + zero_point))


@given(REALS, SCALES, st.integers(-128, 127))
@example([0.5, -0.5, 1.5, 2.5, -2.5, 126.5, 1000.0, -1000.0], 1.0, 0)
@example([float(np.nextafter(np.float32(0.5), np.float32(0)))], 1.0, 0)
def test_rounding_is_that_of_exact_decimal_arithmetic(
    values: list[float], scale: float, zero_point: int
) -> None:
    spec = TensorSpec(shape=(1,), dtype="int8", scale=scale, zero_point=zero_point)
    real = np.array(values, dtype=np.float32)
    raw = quantize(real, spec)
    expected = [exactly(value, np.float32(scale), zero_point) for value in real]
    assert raw.tolist() == expected
    back = [np.float32(scale) * np.float32(step - zero_point) for step in expected]
    np.testing.assert_array_equal(dequantize(raw, spec), np.array(back, dtype=np.float32))
