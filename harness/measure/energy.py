"""Energy per inference from a meter's samples, with its uncertainty.

The measurand is the energy drawn from the supply per invoke. Of window k with n_k invokes, length
T_k and mean power P_k, all on the meter's clock:

    gross = sum(P_k T_k) / sum(n_k)        net = gross - sum(I_k T_k) / sum(n_k)

where I_k is the idle power around window k. Uncertainties are combined by the law of propagation
(JCGM 100:2008, "GUM", 5.1.2) and expanded with k = 2 (6.2.1). Bounds of a data sheet or of a
resolution count as rectangular (4.3.7), scatter as type A (4.2), both as standard uncertainties in
`Parts` (harness.measure.energy_budget), in joules per inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from harness.errors import CannotTell
from harness.measure.energy_budget import Parts, gross_parts, net_parts
from harness.measure.energy_stretches import Stretches, stretches_of
from harness.measure.energy_trace import FoundBy, Trace, Window
from harness.measure.energy_windows import find_windows

__all__ = [
    "K",
    "CannotTell",
    "Energy",
    "Parts",
    "Trace",
    "Window",
    "energy_of",
    "find_windows",
    "length_needed",
]

K = 2.0
"""Coverage factor: about 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy per inference of some windows.

    Args:
        volts: mean voltage over the windows.
        samples: of the windows. `lost`: missing in them.
        mean_amps: over the windows.
        charge_c: charge per inference, idle included.
        gross_j: energy per inference, idle included. `net_j`: without idle; None without idle.
        idle_w: mean power outside the windows; None if there is too little of it.
        idle_u_w: its expanded uncertainty (k = 2) from scatter, resolution and the instrument.
        subtract_idle: which of the two `energy_j` is.
        gross_parts, net_parts: where their uncertainties come from.
        inferences: of all windows.
        windows: how many. `window_s`: mean length of one.
        found_by: how the windows were found.
        range_shares: of what was drawn in the windows, which share in each of the meter's ranges;
            empty for a meter without ranges, or that does not tell.
        simulated: no instrument has measured it.
    """

    volts: float
    samples: int
    lost: int
    mean_amps: float
    charge_c: float
    gross_j: float
    net_j: float | None
    idle_w: float | None
    idle_u_w: float | None
    subtract_idle: bool
    gross_parts: Parts
    net_parts: Parts | None
    inferences: int
    windows: int
    window_s: float
    found_by: FoundBy
    range_shares: tuple[float, ...] = ()
    simulated: bool = False

    @property
    def energy_j(self) -> float:
        """The energy per inference that was asked for, net or gross."""
        return self.net_j if self.subtract_idle and self.net_j is not None else self.gross_j

    @property
    def parts(self) -> Parts:
        """Those of `energy_j`."""
        net = self.net_parts if self.subtract_idle else None
        return self.gross_parts if net is None else net

    @property
    def uncertainty_j(self) -> float:
        """Expanded uncertainty (k = 2) of `energy_j`."""
        return K * self.parts.total

    @property
    def uncertainty_of_run_j(self) -> float:
        """The same without gain, offset and voltage: for two runs with one meter."""
        return K * self.parts.of_run

    @property
    def share(self) -> float:
        """Uncertainty by energy; infinite where the energy is not above 0."""
        return self.uncertainty_j / self.energy_j if self.energy_j > 0 else float("inf")

    @property
    def share_of_run(self) -> float:
        """The same of `uncertainty_of_run_j`."""
        return self.uncertainty_of_run_j / self.energy_j if self.energy_j > 0 else float("inf")


def energy_of(
    trace: Trace,
    *,
    windows: Sequence[Window],
    inferences: int | Sequence[int],
    subtract_idle: bool,
    most_share: float | None = None,
) -> Energy:
    """Energy per inference, gross and net, and its uncertainty.

    Args:
        windows: of `find_windows`.
        inferences: invokes in each window, or of one after the other.
        subtract_idle: which of the two is asked for; both are kept.
        most_share: largest `share_of_run`; None: any.

    Raises:
        CannotTell: a window has too few samples; `subtract_idle` and there is too little idle; the
            share is above `most_share`: then the error's `found` is the energy all the same.
    """
    found = stretches_of(trace, windows, _counts(windows, inferences))
    gross = gross_parts(trace, found)
    net = net_parts(trace, found, found.idle) if found.idle else None
    energy = _energy(trace, found, gross, net, subtract_idle)
    if subtract_idle and net is None:
        raise CannotTell(
            "there is too little idle before or after the windows", found=energy, hint=_LONGER_IDLE
        )
    _refuse_uncertain(energy, most_share)
    return energy


_LONGER_IDLE = "Leave the board idle for a while before the first window and after the last one."


def _counts(windows: Sequence[Window], inferences: int | Sequence[int]) -> tuple[int, ...]:
    counts = (inferences,) * len(windows) if isinstance(inferences, int) else tuple(inferences)
    if not windows or len(counts) != len(windows) or min(counts) < 1:
        raise ValueError(f"{len(windows)} windows and {len(counts)} counts of inferences")
    return counts


def _energy(
    trace: Trace, found: Stretches, gross: Parts, net: Parts | None, subtract_idle: bool
) -> Energy:
    idle = found.idle
    amps = float(np.average(found.amps, weights=found.lengths))
    gross_j = float(found.watts @ found.lengths) / found.inferences
    return Energy(
        volts=float(np.average(found.volts, weights=found.lengths)),
        samples=sum(len(part) for part in found.samples),
        lost=found.lost,
        mean_amps=amps,
        charge_c=amps * float(found.lengths.sum()) / found.inferences,
        gross_j=gross_j,
        net_j=gross_j - idle.watts_under * found.seconds if idle else None,
        idle_w=idle.watts if idle else None,
        idle_u_w=K * idle.uncertainty if idle else None,
        subtract_idle=subtract_idle,
        gross_parts=gross,
        net_parts=net,
        inferences=found.inferences,
        windows=len(found.lengths),
        window_s=float(found.lengths.mean()),
        found_by=found.found_by,
        range_shares=_range_shares(trace, found.windows),
        simulated=trace.simulated,
    )


def _range_shares(trace: Trace, windows: Sequence[Window]) -> tuple[float, ...]:
    if trace.ranges is None:
        return ()
    drawn = np.zeros(int(trace.ranges.max()) + 1)
    for window in windows:
        part = trace.between(window.start_s, window.end_s)
        drawn += np.bincount(trace.ranges[part], np.abs(trace.amps[part]), len(drawn))
    total = float(drawn.sum())
    return tuple((drawn / total).tolist()) if total > 0 else ()


def _refuse_uncertain(energy: Energy, most_share: float | None) -> None:
    if most_share is None or energy.share_of_run <= most_share:
        return
    name, _ = max(energy.parts.named_of_run(), key=lambda item: item[1])
    raise CannotTell(
        f"its uncertainty is {energy.share_of_run:.0%} of it (k = 2), above {most_share:.0%}, most "
        f"of it from {SAID[name]}"
        if energy.energy_j > 0
        else "it is not above 0",
        found=energy,
        hint=REMEDIES[name],
    )


SAID = {
    "noise": "scatter of the current",
    "edges": "where the windows begin and end",
    "gaps": "lost samples",
    "drift": "drift of the idle power",
    "resolution": "the meter's resolution",
    "ranges": "the meter's changes of range",
    "gain": "the meter's gain error",
    "offset": "the meter's offset",
    "volts": "the voltage",
}
"""The parts of an uncertainty in words."""

REMEDIES = {
    "noise": "Longer windows, or more of them.",
    "edges": "Longer windows, a meter with a higher rate, or its digital channel wired to a pin.",
    "gaps": "Does this machine keep up with the meter? Try another USB port, or a lower rate.",
    "drift": "Let board and meter warm up, and keep the board idle alike before and after.",
    "resolution": "A meter, or a range of it, with a finer resolution.",
    "ranges": "A meter that keeps its range, or a slower one that averages over an invoke.",
    "gain": "Calibrate the meter against a known load, and state its error in the rig file.",
    "offset": "Subtract the idle power, or calibrate the meter's offset and state it.",
    "volts": "Measure the supply, and state its error in the rig file.",
}


def length_needed(energy: Energy, *, share: float, most_s: float = 60.0) -> float:
    """How long a window must be, in seconds, for a `share_of_run` of `share`.

    Scatter falls with the square root of the length and the edges' part with the length; the rest
    stays (JCGM 100:2008, 4.2.3). The number of windows is that of `energy`, and the idle around
    them becomes longer in the same measure.

    Args:
        energy: of a first, short capture.

    Raises:
        CannotTell: no length up to `most_s` reaches it: says which part is in the way.
    """
    parts, limit = energy.parts, share * energy.energy_j / K
    fixed = parts.of_run**2 - parts.noise**2 - parts.edges**2
    spare = limit**2 - fixed
    if energy.energy_j <= 0 or spare <= 0:
        stays = [item for item in parts.named_of_run() if item[0] not in ("noise", "edges")]
        name, part = max(stays, key=lambda item: item[1])
        raise CannotTell(
            f"no window is long enough for {share:.2%}: {SAID[name]} alone is "
            f"{K * part / energy.energy_j:.2%} of the energy (k = 2)"
            if energy.energy_j > 0
            else "no window is long enough: the energy is not above 0",
            found=energy,
            hint=REMEDIES[name],
        )
    # noise^2 x + edges^2 x^2 = spare, where x is the present length by the one that is needed.
    noise, edges = parts.noise**2, parts.edges**2
    if noise == edges == 0:
        return 0.0
    x = 2 * spare / (noise + sqrt(noise**2 + 4 * edges * spare))
    needed = energy.window_s / x
    if needed > most_s:
        raise CannotTell(
            f"for {share:.2%} a window would have to last {needed:.3g} s, above {most_s:g} s",
            found=energy,
            hint=REMEDIES["noise" if noise >= edges else "edges"],
        )
    return needed
