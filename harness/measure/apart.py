"""How far two readings of one output are apart, and which elements are beyond a tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import WrongUse
from harness.model.defined import ALL, Defined
from harness.model.samples import Layout
from harness.tolerance import EXACT, FLOATS, Stated, Tolerance


def tolerances(stated: Stated, layout: Layout) -> tuple[Tolerance, ...]:
    """The tolerance of each output: what was stated for it, else for all, else the usual one.

    Raises:
        WrongUse: an output is named that the model does not have, or in a unit that it is not in.
    """
    named: dict[int, list[Tolerance]] = {}
    for item in stated.items:
        if item.output is None:
            continue
        at = layout.position(item.output)
        if at is None:
            raise WrongUse(
                f"{stated.by} names output {item.output!r}: the model has {layout}",
                hint="Take one of these names, or a position: 0, 1.",
            )
        if not item.fits(layout.specs[at].dtype):
            raise WrongUse(
                f"{stated.by} gives output {item.output!r} {item.tolerance}: it is of "
                f"{layout.specs[at].dtype}",
                hint="Integers have a tolerance in lsb, floats in ulp or as a share of 1.",
            )
        named.setdefault(at, []).append(item.tolerance)
    return tuple(
        _in_force(named.get(at, []) or _for_all(stated, spec.dtype), spec.dtype)
        for at, spec in enumerate(layout.specs)
    )


def tolerance_text(
    given: tuple[Tolerance, ...], stated: Stated, layout: Layout, defined: Defined = ALL
) -> str:
    """What tolerance outputs are judged by, and who stated it: `1 LSB, by --hil-tolerance`.

    With what of the outputs is not compared, as it is not defined.
    """
    texts = [str(tolerance) for tolerance in given]
    same = len(set(texts)) == 1
    text = (
        texts[0]
        if same
        else "; ".join(f"{name}: {text}" for name, text in zip(layout.names, texts, strict=True))
    )
    widened = any(
        tolerance != usual(spec.dtype) for tolerance, spec in zip(given, layout.specs, strict=True)
    )
    if stated.operators:
        text = f"{text}, of {' and '.join(sorted(stated.operators))} alone"
    text = f"{text}, by {stated.by}" if widened else text
    return "; ".join(part for part in (text, str(defined)) if part)


def usual(dtype: str) -> Tolerance:
    """The tolerance of outputs of a dtype, where nobody states one."""
    return FLOATS if dtype == "float32" else EXACT


def _for_all(stated: Stated, dtype: str) -> list[Tolerance]:
    return [item.tolerance for item in stated.items if item.output is None and item.fits(dtype)]


def _in_force(given: list[Tolerance], dtype: str) -> Tolerance:
    if not given:
        return usual(dtype)
    return Tolerance(
        lsb=max(item.lsb for item in given),
        ulp=max(item.ulp for item in given),
        relative=max(item.relative for item in given),
    )


def columns(outputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Samples (k, ...) of one output or of several as arrays (k, elements), one for each."""
    names = outputs.dtype.names
    several = [outputs] if names is None else [outputs[name] for name in names]
    return [each.reshape(len(each), -1) for each in several]


def differing(
    first: NDArray[Any], second: NDArray[Any], allowed: tuple[Tolerance, ...] = ()
) -> NDArray[np.intp]:
    """Indices of samples that differ in any element of any output by more than is allowed.

    Args:
        first, second: samples (k, ...) of one output or, as `Layout` has them, of several.
        allowed: of each output; nothing where none is given. NaN equals NaN.
    """
    pairs = list(zip(columns(first), columns(second), strict=True))
    each = allowed or (EXACT,) * len(pairs)
    wrong = [
        beyond(one, other, tolerance).any(axis=1)
        for (one, other), tolerance in zip(pairs, each, strict=True)
    ]
    return np.flatnonzero(np.any(wrong, axis=0))


def gap(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences; none between two NaN, or two infinities of one sign."""
    if one.dtype.kind in "iub" and other.dtype.kind in "iub":
        return _whole_gap(one, other).astype(np.float64)
    first, second = one.astype(np.float64), other.astype(np.float64)
    same = _same(first, second)
    return np.abs(np.subtract(first, second, where=~same, out=np.zeros_like(first)))


def ulps(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int64]:
    """Steps of float32 between two arrays; of no meaning where an element is not finite."""
    steps: NDArray[np.int64] = np.abs(_place(one) - _place(other))
    return steps


def beyond(
    board: NDArray[Any], golden: NDArray[Any], tolerance: Tolerance = EXACT
) -> NDArray[np.bool_]:
    """Which elements of a board's output are further from the golden's than allowed.

    Args:
        board, golden: of one shape, all samples that are compared.
    """
    if board.dtype.kind in "iub" and golden.dtype.kind in "iub":
        wide: NDArray[np.bool_] = _whole_gap(board, golden) > np.uint64(tolerance.lsb)
        return wide
    first, second = board.astype(np.float64), golden.astype(np.float64)
    same = _same(first, second)
    if tolerance == EXACT:
        return ~same
    finite = np.isfinite(first) & np.isfinite(second)
    largest = np.abs(second[np.isfinite(second)]).max(initial=0.0)
    near = gap(first, second) <= tolerance.relative * largest
    near |= ulps(board, golden) <= tolerance.ulp
    far: NDArray[np.bool_] = ~(same | (finite & near))
    return far


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _whole_gap(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.uint64]:
    """Exact for int64 as well, whose differences have 64 bits without a sign."""
    first, second = one.astype(np.int64), other.astype(np.int64)
    high, low = np.maximum(first, second), np.minimum(first, second)
    return high.view(np.uint64) - low.view(np.uint64)


def _place(values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of each float32 in their order, counted from 0.0; -0.0 has the same."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, dtype=np.float32)
    bits = single.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits + 2**31), bits)
