"""Rows of energy.csv and currents.csv, made of what a meter and a board said."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.measure.energy import REMEDIES, SAID, Energy, K
from harness.measure.energy_sessions import Point, Pooled, pooled
from harness.measure.tables import (
    FAILED,
    MEASURED,
    RUN,
    SESSION,
    UNKNOWN,
    CurrentRow,
    EnergyRow,
    time_text,
)
from harness.meter.meter import Identity
from harness.rig.opened import OpenBoard
from harness.rig.rows import what_is_open
from harness.text import printable
from harness.version import __version__

if TYPE_CHECKING:
    from harness.link.answers import Window

MOST_REASON = 500
MICRO = 1e6


def blank_energy_row(
    opened: OpenBoard, meter: Identity, *, run: str, commit: str | None, now: datetime
) -> EnergyRow:
    """A row with all that is known of board and meter without a measurement."""
    firmware = opened.firmware
    return EnergyRow(
        run=run,
        time_utc=time_text(now),
        git_commit=commit,
        scope=SESSION,
        session=None,
        session_number=None,
        sessions=None,
        **what_is_open(opened),
        flags=firmware.flags if firmware else None,
        host=platform.node() or None,
        harness_version=__version__,
        meter=meter.kind,
        meter_serial=meter.serial_number,
        meter_firmware=meter.firmware,
        meter_calibrated=None if meter.calibrated is None else meter.calibrated.isoformat(),
        simulated=meter.simulated,
        outcome=FAILED,
        model_in=opened.model_in,
    )


def session_row(
    blank: EnergyRow, energy: Energy, windows: Sequence[Window], *, rate_hz: float | None
) -> EnergyRow:
    """The row of one session with all its figures."""
    one = (energy,)
    row = replace(
        _with_pooled(blank, pooled(one, net=False), pooled(one, net=True), energy.subtract_idle),
        outcome=MEASURED,
        volts=energy.volts,
        rate_hz=rate_hz,
        samples=energy.samples,
        lost=energy.lost,
        mean_ua=energy.mean_amps * MICRO,
        charge_uc=energy.charge_c * MICRO,
        idle_uw=_micro(energy.idle_w),
        idle_u_uw=_micro(energy.idle_u_w),
        range_shares=_range_text([energy]),
        found_by=energy.found_by,
        windows=energy.windows,
        window_s=energy.window_s,
        inferences=energy.inferences,
        invoke_us=_invoke_us(windows),
        simulated=energy.simulated or blank.simulated,
    )
    return row if row.energy_uj is None else replace(row, session_uj=f"{row.energy_uj:.6g}")


def _with_pooled(
    row: EnergyRow, gross: Pooled | None, net: Pooled | None, idle_subtracted: bool
) -> EnergyRow:
    asked = net if idle_subtracted else gross
    return replace(
        row,
        gross_uj=_micro(gross and gross.energy_j),
        gross_u_uj=_micro(gross and gross.u_j),
        net_uj=_micro(net and net.energy_j),
        net_u_uj=_micro(net and net.u_j),
        idle_subtracted=idle_subtracted,
        energy_uj=_micro(asked and asked.energy_j),
        energy_u_uj=_micro(asked and asked.u_j),
        run_u_uj=_micro(asked and asked.u_of_run_j),
    )


def _micro(value: Any) -> float | None:
    return None if value is None else float(value) * MICRO


def _range_text(energies: Sequence[Energy]) -> str | None:
    """Mean shares of the meter's ranges, from the first on; None where one does not tell them."""
    if not all(energy.range_shares for energy in energies):
        return None
    shares = zip_longest(*(energy.range_shares for energy in energies), fillvalue=0.0)
    return " ".join(f"{float(np.mean(each)):.4f}" for each in shares)


def _invoke_us(windows: Sequence[Window]) -> float | None:
    """Mean of the invokes by the board's own counter, the cost of reading it subtracted."""
    invokes = sum(window.invokes for window in windows)
    if not invokes:
        return None
    timer = windows[0].timer
    ticks = sum(window.invoke_ticks for window in windows) - invokes * timer.read_ticks
    return max(0.0, ticks / invokes * MICRO / timer.hz)


def unknown_row(row: EnergyRow, reason: str) -> EnergyRow:
    """A row of which nothing is said, with the figures as far as there are any."""
    return replace(row, outcome=UNKNOWN, reason=printable(reason, MOST_REASON))


def failed_row(row: EnergyRow, reason: str) -> EnergyRow:
    """The row of a meter that failed."""
    return replace(row, outcome=FAILED, reason=printable(reason, MOST_REASON))


def run_row(
    blank: EnergyRow,
    rows: Sequence[EnergyRow],
    energies: Sequence[Energy],
    *,
    net: bool,
    most_share: float,
) -> EnergyRow:
    """The row of a whole run: of the sessions whose energy is known, or why none is.

    Args:
        rows: of the sessions. `energies`: of those whose samples told one.
    """
    told = [row for row in rows if row.samples is not None]
    blank = replace(blank, scope=RUN, session=rows[0].session if rows else None, sessions=len(told))
    if not energies:
        return unknown_row(blank, next((row.reason for row in rows if row.reason), None) or "")
    row = _with_pooled(blank, pooled(energies, net=False), pooled(energies, net=True), net)
    means: dict[str, Any] = {name: _mean(told, name) for name in _MEANS}
    row = replace(
        row,
        outcome=MEASURED,
        simulated=told[0].simulated,
        rate_hz=told[0].rate_hz,
        found_by=told[0].found_by,
        samples=sum(energy.samples for energy in energies),
        lost=sum(energy.lost for energy in energies),
        windows=sum(energy.windows for energy in energies),
        inferences=sum(energy.inferences for energy in energies),
        range_shares=_range_text(energies),
        session_uj=" ".join(row.session_uj for row in told if row.session_uj is not None),
        **means,
    )
    why = uncertain(row, most_share, energies)
    return replace(row, most_share=most_share) if why is None else unknown_row(row, why)


_MEANS = ("volts", "mean_ua", "charge_uc", "idle_uw", "idle_u_uw", "window_s", "invoke_us")


def _mean(rows: Sequence[EnergyRow], name: str) -> float | None:
    values = [getattr(row, name) for row in rows]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


_FROM = ", most of it from "
_DIFFER = "what the sessions differ by"


def remedy_of(reason: str) -> str:
    """What to do about an energy that is too uncertain, by the reason of its row; may be empty."""
    remedies = {SAID[name]: remedy for name, remedy in REMEDIES.items()}
    remedies[_DIFFER] = "More sessions; and let board, supply and meter warm up."
    return remedies.get(reason.rpartition(_FROM)[2], "")


def _cause(row: EnergyRow, energies: Sequence[Energy]) -> str:
    """Where most of the uncertainty of a run comes from, or of a session."""
    parts = [energy.parts for energy in energies]
    own_uj = MICRO * K * sqrt(sum(part.of_run**2 for part in parts)) / len(parts)
    if row.run_u_uj is not None and row.run_u_uj > 1.001 * own_uj:
        return _DIFFER
    squares = {
        name: sum(getattr(part, name) ** 2 for part in parts) for name, _ in parts[0].named_of_run()
    }
    return SAID[max(squares, key=lambda name: squares[name])]


def uncertain(row: EnergyRow, most_share: float, energies: Sequence[Energy]) -> str | None:
    """Why the energy of a row, which is of these sessions, is not known well enough; else None.

    What the meter gets wrong alike in every run is no reason: it is stated, and a limit is held
    against it, but runs with that meter are compared without.
    """
    energy, u = row.energy_uj, row.run_u_uj
    if energy is None or u is None:
        return "there is too little idle to subtract"
    if energy <= 0:
        return f"it is {energy:.3g} uJ, not above 0, give or take {u:.2g}"
    if u > most_share * energy:
        share = 100 * u / energy
        return (
            f"{energy:.4g} uJ, give or take {u:.2g}: that is {share:.2g} %, above {most_share:.2%}"
            f"{_FROM}{_cause(row, energies)}"
        )
    return None


def current_rows(blank: EnergyRow, found: Sequence[Point]) -> list[CurrentRow]:
    """Rows of currents.csv of one window."""
    return [
        CurrentRow(
            run=blank.run,
            board=blank.board,
            runtime=blank.runtime,
            model=blank.model,
            dtype=blank.dtype,
            index=index,
            begin_us=point.begin_s * MICRO,
            low_ua=point.low_a * MICRO,
            mean_ua=point.mean_a * MICRO,
            high_ua=point.high_a * MICRO,
            inside=point.inside,
        )
        for index, point in enumerate(found)
    ]
