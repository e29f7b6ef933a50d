"""Finding windows of invokes in a meter's samples: by the board's pin, or by steps of current."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from harness.errors import CannotTell
from harness.measure.energy_steps import windows_by_steps
from harness.measure.energy_trace import Trace, Window
from harness.text import counted

LONGER = 0.05
"""By how much a window may be longer or shorter than by the board's clock: an RC oscillator's."""

UNLIKE = 0.002
"""By how much this ratio may differ between windows of one trace."""

OVERHEAD_S = 1e-3
"""From the pin's edge to the first tick and back, at most."""


def find_windows(
    trace: Trace, *, count: int, length_s: float | Sequence[float]
) -> tuple[Window, ...]:
    """The windows of invokes in a trace, in the order in which the board ran them.

    By the meter's digital channel; without one by steps of current, for which the windows must be
    of about one length, the board idle for a tenth of it before and after each, and its current in
    them another one than idle.

    Args:
        count: windows that the board ran while the meter was armed.
        length_s: of each by the board's own ticks, or of one after the other.

    Raises:
        CannotTell: another number of windows, or one of another length, was found; an edge is lost
            in a gap or lies outside the trace; a step of current does not stand out; or a length
            is not above 0.
    """
    lengths = (length_s,) * count if isinstance(length_s, int | float) else tuple(length_s)
    if count < 1 or len(lengths) != count:
        raise ValueError(f"{count} windows with lengths {lengths}")
    if not min(lengths) > 0:
        raise CannotTell(
            "the board says of a window that it took no time",
            hint="Does its counter run? hil infer shows what it says of one invoke.",
        )
    by_pin = trace.pin is not None
    windows = _by_pin(trace, count) if by_pin else windows_by_steps(trace, lengths)
    _refuse_unsure(trace, windows)
    _refuse_unlike(trace, windows, lengths)
    return windows


def _by_pin(trace: Trace, count: int) -> tuple[Window, ...]:
    assert trace.pin is not None
    change = np.diff(trace.pin.astype(np.int8))
    (rises,), (falls,) = np.nonzero(change == 1), np.nonzero(change == -1)
    if trace.pin[0] or trace.pin[-1]:
        begins = bool(trace.pin[0])
        raise CannotTell(
            f"the pin is high where the trace {'begins' if begins else 'ends'}, so that an edge of "
            "a window lies outside",
            hint=_INVERTED if begins else "Was the meter unplugged, or disarmed too early?",
        )
    if len(rises) != count:
        found = "never" if not len(rises) else counted(len(rises), "time")
        raise CannotTell(
            f"the pin went high {found} while the board ran {counted(count, 'window')}",
            hint=_NEVER if not len(rises) else _OFTEN,
        )
    return tuple(
        _window(trace.seconds, int(rise), int(fall))
        for rise, fall in zip(rises, falls, strict=True)
    )


_INVERTED = "Is it the pin of the rig file, and not one that something else drives?"
_NEVER = "Is the meter's channel wired to the board's pin, and ground to ground?"
_OFTEN = "Does something else drive it, does it float, or were samples lost at an edge?"


def _window(seconds: NDArray[np.float64], rise: int, fall: int) -> Window:
    """From the last sample before each edge and the first after it: rectangular in between."""
    starts, ends = seconds[rise : rise + 2], seconds[fall : fall + 2]
    return Window(
        start_s=float(starts.mean()),
        end_s=float(ends.mean()),
        start_u_s=float(np.ptp(starts)) / sqrt(12),
        end_u_s=float(np.ptp(ends)) / sqrt(12),
        found_by="pin",
    )


def _refuse_unsure(trace: Trace, windows: Sequence[Window]) -> None:
    """A gap of unknown length within a window leaves nothing to multiply its power with."""
    for number, window in enumerate(windows, 1):
        for begin, end in trace.gaps:
            if begin == end and window.start_s <= begin <= window.end_s:
                raise CannotTell(
                    f"in window {number} an unknown number of samples was lost",
                    hint="Does this machine keep up with the meter? Try another USB port.",
                )


def _refuse_unlike(trace: Trace, windows: Sequence[Window], lengths: Sequence[float]) -> None:
    ratios = [window.length_s / length for window, length in zip(windows, lengths, strict=True)]
    usual = float(np.median(ratios))
    for number, (window, length) in enumerate(zip(windows, lengths, strict=True), 1):
        unsure = 3 * sqrt(window.start_u_s**2 + window.end_u_s**2) + 2 * trace.step_s
        longer = abs(window.length_s - length) - unsure - OVERHEAD_S > LONGER * length
        unlike = abs(window.length_s - usual * length) - unsure > UNLIKE * length
        if longer or unlike:
            raise CannotTell(
                f"window {number} lasts {window.length_s:.4g} s for the meter and {length:.4g} s "
                f"for the board",
                hint="Were samples lost that the meter does not tell of? Else check the board's "
                "clock, and that nothing but this firmware drives its pin.",
            )
