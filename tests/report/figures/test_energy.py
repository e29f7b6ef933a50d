"""The panel of energies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from fakes.energies import energy_row
from fakes.measured import rows

from harness.board.registry import load_registry
from harness.measure.csvfile import append
from harness.measure.runs import Run
from harness.measure.tables import CurrentRow, EnergyRow
from harness.report.figures.energy import (
    energy_cells,
    energy_figures,
    metered_of,
    more_of,
    unknown_of,
)
from harness.report.page import write_report
from harness.report.verdicts import Mood, overall

LATENCY = rows("r1", board="nano")


def curve(run: str = "r1", amps: float = 12e3) -> list[CurrentRow]:
    return [
        CurrentRow(
            run=run,
            board="nano",
            runtime="tflm",
            model="sine",
            dtype="int8",
            index=index,
            begin_us=(index - 10) * 1e3,
            low_ua=0.9 * amps,
            mean_ua=amps,
            high_ua=1.1 * amps,
            inside=10 <= index < 90,
        )
        for index in range(100)
    ]


def run_with(*energies: EnergyRow, currents: tuple[CurrentRow, ...] = ()) -> Run:
    return Run(row=LATENCY[-1], sessions=(), energy=energies, currents=currents)


def test_the_last_of_several_measurements_counts_with_its_own_curve() -> None:
    both = (*curve(amps=1.0), *curve(amps=5e3))
    first, second = energy_row(), energy_row((20.0, 20.0, 20.0))
    session = replace(first, scope="session")
    (item,) = metered_of([run_with(session, first, second, currents=both)])
    assert item.row is second and len(item.curve) == 100 and item.curve[0].mean_ua == 5e3
    assert metered_of([run_with(), run_with(session)]) == ()


def test_cells_say_what_is_known_and_what_is_not() -> None:
    (known,) = metered_of([run_with(energy_row(net_uj=8.0, gross_uj=10.0, idle_uw=6600.0))])
    cells = energy_cells(known)
    assert cells[1] == "10 µJ" and "8 µJ" in cells and "6.6 mW" in cells
    assert cells[-1] == "ppk2 D1, calibration not stated"
    failed = energy_row(outcome="meter failed", reason="the meter is gone", energy_uj=None)
    (item,) = metered_of([run_with(failed)])
    assert energy_cells(item)[1] == "meter failed"
    assert "the meter is gone" in energy_figures([item]).says[0]


def test_a_run_that_takes_more_is_bad_and_an_unknown_energy_is_said() -> None:
    items = metered_of(
        [
            run_with(energy_row(baseline_verdict="more", baseline_ratio=1.2)),
            run_with(energy_row(outcome="cannot tell", reason="too noisy")),
        ]
    )
    judged = overall([], more_energy=more_of(items), no_energy=unknown_of(items))
    assert judged.mood is Mood.BAD and "more energy" in judged.headline
    assert any("Energy not known" in point and "cannot tell" in point for point in judged.points)


def test_the_page_has_a_panel_with_the_current_over_one_window(tmp_path: Path) -> None:
    append(tmp_path / "latency.csv", LATENCY)
    of = LATENCY[-1]
    shared = {name: getattr(of, name) for name in ("board", "runtime", "model", "dtype")}
    append(
        tmp_path / "energy.csv",
        [energy_row(run="r1", meter_serial="<b>", simulated=True, **shared)],
    )
    append(tmp_path / "currents.csv", [replace(point, **shared) for point in curve()])
    output = tmp_path / "report.html"
    when = datetime(2026, 11, 22, tzinfo=timezone.utc)
    notes = write_report(
        tmp_path / "latency.csv", output, now=when, artifacts=(), registry=load_registry()
    )
    page = output.read_text()
    assert notes == () and '<h2 id="energy">Energy</h2>' in page
    assert "Current over one window" in page and "current, mA" in page
    assert "no instrument has measured this" in page and "&lt;b&gt;" in page and "<b>" not in page
