"""TFLite Micro's fixed-point arithmetic, as `firmware/src/runtime/aot_operators.cpp` has it too.

All values are int32 held in int64 arrays. TFLM rounds twice: in the product, and in the shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplier:
    """A real factor as `multiplier * 2 ** (shift - 31)`."""

    multiplier: int
    shift: int

    @property
    def c_text(self) -> str:
        """Initializer of the firmware's Multiplier."""
        return f"{{{self.multiplier}, {self.shift}}}"


def multiplier(real: float) -> Multiplier:
    """The factor with 31 bits, as TFLM's QuantizeMultiplier rounds it."""
    if real == 0:
        return Multiplier(multiplier=0, shift=0)
    fraction, shift = math.frexp(real)
    fixed = math.floor(fraction * 2**31 + 0.5)
    if fixed == 2**31:
        fixed, shift = fixed // 2, shift + 1
    if shift < -31:
        return Multiplier(multiplier=0, shift=0)
    return Multiplier(multiplier=fixed, shift=shift)


def _int32(values: Integers) -> Integers:
    return values.astype(np.int32).astype(np.int64)


def high_product(a: Any, b: Any) -> Integers:
    """The upper half of `2 * a * b`, rounded to the nearest, halves up."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = np.abs(nudged) >> 31
    return np.minimum(np.where(nudged < 0, -quotient, quotient), INT32_MAX)


def halved(values: Any, shift: int) -> Integers:
    """`values / 2 ** shift`, rounded to the nearest, halves away from zero."""
    whole = np.asarray(values, np.int64)
    if shift > 31:
        return np.zeros_like(whole)
    mask = (1 << shift) - 1
    half = (mask >> 1) + (whole < 0)
    return np.asarray((whole >> shift) + ((whole & mask) > half), np.int64)


def scaled(values: Any, by: Multiplier) -> Integers:
    """Values times a factor."""
    left = _int32(np.asarray(values, np.int64) << max(by.shift, 0))
    return halved(high_product(left, by.multiplier), max(-by.shift, 0))


def _exponential_near_zero(x: Integers) -> Integers:
    """exp() of [-1/4, 0): a Taylor polynomial around -1/8; all with 31 fractional bits."""
    middle = 1895147668  # exp(-1/8)
    third = 715827883
    x = x + (1 << 28)
    square = high_product(x, x)
    cube = high_product(square, x)
    fourth = high_product(square, square)
    rest = halved(high_product(halved(fourth, 2) + cube, third) + square, 1)
    return middle + high_product(middle, x + rest)


def exponential(values: Any) -> Integers:
    """exp() of values <= 0 with 26 fractional bits; the result has 31."""
    x = np.asarray(values, np.int64)
    quarter = 1 << 24
    part = (x & (quarter - 1)) - quarter
    result = _exponential_near_zero(part << 5)
    rest = part - x
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for bit, factor in enumerate(factors, start=24):  # exp(-1/4), exp(-1/2), ... exp(-16)
        result = np.where(rest & (1 << bit), high_product(result, factor), result)
    return np.asarray(np.where(x == 0, INT32_MAX, result), np.int64)


def _saturated_shift(values: Integers, bits: int) -> Integers:
    return np.asarray(np.clip(values << bits, -INT32_MAX - 1, INT32_MAX), np.int64)


def reciprocal(total: Integers) -> tuple[Integers, Integers]:
    """1 / total for sums with 12 integer bits, by three Newton steps.

    Returns:
        Mantissa with 31 fractional bits, and the number of bits to shift it right.
    """
    bits = np.array([int(value).bit_length() for value in total.ravel()]).reshape(total.shape)
    headroom = 32 - bits
    x = (total << headroom) - (1 << 31)
    half_denominator = (x + INT32_MAX + 1) // 2
    guess = 1515870810 + high_product(half_denominator, -1010580540)  # 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - high_product(half_denominator, guess)
        guess = guess + _saturated_shift(high_product(guess, error), 2)
    return _saturated_shift(guess, 1), 12 - headroom


def softmax_powers(beta: float, scale: float) -> Integers:
    """exp() of the differences 0, -1, ... between int8 values that do not vanish, 31 bits each."""
    by = multiplier(min(beta * scale * (1 << 26), float(INT32_MAX)))
    radius = math.floor(31.0 * (1 << 26) / (1 << by.shift)) if by.shift >= 0 else 0
    below = np.arange(min(radius, 255) + 1, dtype=np.int64)
    return exponential(high_product(_int32(-below << max(by.shift, 0)), by.multiplier))


def softmax(rows: NDArray[np.int8], powers: Integers, dtype: str) -> NDArray[Any]:
    """Softmax over the last axis of int8 values, to int8 or int16."""
    bits = 8 * np.dtype(dtype).itemsize
    values = rows.astype(np.int64)
    below = values.max(axis=-1, keepdims=True) - values
    known = np.append(powers, np.zeros(256, np.int64))[below]
    mantissa, over = reciprocal(halved(known, 12).sum(axis=-1, keepdims=True))
    product = high_product(mantissa, known)
    shifts = np.broadcast_to(over, product.shape) + 31 - bits
    results = np.zeros_like(product)
    for shift in np.unique(shifts):
        results = np.where(shifts == shift, halved(product, int(shift)), results)
    lowest = -(1 << (bits - 1))
    return np.clip(results + lowest, lowest, -lowest - 1).astype(dtype)
