"""Rows of energy.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.measure.tables import EnergyRow


def energy_row(figures: Sequence[float] = (10.0, 10.02, 9.98), **changes: Any) -> EnergyRow:
    """The row of a run with these microjoules of its sessions, with these fields changed."""
    mean = sum(figures) / len(figures)
    given: dict[str, Any] = {
        "run": "r1",
        "time_utc": "2026-11-21T06:00:00Z",
        "git_commit": None,
        "scope": "run",
        "session": "s0",
        "session_number": None,
        "sessions": len(figures),
        "board": "nano",
        "board_uid": None,
        "port": "/dev/ttyACM0",
        "mcu": "x",
        "clock_hz": 64_000_000,
        "emulated": False,
        "runtime": "tflm",
        "runtime_version": "1",
        "model": "sine",
        "dtype": "int8",
        "model_sha256": "ab",
        "firmware_build": "cd",
        "flags": "-O2",
        "host": None,
        "harness_version": None,
        "meter": "ppk2",
        "meter_serial": "D1",
        "meter_firmware": None,
        "meter_calibrated": None,
        "simulated": False,
        "outcome": "measured",
        "volts": 3.0,
        "samples": 1000,
        "idle_subtracted": False,
        "energy_uj": mean,
        "energy_u_uj": 0.01 * mean,
        "run_u_uj": 0.002 * mean,
        "windows": 3 * len(figures),
        "window_s": 0.5,
        "session_uj": " ".join(f"{figure:.6g}" for figure in figures),
    }
    return EnergyRow(**{**given, **changes})
