"""Energies at the end of a run, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.measure.energy_gate import LESS, MORE
from harness.measure.tables import FAILED, MEASURED, EnergyRow
from harness.model.artifact import DEFAULT_DTYPE
from harness.text import TableEntry, energy_text, grouped_table, power_text, printable, wrapped

_HEADINGS = ("energy", "give or\ntake", "idle", "windows", "against\nbaseline")
_ABSENT = "-"
_EXPLAINED = (MORE, "cannot tell")


def energy_summary(rows: Sequence[EnergyRow]) -> str:
    """A table of the rows of whole runs, with notes below it; at most 80 columns."""
    entries = [
        TableEntry(group=f"{row.board}, {row.runtime}", name=_model(row), figures=_figures(row))
        for row in rows
    ]
    notes = [piece for note in _notes(rows) for piece in wrapped(note)]
    return "\n".join([*grouped_table(_HEADINGS, entries), *notes])


def _model(row: EnergyRow) -> str:
    return row.model if row.dtype == DEFAULT_DTYPE else f"{row.model}_{row.dtype}"


def _figures(row: EnergyRow) -> tuple[str, ...]:
    return (
        energy_text(row.energy_uj) if row.outcome != FAILED else FAILED,
        give_or_take(row),
        power_text(row.idle_uw),
        _ABSENT if not row.windows else f"{row.windows} x {row.window_s:.2g} s",
        against_baseline(row),
    )


def give_or_take(row: EnergyRow) -> str:
    """The uncertainty as a share of the energy."""
    return _share_text(row.energy_u_uj, row.energy_uj)


def _share_text(uncertainty: float | None, energy: float | None) -> str:
    if uncertainty is None or not energy or energy <= 0:
        return _ABSENT
    return f"{100 * uncertainty / energy:.2g} %"


def _is_relative(row: EnergyRow) -> bool:
    """Whether runs with this meter tell more than its figure by itself does."""
    energy, u, most = row.energy_uj, row.energy_u_uj, row.most_share
    if energy is None or u is None or most is None or row.run_u_uj is None:
        return False
    return bool(row.meter_serial) and u > most * energy


def against_baseline(row: EnergyRow) -> str:
    """The verdict, with the ratio where that says more."""
    if row.baseline_verdict in (MORE, LESS) and row.baseline_ratio is not None:
        return f"{row.baseline_ratio:.3f} {row.baseline_verdict}"
    return row.baseline_verdict or _ABSENT


def _notes(rows: Sequence[EnergyRow]) -> Iterator[str]:
    if any(row.simulated for row in rows):
        yield "simulated meters: no instrument has measured this"
    if any(row.emulated and not row.simulated for row in rows):
        yield "emulated boards: what the meter saw is not of the board's CPU"
    for row in rows:
        name = f"{row.board}, {row.runtime}, {_model(row)}"
        if row.outcome != MEASURED:
            yield f"{name}: {row.outcome}: {printable(row.reason or 'no reason was said')}"
        if row.idle_subtracted and row.outcome == MEASURED:
            yield f"{name}: without idle power; with it {energy_text(row.gross_uj)}"
        if row.outcome == MEASURED and _is_relative(row):
            yield (
                f"{name}: {give_or_take(row)} is the meter's own error; between runs with this "
                f"meter {_share_text(row.run_u_uj, row.energy_uj)} counts"
            )
        if row.lost:
            yield f"{name}: the meter lost {row.lost} samples in the windows"
        if row.baseline_verdict in _EXPLAINED:
            yield f"{name}: {against_baseline(row)}: {row.baseline_rule or 'no rule was said'}"
