"""`hil` and energies: what is refused, kept as baselines and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.energies import energy_row
from fakes.measured import rows

from harness.cli import main
from harness.measure.csvfile import append


def kept(folder: Path, run: str, *figures: float, **changes) -> Path:
    """A latency.csv with a run, and energy.csv beside it."""
    csv = folder / "latency.csv"
    made = rows(run, [100.0, 100.1, 99.9], **{"board": "nano", "emulated": False})
    append(csv, made)
    first = made[-1]
    same = ("board", "runtime", "model", "dtype", "model_sha256")
    shared = {name: getattr(first, name) for name in same}
    append(folder / "energy.csv", [energy_row(figures, run=run, **{**shared, **changes})])
    return csv


def test_without_a_meter_no_energy_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--board", "virtual", "--energy"]) == 2
    said = capsys.readouterr().err
    assert "--energy: no meter is known for virtual" in said and "docs/energy.md" in said


def test_a_share_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--board", "virtual", "--energy", "--energy-share", "5"]) == 2
    assert "--energy-share takes a share between 0 and 1" in capsys.readouterr().err


def test_energies_are_saved_beside_the_baselines(tmp_path: Path, capsys) -> None:
    csv = kept(tmp_path, "r1", 10.0, 10.02, 9.98)
    target = tmp_path / "base" / "baselines.csv"
    assert main(["baseline", "save", "--csv", str(csv), "--baseline", str(target)]) == 0
    assert f"in {target} and {target.with_name('baselines.energy.csv')}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("figures", "status", "said"),
    [((12.0, 12.02, 11.98), 12, "more"), ((10.0, 10.01, 9.99), 0, "same")],
)
def test_two_folders_are_compared_by_energy_too(
    tmp_path: Path, capsys, figures, status: int, said: str
) -> None:
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
    kept(tmp_path / "a", "r1", 10.0, 10.02, 9.98)
    kept(tmp_path / "b", "r2", *figures)
    sides = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["compare", *sides, "--energy", "--gate"]) == status
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 80
    assert f"{figures[0]:g} uJ" in table and said in table
    assert main(["compare", *sides, "--energy", "--format", "markdown"]) == 0
    assert f"Energy: 1 {said}" in capsys.readouterr().out
    assert main(["compare", *sides, "--energy", "--json"]) == 0
    assert '"unit": "uJ"' in capsys.readouterr().out


def test_a_side_without_energy_is_no_comparison(tmp_path: Path, capsys) -> None:
    csv = kept(tmp_path, "r1", 10.0, 10.02, 9.98)
    (tmp_path / "energy.csv").unlink()
    assert main(["compare", str(csv), str(csv), "--energy"]) == 2
    assert "has no energy of its runs" in capsys.readouterr().err
