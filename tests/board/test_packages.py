from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.board import packages
from harness.board.registry import load_registry
from harness.errors import RigError

OUTSIDE = Path(__file__).parents[1] / "fakes" / "outside"
ROOT = Path(__file__).parents[2]


def distribution(folder: Path, name: str, source: str) -> None:
    """A distribution with an entry point for boards, as pip leaves it in a folder."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tinyml_hil.boards]\nx = {name}:BOARDS\n")
    (folder / f"{name}.py").write_text(source)


def table(**changes: object) -> dict[str, object]:
    made = {"description": "d", "attachment": "serial", "mcu": "m", "clock_hz": 1}
    return {**made, "runtimes": ["aot"], **changes}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_distribution_adds_a_board_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(OUTSIDE)
    registry = load_registry()
    assert registry.ids[-1] == "acme-node" and registry.ids[0] == "virtual"
    assert registry["acme-node"].env == {"aot": "qemu-m4-aot"}


def test_a_distribution_may_give_a_mapping(installed: Path) -> None:
    distribution(installed, "mapped_boards", f"BOARDS = {{'mapped': {table()!r}}}")
    assert load_registry()["mapped"].attachment == "serial"


@pytest.mark.parametrize(
    "name, source, named",
    [
        ("raising", "raise OSError('no \\x1b[31mdisk')", "left out: no \\x1b[31mdisk"),
        ("leaving", "raise SystemExit(3)", "left out: 3"),
        ("lacking", "", "no attribute 'BOARDS'"),
        (
            "numbered",
            "BOARDS = 7",
            "numbered_boards:BOARDS must be a mapping of tables or a file's path",
        ),
        ("absent", "BOARDS = '/nowhere/boards.toml'", "cannot read /nowhere/boards.toml"),
        ("typed", f"BOARDS = {{'t': {table(clock_hz='x')!r}}}", "t.clock_hz must be an integer"),
    ],
)
def test_a_broken_distribution_is_named_and_breaks_no_other(
    name: str, source: str, named: str, installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distribution(installed, f"{name}_boards", source)
    distribution(installed, f"zz_after_{name}", f"BOARDS = {{'after': {table()!r}}}")
    load_registry()
    assert load_registry().ids[-1] == "after"
    said = capsys.readouterr().err
    assert said.count("are left out") == 1, "said once, however often the registry is read"
    assert said.startswith(f"boards of distribution {name}_boards are left out: ")
    assert named in said


def test_a_distribution_that_does_not_end_is_named_and_breaks_no_other(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "LOADING_S", 0.2)
    distribution(installed, "endless_boards", "while True: pass")
    distribution(installed, "zz_after_endless", f"BOARDS = {{'after': {table()!r}}}")
    assert load_registry().ids[-1] == "after"
    said = capsys.readouterr().err
    assert "distribution endless_boards are left out: it took longer than 0.2 s" in said


def test_two_boards_of_one_id_are_refused_naming_both(installed: Path) -> None:
    distribution(installed, "one_boards", f"BOARDS = {{'same': {table()!r}}}")
    distribution(installed, "two_boards", f"BOARDS = {{'same': {table()!r}}}")
    with pytest.raises(RigError, match="board same is in one_boards and in distribution two_board"):
        load_registry()


def test_a_distribution_replaces_no_board_of_ours(installed: Path) -> None:
    distribution(installed, "bold_boards", f"BOARDS = {{'qemu-m4': {table()!r}}}")
    with pytest.raises(RigError, match="qemu-m4 is in boards.toml and in distribution bold_boards"):
        load_registry()


def test_hil_lists_what_distributions_bring() -> None:
    path = os.pathsep.join((str(OUTSIDE), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "boards"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = " ".join(done.stdout.split())
    assert "from acme-boards 1.0: acme-node" in said and done.stderr == ""
    assert "runtime acme-loops, from acme-runtimes 2.5: layers as plain C loops" in said
