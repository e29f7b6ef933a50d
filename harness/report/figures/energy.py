"""Energy: what an inference takes, and the current over one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.energy_gate import MORE
from harness.measure.runs import Run
from harness.measure.tables import FAILED, MEASURED, RUN, CurrentRow, EnergyRow
from harness.report.data import label_of
from harness.report.energy import against_baseline, give_or_take
from harness.report.figure import FigureGroup, Picture
from harness.report.figures.canvas import BLUE, FAINT, SKY, Axes, axes, style, svg
from harness.text import energy_text, power_text

TITLE = "Energy"
HEADINGS = (
    *("model, board, runtime", "energy of an inference", "give or take", "with idle", "without"),
    *("idle power", "supply", "windows", "against baseline", "meter"),
)
_ABSENT = "–"
_SCALES = ((1e3, "mA"), (1.0, "µA"), (1e-3, "nA"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A run with the row of its energy, and the curve of its first window."""

    label: str
    row: EnergyRow
    curve: tuple[CurrentRow, ...]


def metered_of(items: Sequence[Run]) -> tuple[Metered, ...]:
    """Those whose energy was measured, or was to be."""
    found = []
    for item in items:
        whole = [row for row in item.energy if row.scope == RUN]
        if whole:
            found.append(
                Metered(
                    label=label_of(item.subject), row=whole[-1], curve=_last_curve(item.currents)
                )
            )
    return tuple(found)


def _last_curve(rows: Sequence[CurrentRow]) -> tuple[CurrentRow, ...]:
    """A run that was measured several times has several, one after the other."""
    begins = [place for place, row in enumerate(rows) if row.index == 0]
    return tuple(rows[begins[-1] :]) if begins else ()


def energy_cells(item: Metered) -> tuple[str, ...]:
    """The cells under HEADINGS."""
    row = item.row
    energy = _micro(energy_text(row.energy_uj)) if row.outcome == MEASURED else row.outcome
    windows = f"{row.windows} × {row.window_s:.3g} s" if row.windows and row.window_s else _ABSENT
    return (
        item.label,
        energy,
        give_or_take(row) if row.outcome != FAILED else _ABSENT,
        _micro(energy_text(row.gross_uj)),
        _micro(energy_text(row.net_uj)),
        _micro(power_text(row.idle_uw)),
        _ABSENT if row.volts is None else f"{row.volts:.3g} V",
        windows,
        against_baseline(row),
        meter_text(row),
    )


def _micro(text: str) -> str:
    """As the page spells micro, which a terminal need not have."""
    return text.replace(" u", " µ")


def meter_text(row: EnergyRow) -> str:
    """The instrument, and its calibration."""
    name = " ".join(part for part in (row.meter, row.meter_serial) if part)
    if row.simulated:
        return f"{name}: no instrument" if row.meter == "simulated" else f"simulated {name}"
    since = row.meter_calibrated
    return f"{name}, calibrated {since}" if since else f"{name}, calibration not stated"


def energy_figures(items: Sequence[Metered]) -> FigureGroup:
    """The current over one window of each, and what is not known."""
    pictures = [
        current_picture(item, name=f"e{number}")
        for number, item in enumerate(items, 1)
        if item.curve
    ]
    says = [
        f"{item.label}: {item.row.outcome}: {item.row.reason or 'no reason was said'}."
        for item in items
        if item.row.outcome != MEASURED
    ]
    if any(item.row.simulated for item in items):
        says.append("Simulated meters: no instrument has measured this.")
    return FigureGroup(title=TITLE, pictures=tuple(pictures), says=tuple(says))


def more_of(items: Sequence[Metered]) -> list[str]:
    """Those that take more than their baseline."""
    return [item.label for item in items if item.row.baseline_verdict == MORE]


def unknown_of(items: Sequence[Metered]) -> list[str]:
    """Those whose energy is not known, with the reason."""
    return [f"{item.label}, {item.row.outcome}" for item in items if item.row.outcome != MEASURED]


def current_picture(item: Metered, *, name: str) -> Picture:
    """Smallest to largest sample of each stretch as a band, their mean as a line."""
    curve, row = item.curve, item.row
    scale, unit = _scale(max(abs(point.high_ua) for point in curve))
    ms = [point.begin_us / 1e3 for point in curve]
    low, mean, high = (
        [getattr(point, column) / scale for point in curve]
        for column in ("low_ua", "mean_ua", "high_ua")
    )
    inside = [place for place, point in enumerate(curve) if point.inside]
    with style():
        drawn = axes()
        if inside:
            drawn.axvspan(ms[inside[0]], ms[inside[-1]], color=FAINT, alpha=0.12, linewidth=0)
        drawn.fill_between(ms, low, high, color=SKY, alpha=0.55, linewidth=0, step="post")
        drawn.plot(ms, mean, color=BLUE, linewidth=1.1, drawstyle="steps-post")
        _label(drawn, unit)
        picture = svg(drawn, name=name, label=f"Current over one window: {item.label}.")
    caption = (
        f"{item.label}. The window is shaded: mean {_amps(row.mean_ua)}, idle "
        f"{_micro(power_text(row.idle_uw))}. Line: mean; band: smallest to largest sample."
    )
    return Picture(title="Current over one window", caption=caption, svg=picture)


def _scale(most_ua: float) -> tuple[float, str]:
    return next((scale for scale in _SCALES if most_ua >= scale[0]), _SCALES[-1])


def _amps(ua: float | None) -> str:
    if ua is None:
        return _ABSENT
    scale, unit = _scale(abs(ua))
    return f"{ua / scale:.3g} {unit}"


def _label(drawn: Axes, unit: str) -> None:
    drawn.set_xlabel("time since the window began, ms")
    drawn.set_ylabel(f"current, {unit}")
    drawn.set_ylim(bottom=min(0.0, drawn.get_ylim()[0]))
    drawn.margins(x=0)
