"""Imports go one way: a package of the harness imports only those to its left."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "model",
    "measure",
    "link",
    "board",
    "sim",
    "meter",
    "pool",
    "firmware",
    "rig",
    "report",
    "bisect",
    "plugin",
    "cli",
    "ci",
)
"""In the order in which they may import; the single files of harness/ come before all."""

BARRED = {
    # Boards are data and ports; a report can be made where no rig is; two front ends of one rig.
    "board": {"model", "measure", "link"},
    # A simulated chip knows nothing of what its firmware is for.
    "sim": {"model", "measure", "link", "board"},
    # An instrument and a shared board know nothing of models and their firmware.
    "meter": {"model", "link", "sim"},
    "pool": {"model", "measure", "link", "sim", "meter"},
    "report": {"link", "meter", "pool", "firmware", "rig"},
    "cli": {"plugin"},
    # It starts `hil` as a program, of the checkout that it measures.
    "ci": {"plugin", "cli", "link", "board", "sim", "firmware", "rig"},
}
EDGES = {"serial", "subprocess", "time", "pytest", "tensorflow"}
"""What computes knows no wire, no process, no clock and no test runner."""


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full names of everything a file imports, also inside functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def packages_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("harness.")}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_leftwards_only(package: str) -> None:
    barred = set(PACKAGES[PACKAGES.index(package) + 1 :]) | BARRED.get(package, set())
    for path in files(f"harness/{package}"):
        assert packages_imported(path) & barred == set(), path


def test_single_files_import_no_package() -> None:
    for path in (ROOT / "harness").glob("*.py"):
        if path.name != "__init__.py":
            assert packages_imported(path) & set(PACKAGES) == set(), path


def test_the_public_surface_is_for_users_and_nothing_of_the_harness_imports_it() -> None:
    public = {f"harness.{name}" for name in harness.__all__}
    for package in PACKAGES:
        for path in files(f"harness/{package}"):
            assert {*imports(path)} & {*public, "harness"} == set(), path


@pytest.mark.parametrize("package", ("model", "measure"))
def test_what_computes_has_no_wire_no_process_and_no_clock(package: str) -> None:
    for path in files(f"harness/{package}"):
        assert {name.split(".")[0] for name in imports(path)} & EDGES == set(), path


def test_the_harness_imports_neither_models_nor_tensorflow() -> None:
    for path in files("harness"):
        used = {name.split(".")[0] for name in imports(path)}
        assert used & {"models", "tensorflow", "keras"} == set(), path


def test_models_import_of_the_harness_its_model_package_only() -> None:
    for path in files("models"):
        assert packages_imported(path) <= {"model", "errors"}, path


def test_only_the_plugin_and_the_board_tests_know_pytest() -> None:
    using = {
        path.relative_to(ROOT / "harness").parts[0]
        for path in files("harness")
        if any(name.split(".")[0] in ("pytest", "_pytest") for name in imports(path))
    }
    assert using == {"plugin", "suite"}


def loaded_by(code: str, folder: Path = ROOT) -> set[str]:
    """Top-level names that a fresh interpreter has loaded after running this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('loaded', *sys.modules)"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "harness" in loaded
    return loaded


BOARD_RUNS = {
    "open": "import harness.rig.open, harness.link.dut",
    "pytest": "import pytest; assert pytest.main(['-p', 'harness.plugin', '--board=virtual']) == 0",
    "infer": "from harness.cli import main; assert main(['infer', '1', '--board', 'virtual']) == 0",
    "bench": "from harness.cli import main; assert main(['bench', '--board', 'virtual']) == 0",
}


@pytest.mark.parametrize("run", BOARD_RUNS)
def test_a_board_run_loads_neither_tensorflow_nor_pandas_nor_a_meter(
    run: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(latency): assert latency(n=10).n == 10\n")
    loaded = loaded_by(BOARD_RUNS[run], tmp_path)
    assert loaded & {"tensorflow", "keras", "pandas", "matplotlib"} == set()
    assert loaded & {"ppk2lab", "pyjoulescope_driver"} == set()


def test_command_line_and_plugin_load_no_drawing_before_a_report_is_asked_for() -> None:
    loaded = loaded_by("import harness.cli, harness.plugin, harness.report.page")
    assert loaded & {"matplotlib", "jinja2", "scipy", "PIL"} == set()
