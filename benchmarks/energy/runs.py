"""Known joules through simulated instruments: do they come out within the stated uncertainty?

python -m benchmarks.energy.runs --runs 1000
python -m benchmarks.energy.runs --runs 10000 --instrument trace

Instruments are `ppk2` (ppk2lab and its simulated PPK2: its commands, metadata and stream),
`lines` (a server on TCP that sends lines to the meter of that kind) and `trace` (no instrument:
what would come of one). In each run the board's current, the windows, and the instrument's gain,
offset, drift, noise, resolution, gaps and phase are random, gain and offset within the bounds that
are stated of it; every other run has no pin and finds its windows by current. Then runs that must
be refused: an edge lost, a meter unplugged in mid-window; and two meters of one kind at a time.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from fakes.instruments import in_background, lines_of, tcp_instrument, until  # noqa: E402
from fakes.supply import Errors, Load, any_errors, any_load, sampled  # noqa: E402

from harness.board.meters import MeterSpec  # noqa: E402
from harness.errors import CannotTell, MeterError  # noqa: E402
from harness.measure.energy import Energy, Trace, energy_of, find_windows  # noqa: E402
from harness.meter.lines import LinesMeter  # noqa: E402

Rng = np.random.Generator
WINDOW_S = 1.0
REFUSALS = 25
CALIBRATED_OFFSET_AMPS = 10e-6
"""Of a PPK2: twice its resolution at the currents of most boards (5 uA, in the range to 5 mA)."""
SHARE = 0.05
"""As --hil-energy-share has it where nothing is said."""


@dataclass(kw_only=True)
class Tally:
    """What came of runs with one instrument."""

    ratios: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    seconds: float = 0.0

    def add(self, energy: Energy, known_j: float) -> None:
        self.ratios.append((energy.energy_j - known_j) / energy.uncertainty_j)
        self.off.append(abs(energy.energy_j - known_j) / known_j)
        self.shares.append(energy.share)

    def lines(self, name: str) -> Iterator[str]:
        ratios = np.abs(self.ratios)
        yield (
            f"{name}: {self.runs} runs, {len(ratios)} energies, gross and net, "
            f"{self.seconds / max(1, self.runs):.2f} s each"
        )
        yield f"  within the stated uncertainty (k = 2): {np.mean(ratios <= 1):.2%}"
        quantiles = np.quantile(ratios, [0.5, 0.9, 0.95, 0.99, 1.0])
        yield (
            f"  error by uncertainty: rms {np.sqrt(np.mean(ratios**2)):.3f} (0.5 is just right), "
            "50, 90, 95, 99, 100 %: " + ", ".join(f"{value:.2f}" for value in quantiles)
        )
        yield (
            f"  error by energy: 95 % {np.quantile(self.off, 0.95):.3%}, "
            f"largest {max(self.off):.3%}; "
            f"stated: median {np.median(self.shares):.2%}, largest {max(self.shares):.2%}"
        )
        told = [off for off, share in zip(self.off, self.shares, strict=True) if share <= SHARE]
        yield (
            f"  of the {len(told)} that are told, with at most {SHARE:.0%} stated: largest error "
            f"{max(told):.3%}"
        )
        for reason, count in self.refused.most_common():
            yield f"  refused {count}: {reason}"


def of_ppk2(rng: Rng) -> tuple[Load, Errors, dict[str, Any]]:
    """A load within a PPK2's ranges, and what is stated of it after a calibration."""
    load = any_load(rng, WINDOW_S)
    idle_amps = float(10 ** rng.uniform(-5, -2.5))
    active_amps = idle_amps + float(10 ** rng.uniform(-3, -1.5))
    load = replace(load, windows=1, idle_amps=idle_amps, active_amps=active_amps)
    gain_error = float(rng.choice([0.0, 0.005, 0.01]))
    # Each range has its own calibration, and all drift together by a part of the offset's bound.
    offset_bound = min(0.05 * idle_amps, CALIBRATED_OFFSET_AMPS)
    drift = float(rng.choice([0.0, rng.uniform(-0.3, 0.3)]) * offset_bound)
    rest = offset_bound - abs(drift)
    errors = Errors(
        rate_hz=100e3,
        gain_error=gain_error,
        range_gains=tuple(rng.uniform(-gain_error, gain_error, 5)),
        range_offsets_amps=tuple(rng.uniform(-rest, rest, 5)),
        offset_amps=-drift,
        noise_amps=float(rng.uniform(0.005, 0.2)) * idle_amps,
        correlated=float(rng.choice([0.0, 0.9])),
        drift_amps=2 * drift,
        phase=float(rng.uniform(0, 1)),
    )
    firsts = rng.integers(1, int(load.total_s * 100e3) - 100, int(rng.integers(0, 20)))
    apart = np.unique(firsts // 200) * 200 + 1
    lost = tuple((int(first), int(rng.integers(1, 60))) for first in apart)
    # The simulated one's steps: 14 bits of the range that it is in.
    step = (50e-3 if active_amps * max(load.levels) < 49e-3 else 1.0) / 0x3FFF
    stated = {"gain_error": gain_error, "offset_amps": offset_bound, "resolution_amps": step}
    return load, replace(errors, lost=lost), {**stated, "volts_error": 0.0}


def by_ppk2(load: Load, errors: Errors, stated: dict[str, Any], seed: int, pin: bool) -> Trace:
    from fakes.ppk2 import PIN, LoadedPpk2, opened

    from harness.meter.ppk2 import Ppk2Meter

    simulator = LoadedPpk2(load, errors, seed)
    spec = MeterSpec(kind="ppk2", volts=load.volts, pin=PIN if pin else None, options=stated)
    with Ppk2Meter(spec, device=opened(simulator)) as meter:
        meter.arm()
        capture = meter._capture
        assert capture is not None
        until(lambda: capture.failure is not None or capture.taken_s >= simulator.load_s, 120)
        return meter.disarm()


def of_lines(rng: Rng) -> tuple[Load, Errors, dict[str, Any]]:
    """A slower instrument, with noise up to a twentieth of the current."""
    load = replace(any_load(rng, WINDOW_S), windows=1)
    errors = replace(any_errors(rng, load), rate_hz=float(rng.choice([1e3, 2e3, 5e3])))
    gain_error = min(errors.gain_error, 0.01)
    errors = replace(
        errors,
        gain=float(rng.uniform(-gain_error, gain_error)),
        noise_amps=load.active_amps * float(10 ** rng.uniform(-4, -1.3)),
    )
    count = int(load.total_s * errors.rate_hz)
    most = max(2, int(0.01 * errors.rate_hz))
    lost = tuple((int(at), int(rng.integers(1, most))) for at in rng.integers(1, count - most, 2))
    stated = {
        "gain_error": gain_error,
        "offset_amps": errors.offset_bound,
        "resolution_amps": max(errors.resolution_amps, 1e-9),
        "lag_s": 0.0,
    }
    return load, replace(errors, lost=lost if rng.random() < 0.3 else ()), stated


def by_lines(load: Load, errors: Errors, stated: dict[str, Any], seed: int, pin: bool) -> Trace:
    data = lines_of(load, errors, seed)
    with tcp_instrument() as instrument:
        spec = MeterSpec(kind="lines", port=instrument.url, options=stated)
        with LinesMeter(spec) as meter:
            meter.arm()
            in_background(lambda: instrument.send(b"begin\n" + data))
            until(lambda: len(meter.taken) >= data.count(b"\n"), 60)
            trace = meter.disarm()
    return trace if pin else replace(trace, pin=None)


def of_trace(rng: Rng) -> tuple[Load, Errors, dict[str, Any]]:
    load = any_load(rng, WINDOW_S)
    return load, any_errors(rng, load), {}


def by_trace(load: Load, errors: Errors, stated: dict[str, Any], seed: int, pin: bool) -> Trace:
    return sampled(load, errors, seed, pin)


Random = Callable[[Rng], tuple[Load, Errors, dict[str, Any]]]
Take = Callable[[Load, Errors, dict[str, Any], int, bool], Trace]
INSTRUMENTS: dict[str, tuple[Random, Take]] = {
    "ppk2": (of_ppk2, by_ppk2),
    "lines": (of_lines, by_lines),
    "trace": (of_trace, by_trace),
}


def run(name: str, seed: int, tally: Tally) -> None:
    """One run: both energies, or why there is none."""
    rng = np.random.default_rng(seed)
    draw, take = INSTRUMENTS[name]
    load, errors, stated = draw(rng)
    begun = time.perf_counter()
    trace = take(load, errors, stated, seed, seed % 2 == 0)
    try:
        # The board's clock is a crystal: 50 ppm.
        length_s = load.length_s * (1 + 50e-6 * float(rng.normal()))
        windows = find_windows(trace, count=load.windows, length_s=length_s)
        for subtract_idle, known_j in ((False, load.gross_j), (True, load.net_j)):
            tally.add(
                energy_of(
                    trace,
                    windows=windows,
                    inferences=load.inferences,
                    subtract_idle=subtract_idle,
                ),
                known_j,
            )
    except CannotTell as error:
        tally.refused[error.reason] += 1
    tally.runs += 1
    tally.seconds += time.perf_counter() - begun


def refusals(name: str) -> Iterator[str]:
    """Runs that must not give an energy."""
    for what, spoilt, pin in (
        ("an edge lost, no pin", edge_lost, False),
        ("the idle between two windows lost", idle_lost, True),
        ("an eighth of a window lost", much_lost, True),
    ):
        said: Counter[str] = Counter()
        for seed in range(REFUSALS):
            said[refusal(name, 10_000 + seed, spoilt, pin)] += 1
        yield f"{name}, {what}: " + "; ".join(f"{n} {why}" for why, n in said.most_common())


Spoilt = Callable[[Load, Errors], tuple[int, int]]


def refusal(name: str, seed: int, spoilt: Spoilt, pin: bool) -> str:
    """Why a run with samples lost gives no energy."""
    draw, take = INSTRUMENTS[name]
    load, errors, stated = draw(np.random.default_rng(seed))
    load = replace(load, windows=2)
    first, count = spoilt(load, errors)
    if name == "ppk2":
        first, count = as_counted(first, count, told=not pin)
    try:
        trace = take(load, replace(errors, lost=((first, count),)), stated, seed, pin)
        windows = find_windows(trace, count=2, length_s=load.length_s)
        energy_of(trace, windows=windows, inferences=load.inferences, subtract_idle=False)
    except CannotTell as error:
        return re.sub(r"[\d.]+ s", "N s", error.reason)
    return "NOT REFUSED"


def as_counted(first: int, count: int, told: bool) -> tuple[int, int]:
    """A loss that the counter of six bits in a PPK2's samples tells of, or one that it does not."""
    return (first + count // 2 - 30, 60) if told else (first, count // 64 * 64)


def edge_lost(load: Load, errors: Errors) -> tuple[int, int]:
    """From 5 ms before the first window to 5 ms after its begin."""
    return int((load.starts()[0] - 0.005) * errors.rate_hz), int(0.01 * errors.rate_hz)


def idle_lost(load: Load, errors: Errors) -> tuple[int, int]:
    """From 10 ms before the end of the first window to 10 ms after the begin of the second."""
    end_s = load.starts()[0] + load.length_s
    return int((end_s - 0.01) * errors.rate_hz), int((load.gap_s + 0.02) * errors.rate_hz)


def much_lost(load: Load, errors: Errors) -> tuple[int, int]:
    """In the middle of the first window."""
    middle_s = load.starts()[0] + load.length_s / 2
    return int(middle_s * errors.rate_hz), int(load.length_s / 8 * errors.rate_hz)


def unplugged() -> str:
    """A PPK2 that goes in mid-window."""
    from fakes.ppk2 import PIN, LoadedPpk2, opened

    from harness.meter.ppk2 import Ppk2Meter

    said: Counter[str] = Counter()
    for seed in range(REFUSALS):
        rng = np.random.default_rng(seed)
        load, errors, stated = of_ppk2(rng)
        simulator = LoadedPpk2(load, errors, seed)
        at_s = load.starts()[0] + rng.uniform(0, load.length_s)
        simulator.unplug_after = int(at_s * 100e3)
        spec = MeterSpec(kind="ppk2", volts=load.volts, pin=PIN, options=stated)
        with Ppk2Meter(spec, device=opened(simulator)) as meter:
            try:
                meter.arm()
                capture = meter._capture
                assert capture is not None
                until(capture.ended, 60)
                meter.disarm()
                said["NOT REFUSED"] += 1
            except MeterError as error:
                said[error.what] += 1
    return "ppk2, unplugged in mid-window: " + "; ".join(f"{n} {why}" for why, n in said.items())


@contextmanager
def at_ports(simulators: dict[str, Any]) -> Iterator[None]:
    """The simulated instruments, in the place of serial ports that ppk2lab opens."""
    import ppk2lab.device
    from fakes.ppk2 import at_port

    before = ppk2lab.device._transport_factory
    ppk2lab.device._transport_factory = at_port(simulators)
    try:
        yield
    finally:
        ppk2lab.device._transport_factory = before


def two_at_a_time() -> str:
    """Two PPK2 on two boards, sampling at the same time: each window goes to its own board."""
    right = sum(own_boards(seed) for seed in range(REFUSALS))
    return f"ppk2, two at a time: {right} of {2 * REFUSALS} energies are their own board's"


def own_boards(seed: int) -> int:
    """How many of two energies are their own board's, to 2 %."""
    from fakes.ppk2 import PIN, LoadedPpk2

    from harness.meter.meter import open_meter

    rng = np.random.default_rng(seed)
    loads = [of_ppk2(rng)[0] for _ in range(2)]
    simulators = [LoadedPpk2(load, seed=seed) for load in loads]
    ports = [f"/dev/hil-{number}" for number in range(2)]
    with at_ports(dict(zip(ports, simulators, strict=True))), ExitStack() as stack:
        specs = [
            MeterSpec(kind="ppk2", port=port, volts=load.volts, pin=PIN)
            for port, load in zip(ports, loads, strict=True)
        ]
        meters = [stack.enter_context(open_meter(spec)) for spec in specs]
        for meter in meters:
            meter.arm()
        captures = [meter._meter._capture for meter in meters]  # type: ignore[attr-defined]
        pairs = list(zip(captures, simulators, strict=True))
        until(lambda: all(one.taken_s >= other.load_s for one, other in pairs), 120)
        traces = [meter.disarm() for meter in meters]
    return sum(own_energy(*pair) for pair in zip(traces, loads, strict=True))


def own_energy(trace: Trace, load: Load) -> bool:
    windows = find_windows(trace, count=1, length_s=load.length_s)
    energy = energy_of(trace, windows=windows, inferences=load.inferences, subtract_idle=False)
    return abs(energy.energy_j - load.gross_j) <= 0.02 * load.gross_j


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--instrument", choices=tuple(INSTRUMENTS))
    chosen = parser.parse_args()
    names = [chosen.instrument] if chosen.instrument else ["ppk2", "lines"]
    # Seven of ten through ppk2lab.
    shares = {"ppk2": 0.7, "lines": 0.3} if len(names) > 1 else {names[0]: 1.0}
    both = Tally()
    for name in names:
        tally = Tally()
        for seed in range(round(shares[name] * chosen.runs)):
            run(name, seed, tally)
        print(*tally.lines(name), sep="\n", flush=True)
        both.ratios += tally.ratios
        both.off += tally.off
        both.shares += tally.shares
        both.refused += tally.refused
        both.runs += tally.runs
        both.seconds += tally.seconds
    if len(names) > 1:
        print(*both.lines("all"), sep="\n", flush=True)
    for name in names:
        print(*refusals(name), sep="\n", flush=True)
    if "ppk2" in names:
        print(unplugged(), two_at_a_time(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
