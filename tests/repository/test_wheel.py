"""The wheel, unpacked where no checkout is: the board tests run from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = built.glob("*.whl")
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(installed),
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
    )


def test_the_board_tests_run_from_the_wheel_in_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    done = run(installed, tmp_path, "pytest", "--board", "virtual", "--pyargs", "harness.suite")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {tmp_path}" in done.stdout
    assert "virtual: " in done.stdout and " passed" in done.stdout
    assert (tmp_path / "reports" / "latency.csv").is_file()


def test_the_wheel_has_what_a_rig_needs_and_nothing_of_training(installed: Path) -> None:
    for name in (
        "harness/py.typed",
        "harness/suite/test_on_board.py",
        "harness/board/boards.toml",
        "harness/report/templates/report.html",
        "harness/rig/counting.c",
        "harness/project/platformio.ini",
        "harness/project/firmware/src/main.cpp",
        "harness/project/models/artifacts/sine/manifest.json",
    ):
        assert (installed / name).is_file(), name
    assert not (installed / "models").exists() and not (installed / "tests").exists()
