"""How wrong is an energy by a PPK2 whose current changes its range many times in a second?

python -m benchmarks.energy.ranges

A current of 1 mA with pulses of 9 mA goes over the border of two ranges, 5 mA, and back, in windows
of 1 s through ppk2lab and its simulated PPK2. Each row: how often ranges change, how long a pulse
lasts; by how much the energy is off as the meter sends it, and as it would be with the samples
after each change held, as ppk2lab's filter does; the uncertainty that is stated (k = 2). The same
again with spikes after each change: nobody has published those of a real PPK2, so that these are
made up, 20, 5 and 1 % of the new range's full scale in its first three samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.energy.runs import by_ppk2  # Puts the tests' folder on the path.

from fakes.supply import Errors, Load  # isort: skip

from harness.measure.energy import Energy, Trace, energy_of, find_windows
from harness.meter.ppk2_capture import Settling

LOW_AMPS, BORDER_AMPS, HIGH_AMPS = 1e-3, 5e-3, 9e-3
INVOKES_S = (0.1, 0.01, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5)
PULSES_S = (10e-6, 20e-6, 50e-6, None)
"""How long the higher current lasts; None: half of an invoke."""
SPIKES = (0.2, 0.05, 0.01)
STATED = {"gain_error": 0.0, "offset_amps": 0.0, "resolution_amps": 1e-7, "volts_error": 0.0}


def load_of(invoke_s: float, pulse_s: float) -> Load:
    """Invokes of `invoke_s` with one pulse in each, idle at the lower current."""
    parts = round(invoke_s / pulse_s)
    mean = LOW_AMPS + (HIGH_AMPS - LOW_AMPS) / parts
    return Load(
        idle_amps=LOW_AMPS,
        active_amps=mean,
        inference_s=invoke_s,
        inferences=round(1 / invoke_s),
        windows=1,
        gap_s=0.4,
        first_s=0.4,
        # Relative to what is above idle.
        levels=(*(0.0,) * (parts - 1), float(parts)),
    )


def energy(trace: Trace, load: Load) -> Energy:
    windows = find_windows(trace, count=1, length_s=load.length_s)
    return energy_of(trace, windows=windows, inferences=load.inferences, subtract_idle=False)


def held(trace: Trace) -> Trace:
    """The same with ppk2lab's filter; nothing is lost, so that all is one block."""
    ranges = (trace.amps > BORDER_AMPS).astype(np.uint8)
    return replace(trace, amps=Settling().settled(trace.amps, ranges))


def row(invoke_s: float, pulse_s: float) -> str:
    load = load_of(invoke_s, pulse_s)
    cells = [f"{2 / invoke_s:9.0f}", f"{pulse_s * 1e6:8.0f} us"]
    for spikes in ((), SPIKES):
        trace = by_ppk2(load, Errors(rate_hz=100e3, phase=0.3, spikes=spikes), STATED, 0, True)
        found = energy(trace, load)
        off = [each.gross_j / load.gross_j - 1 for each in (found, energy(held(trace), load))]
        cells += [*(f"{share:9.2%}" for share in off), f"{found.share:9.2%}"]
    return "  ".join(cells)


def main() -> None:
    print("  changes     pulse        ideal: off    held  stated   spikes: off    held   stated")
    for invoke_s in INVOKES_S:
        pulses = {min(invoke_s / 2, pulse_s or invoke_s / 2) for pulse_s in PULSES_S}
        for pulse_s in sorted(pulses):
            print(row(invoke_s, pulse_s), flush=True)


if __name__ == "__main__":
    main()
