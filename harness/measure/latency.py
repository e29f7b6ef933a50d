"""Latency statistics: functions of finished samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

P99_LEAST_SAMPLES = 100
MOST_INVOKES = 1000
MEASURED_S = 20.0
"""Timed invokes of a session, and seconds that they may take, where nobody asks for a number."""

ASKED, DEFAULT, SHORTENED = "asked", "default", f"default, shortened to {MEASURED_S:g} s"
"""`n_rule` of the CSV: how the number of timed invokes was chosen."""

MASKED, UNMASKED = "off", "on"
"""`interrupts` of the CSV: whether the timed window holds the board's own interrupts."""

EMULATED_PER_S = 500e6
"""Instructions that QEMU executes in a second; its own time says nothing of how long it takes."""

SIMULATED_PER_S = 100e6
"""The same of a simulated chip (harness/sim)."""

MODELLED_SLOWDOWN = 20.0
"""Seconds that a simulated chip with a model of its cycles takes for one of its own."""

_FEWER_INVOKES = (500, 200, 100, 50, 20, 10)
WARM_AGREEMENT = 0.01
"""Warm-up ends when two consecutive invokes agree within this fraction of the larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """The board's counter: rate in Hz, cost of reading it and smallest step in ticks.

    `read_ticks`: least difference of two readings in a row, as the board measures it; every sample
    holds it once. `step_ticks`: least change that was seen.
    """

    hz: int
    read_ticks: int = 0
    step_ticks: int = 1

    def net_ticks(self, ticks: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Ticks without the cost of reading the counter. May be below 0 for an empty window."""
        return ticks.astype(np.int64) - self.read_ticks

    def us(self, ticks: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Microseconds of raw tick differences, read cost subtracted."""
        micros: NDArray[np.float64] = self.net_ticks(ticks) * 1e6 / self.hz
        return micros

    def instructions(
        self, ticks: NDArray[np.uint32], ns_per_instruction: float
    ) -> NDArray[np.int64]:
        """Exact guest instructions between two counter reads, read cost subtracted.

        Args:
            ns_per_instruction: 2**N under QEMU's `-icount shift=N`. From N = 7 on a tick of 40 ns
                is finer than half an instruction, so rounding loses nothing.
        """
        gross = np.rint(ticks.astype(np.float64) * 1e9 / self.hz / ns_per_instruction)
        read = np.rint(self.read_ticks * 1e9 / self.hz / ns_per_instruction)
        net: NDArray[np.int64] = (gross - read).astype(np.int64)
        return net


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedRequest:
    """One request: raw ticks (n,) of its invokes, and how long it took by the host's clock.

    `again` says that it was sent more than once.
    """

    ticks: NDArray[np.uint32]
    host_s: float
    again: bool = False


CLOCKS_AGREE = 0.05
"""A board's clock may be that much faster than the host's: an RC oscillator is off by 2 %."""
HOST_SLACK_S = 0.001
MOST_EMULATED_PER_S = 2e10
"""Guest instructions: no host executes more of its own in a second."""


def impossible(ticks: NDArray[np.uint32], timer: Timer) -> str | None:
    """Why these ticks (n,) cannot be those of invokes, by the counter alone; None if they can.

    A sample may be one step below the cost of reading: either was cut to whole steps.
    """
    least = int(ticks.min())
    if least + timer.step_ticks >= timer.read_ticks:
        return None
    us = float(timer.us(np.array([least], dtype=np.uint32))[0])
    return (
        f"an invoke took {least} ticks, and reading the counter is said to take "
        f"{timer.read_ticks}: that is {us:.1f} us"
    )


def impossible_by_host(
    request: TimedRequest, timer: Timer, ns_per_instruction: float | None = None
) -> str | None:
    """Why a request's ticks cannot be, by the time that it took on the host; None if they can.

    The board ran all of its invokes between the request and its answer.

    Args:
        ns_per_instruction: of an emulated board. Its time is not the host's, its instructions are
            executed there.
    """
    total_s = float(request.ticks.sum(dtype=np.uint64)) / timer.hz
    count = len(request.ticks)
    took = f"{count} invokes took {request.host_s:.3g} s with their request"
    if ns_per_instruction is not None:
        instructions = total_s * 1e9 / ns_per_instruction
        if instructions > request.host_s * MOST_EMULATED_PER_S + 1e6:
            return f"{took}, and the counter says {instructions:.3g} instructions"
        return None
    slack_s = HOST_SLACK_S + count * timer.step_ticks / timer.hz
    if total_s > request.host_s * (1 + CLOCKS_AGREE) + slack_s:
        return f"{took}, and {total_s:.3g} s by the counter of {timer.hz} Hz"
    wraps_s = 2**32 / timer.hz
    if not request.again and request.host_s - total_s > wraps_s:
        return (
            f"{took}, and {total_s:.3g} s by the counter, which begins anew after {wraps_s:.3g} s"
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """Microseconds of one invoke by the board's own counter, its read cost subtracted.

    n: samples. warmup: invokes run and discarded before the first of them.
    cold_us: the first invoke since the board was started; None where it was not seen.
    min_us, max_us: the extreme samples.
    p50_us: the median. p95_us, p99_us: percentiles, linear between order statistics (type 7 of
    Hyndman and Fan, "Sample quantiles in statistical packages", 1996; NumPy's default). p99_us is
    None under 100 samples: it would say little but the maximum.
    mad_us: median absolute deviation from the median, not scaled to a standard deviation.
    mean_us: arithmetic mean. std_us: standard deviation of a sample, n - 1 in the denominator; None
    of a single one.
    """

    n: int
    warmup: int
    cold_us: float | None
    min_us: float
    p50_us: float
    mad_us: float
    mean_us: float
    std_us: float | None
    p95_us: float
    p99_us: float | None
    max_us: float


def summarize(
    samples_us: NDArray[np.float64], *, warmup: int = 0, cold_us: float | None = None
) -> LatencySummary:
    """Summary of at least one sample.

    Args:
        samples_us: shape (n,).

    Raises:
        ValueError: no samples.
    """
    if samples_us.size == 0:
        raise ValueError("no latency samples to summarize")
    p50, p95, p99 = np.percentile(samples_us, [50, 95, 99])
    return LatencySummary(
        n=int(samples_us.size),
        warmup=warmup,
        cold_us=cold_us,
        min_us=float(samples_us.min()),
        p50_us=float(p50),
        mad_us=float(np.median(np.abs(samples_us - p50))),
        mean_us=float(samples_us.mean()),
        std_us=float(samples_us.std(ddof=1)) if samples_us.size > 1 else None,
        p95_us=float(p95),
        p99_us=float(p99) if samples_us.size >= P99_LEAST_SAMPLES else None,
        max_us=float(samples_us.max()),
    )


def affordable_invokes(invoke_s: float) -> int:
    """How many invokes to time where nobody says: MOST_INVOKES, or fewer that take MEASURED_S.

    Of a few round numbers, so that runs of one model are of equally many; 10 however long they
    take.
    """
    counts = (MOST_INVOKES, *_FEWER_INVOKES)
    return next((n for n in counts if n * invoke_s <= MEASURED_S), counts[-1])


def agree(first_ticks: int, second_ticks: int) -> bool:
    """Whether two consecutive invokes are close enough to call the board warm."""
    larger = max(first_ticks, second_ticks)
    return abs(first_ticks - second_ticks) <= WARM_AGREEMENT * larger
