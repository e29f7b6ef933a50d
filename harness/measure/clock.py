"""The board's clock against the host's: how fast it runs, and how surely that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

OK, OFF, UNSTEADY, UNKNOWN = "ok", "off", "unsteady", "cannot tell"
SKIPPED = "skipped: emulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStamp:
    """The board's time, in whole microseconds, read between two readings of the host's clock."""

    before_s: float
    after_s: float
    board_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRate:
    """How much faster the board's clock runs than the host's, in parts per million.

    The true rate lies within `ppm` plus and minus `error_ppm`: hard bounds from the width of the
    stamps, not an estimate of spread. `span_s` is the time observed. If no constant rate explains
    all stamps, `steady` is False and `ppm` is the rate between the first and the last stamp.
    """

    ppm: float
    error_ppm: float
    span_s: float
    steady: bool


def _bounds(first: ClockStamp, last: ClockStamp) -> tuple[float, float] | None:
    """Least and largest rate, board seconds per host second; None where the stamps overlap."""
    least_s, most_s = last.before_s - first.after_s, last.after_s - first.before_s
    if least_s <= 0:
        return None
    board_us = last.board_us - first.board_us
    # Either reading was cut to whole microseconds.
    return (board_us - 1) / (most_s * 1e6), (board_us + 1) / (least_s * 1e6)


def clock_rate(stamps: Sequence[ClockStamp]) -> ClockRate | None:
    """Bounds on the clock rate from every pair of stamps, after Cristian's clock reading.

    F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3 (1989): the remote
    clock was read at some time between sending and receiving, and nothing more is assumed.

    Args:
        stamps: in order of time, all since one start of the board.

    Returns:
        None if no two stamps are apart.
    """
    pairs = [_bounds(first, last) for first, last in combinations(stamps, 2)]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return None
    low, high = max(pair[0] for pair in known), min(pair[1] for pair in known)
    steady = low <= high
    if not steady:
        low, high = _bounds(stamps[0], stamps[-1]) or known[-1]
    return ClockRate(
        ppm=((low + high) / 2 - 1) * 1e6,
        error_ppm=(high - low) / 2 * 1e6,
        span_s=stamps[-1].after_s - stamps[0].before_s,
        steady=steady,
    )


def judge_clock(rate: ClockRate | None, tolerance_ppm: float) -> str:
    """`ok` or `off` where the bounds decide it, else `unsteady` or `cannot tell`."""
    if rate is None:
        return UNKNOWN
    if not rate.steady:
        return UNSTEADY
    if abs(rate.ppm) - rate.error_ppm > tolerance_ppm:
        return OFF
    return OK if abs(rate.ppm) + rate.error_ppm <= tolerance_ppm else UNKNOWN
