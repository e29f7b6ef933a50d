"""A longer signal as the samples of a streaming model: windows that slide over it by a hop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import TensorError
from harness.model.tensor import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Samples cut out of a signal, in its order.

    `samples` are (k, ...), a read-only view of the signal where that is possible. `length` and
    `hop` count frames: what the signal's first axis counts.
    """

    samples: NDArray[Any]
    length: int
    hop: int

    @property
    def starts(self) -> NDArray[np.int64]:
        """First frame of each window, shape (k,)."""
        return self.hop * np.arange(len(self.samples), dtype=np.int64)

    def ends_s(self, frames_per_s: float) -> NDArray[np.float64]:
        """When each window is complete, in seconds from the signal's start, shape (k,)."""
        if not (math.isfinite(frames_per_s) and frames_per_s > 0):
            raise TensorError(f"a signal of {frames_per_s} frames per second has no times")
        return (self.starts + self.length) / frames_per_s


def sliding_windows(signal: NDArray[Any], *, length: int, hop: int) -> Windows:
    """All whole windows of a signal; what is left at its end is left out.

    Args:
        signal: (n, ...), frames along the first axis.
        length: frames in a window.
        hop: frames from the start of a window to that of the next.

    Returns:
        samples of shape (k, length, ...) with k = 1 + (n - length) // hop.

    Raises:
        TensorError: `length` or `hop` below 1, or a signal shorter than one window.
    """
    if length < 1 or hop < 1:
        raise TensorError(f"windows of {length} frames every {hop} frames: both must be 1 or more")
    if signal.ndim < 1 or len(signal) < length:
        found = len(signal) if signal.ndim else 0
        raise TensorError(f"a signal of {found} frames has no window of {length}")
    views = np.lib.stride_tricks.sliding_window_view(signal, length, axis=0)[::hop]
    return Windows(samples=np.moveaxis(views, -1, 1), length=length, hop=hop)


def samples_of(signal: NDArray[Any], spec: TensorSpec, *, hop: int) -> Windows:
    """A signal as inputs of a model: windows of as many frames as its input tensor holds.

    A model that takes one frame at a time and keeps state has windows of one frame: send them as
    one sequence, with `Dut.infer(windows.samples, keep_state=True)`.

    Args:
        signal: (n, ...); the elements of a frame divide those of `spec`. Its dtype stays.
        spec: the input tensor, of batch size 1.

    Returns:
        samples of shape (k, *spec.shape[1:]).

    Raises:
        TensorError: frames that do not fill the tensor, or as `sliding_windows`.
    """
    each = math.prod(signal.shape[1:])
    if each == 0 or spec.elements % each:
        raise TensorError(
            f"frames of {each} values do not fill tensor {spec.name!r} of shape {spec.shape}"
        )
    cut = sliding_windows(signal, length=spec.elements // each, hop=hop)
    shaped = cut.samples.reshape(len(cut.samples), *spec.shape[1:])
    return Windows(samples=shaped, length=cut.length, hop=hop)
