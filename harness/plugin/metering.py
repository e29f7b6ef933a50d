"""What the fixture `energy` does, and `--hil-energy` at the end of a board's tests."""

from __future__ import annotations

from functools import partial

import pytest

from harness.errors import CannotTell, HilError, Where
from harness.measure.energy_gate import judge_energy
from harness.measure.tables import EnergyRow
from harness.plugin.state import RunState, set_property
from harness.rig.energy import EnergyPlan, refuse_more, refuse_unknown
from harness.rig.metering import NO_METER, hold_energy
from harness.rig.open import OpenBoard
from harness.rig.sessions import new_run

_PROPERTIES = (
    *("energy_uj", "energy_u_uj", "gross_uj", "net_uj", "idle_uw", "charge_uc", "window_s"),
    *("meter", "meter_serial", "simulated"),
)
"""Columns of a run's row that JUnit has of the test as well, as `hil_` and the name."""
_BASELINE = ("baseline_verdict", "baseline_ratio", "baseline_rule")
"""The same as `hil_energy_` and the name: those of latency are called otherwise."""


def measure(
    item: pytest.Item, rig: RunState, board: OpenBoard, *, at_most_uj: float | None = None
) -> EnergyRow:
    """Measure a board's energy in a test; the fixture's docstring says the rest."""
    if at_most_uj is not None and not 0 < at_most_uj < float("inf"):
        raise ValueError(f"at_most_uj is a positive number, not {at_most_uj}")
    assert rig.meter is not None, "the board is open"
    if not rig.meter.present and not rig.options.energy:
        pytest.skip(f"board {board.declared.id} has no meter. {NO_METER}")
    row = _measured(rig, board)
    for name in _PROPERTIES:
        set_property(item, f"hil_{name}", getattr(row, name))
    for name in _BASELINE:
        set_property(item, f"hil_energy_{name}", getattr(row, name))
    limits = {} if at_most_uj is None else {"at_most_uj": at_most_uj}
    _hold(rig, board, row, limits)
    return row


def measure_at_end(rig: RunState, board: OpenBoard) -> HilError | None:
    """The energy that `--hil-energy` asks for, of a board that was measured and whose energy no
    test has; returns what is wrong with it.
    """
    metered, measured = rig.metered, rig.measured
    if not rig.options.energy or measured is None or rig.meter is None:
        return None
    if metered is not None and metered.run == measured.run:
        return None
    try:
        with rig.progress(f"{board.declared.id}: energy"):
            _hold(rig, board, _measured(rig, board), {})
    except HilError as error:
        return error
    return None


def _measured(rig: RunState, board: OpenBoard) -> EnergyRow:
    assert rig.meter is not None, "the board is open"
    latency = rig.measured
    baselines = rig.energy_baselines
    judge = None
    if baselines is not None:
        judge = partial(judge_energy, baselines=baselines, track=rig.options.track)
    plan = EnergyPlan(
        csv=rig.options.csv,
        run=(latency and latency.run) or new_run(),
        sessions=rig.options.sessions,
        net=rig.options.energy_net,
        most_share=rig.options.energy_share,
        commit=rig.commit,
        judge=judge,
    )
    row = rig.meter.measure(board, plan).run
    rig.energies.append(row)
    rig.metered = row
    return row


def _hold(rig: RunState, board: OpenBoard, row: EnergyRow, limits: dict[str, float]) -> None:
    """Raise what is wrong with an energy: unknown, above a limit, or above its baseline."""
    refuse_unknown(row)
    where = Where(board=row.board, port=row.port, model=row.model)
    near = hold_energy(row, {**limits, **rig.energy_limits_for(board)}, where)
    refuse_more(row)
    if near is not None:
        raise CannotTell(near, where=where, hint=_NEAR)


_NEAR = "Longer windows or more sessions make it more certain: --hil-energy-share, --hil-sessions."
