"""What a board brings: outputs and ticks of inference, repeated invokes, windows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.link.protocol import MOST_MORE
from harness.measure.latency import TimedRequest, Timer
from harness.model.samples import Layout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inference:
    """Outputs and raw ticks (k,) of a batch, and the link's retries for it.

    `samples` are the outputs as `layout` has them: one array of k samples, whatever the model.
    """

    samples: NDArray[Any]
    layout: Layout
    ticks: NDArray[np.uint32]
    retries: int

    @property
    def outputs(self) -> Any:
        """An array (k, ...); for a model with several outputs a dict of them by name."""
        return self.layout.named(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """Raw ticks (n,) of repeated invokes on one input, after `warmup` discarded ones.

    `cold_ticks` is the first of those where it was asked for. `link_us` is what it took, by the
    host's clock, to send that input and to read the output. `requests` are those in which all of
    this ran, that of the cold invoke first. `state` says what became of the model's
    state between the invokes, `reset` or `kept`; None for a model without any.
    """

    ticks: NDArray[np.uint32]
    warmup: int
    timer: Timer
    link_us: float
    cold_ticks: int | None = None
    state: str | None = None
    requests: tuple[TimedRequest, ...] = ()


MOST_IN_WINDOW = MOST_MORE + 1
"""Invokes of one window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Invokes one after another, with nothing sent or received between them.

    `window_ticks` are all of the board's ticks from the first invoke to the last, `invoke_ticks`
    those of the invokes alone, the cost of reading the counter included in each. It lasted from
    `sent_s` to `answered_s` at most, by the link's own clock.
    """

    invokes: int
    invoke_ticks: int
    window_ticks: int
    timer: Timer
    sent_s: float
    answered_s: float

    @property
    def length_s(self) -> float:
        """Seconds by the board's counter."""
        return self.window_ticks / self.timer.hz

    @property
    def invokes_share(self) -> float:
        """The invokes' part of the window; the rest is what lies between them."""
        return self.invoke_ticks / self.window_ticks if self.window_ticks else 1.0
