"""What doctor says of distributions; the rest of it is tested through `hil doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.rig.doctor import examine_distributions

OUTSIDE = Path(__file__).parents[1] / "fakes" / "outside"

POINTS = """
[tinyml_hil.boards]
b = broken_acme:BOARDS
[tinyml_hil.runtimes]
broken = broken_acme:RUNTIME
acme-loops = broken_acme:RUNTIME
"""


def test_what_distributions_bring_is_shown_with_their_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(OUTSIDE)
    found = {item.point: (item.ok, item.detail) for item in examine_distributions()}
    assert found == {
        "boards of acme-boards 1.0": (True, "acme-node"),
        "runtime acme-loops of acme-runtimes 2.5": (True, "acme-loops 1.0"),
    }


def test_what_is_broken_is_named_with_its_distribution_and_only_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken_acme-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-acme\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text(POINTS)
    (tmp_path / "broken_acme.py").write_text("raise OSError('no \\x1b[31mdisk')")
    for path in (OUTSIDE, tmp_path):
        monkeypatch.syspath_prepend(path)
    found = {item.point: item for item in examine_distributions()}
    assert found["boards of broken-acme 3.1"].detail == "no \\x1b[31mdisk"
    assert found["runtime broken of broken-acme 3.1"].detail == (
        "cannot be loaded: OSError: no \\x1b[31mdisk"
    )
    for name in ("acme-runtimes 2.5", "broken-acme 3.1"):
        both = found[f"runtime acme-loops of {name}"].detail
        assert both.startswith("the distributions acme-runtimes and broken-acme both have one")
    bad = [item for item in found.values() if not item.ok]
    assert len(bad) == 4 and not any(item.needed for item in bad) and all(i.cure for i in bad)
