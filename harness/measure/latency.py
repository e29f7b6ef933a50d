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

EMULATED_PER_S = 500e6
"""Instructions that QEMU executes in a second; its own time says nothing of how long it takes."""

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

    def instructions(self, ticks: NDArray[np.uint32], icount_shift: int) -> NDArray[np.int64]:
        """Exact guest instructions between two counter reads, read cost subtracted.

        Under QEMU's `-icount shift=N` an instruction takes 2**N virtual ns. From N = 7 on
        a tick of 40 ns is finer than half an instruction, so rounding loses nothing.
        """
        ns_per_instruction = 2**icount_shift
        gross = np.rint(ticks.astype(np.float64) * 1e9 / self.hz / ns_per_instruction)
        read = np.rint(self.read_ticks * 1e9 / self.hz / ns_per_instruction)
        net: NDArray[np.int64] = (gross - read).astype(np.int64)
        return net


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
