"""Energies at the end of a run."""

from __future__ import annotations

from dataclasses import replace

from fakes.energies import energy_row

from harness.report.energy import energy_summary

LONG = energy_row(
    board="a-board-with-a-rather-long-name",
    model="a_model_with_a_name_as_long",
    energy_uj=123456.0,
    idle_uw=66123.0,
    baseline_verdict="more",
    baseline_ratio=1.2,
    baseline_rule="ratio 1.2, of 3 sessions against 3: above 1 by more than 2 %, all of it above 1",
    lost=17,
)


def test_a_meter_whose_own_error_is_most_of_it_is_good_for_comparisons() -> None:
    row = energy_row(energy_u_uj=1.2, run_u_uj=0.05, most_share=0.05)
    said = " ".join(energy_summary([row]).split())
    assert "12 % is the meter's own error; between runs with this meter 0.5 % counts" in said
    assert "own error" not in energy_summary([replace(row, energy_u_uj=0.4)])
    # Which meter the other run had is not known then.
    assert "own error" not in energy_summary([replace(row, meter_serial=None)])


def test_a_summary_fits_a_terminal_and_says_what_holds() -> None:
    unknown = energy_row(
        outcome="cannot tell",
        energy_uj=None,
        energy_u_uj=None,
        windows=None,
        reason="the pin\x1b[31m went high never while the board ran 3 windows",
    )
    failed = replace(unknown, outcome="meter failed", reason="the meter is gone")
    net = energy_row(idle_subtracted=True, gross_uj=14.0, idle_uw=6.6e3, simulated=True)
    said = energy_summary([LONG, unknown, failed, net])
    assert max(map(len, said.splitlines())) <= 80
    assert "123.5 mJ" in said and "66.1 mW" in said and "1.200 more" in said and "\x1b" not in said
    flat = " ".join(said.split())
    assert "the meter lost 17 samples in the windows" in flat
    assert "nano, tflm, sine: cannot tell: the pin" in flat
    assert "nano, tflm, sine: meter failed: the meter is gone" in flat
    assert "simulated meters: no instrument has measured this" in flat
    assert "without idle power; with it 14 uJ" in flat
