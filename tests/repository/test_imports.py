"""Imports go leftwards only: errors <- core <- edges <- runner <- attach <- rig <- plugin, cli."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = """
    artifact board clockcheck compare csvfile difference faults fit footprint gate grouped junit
    latency limits mlperf operators outcome owners pictures profile progress protocol report
    rigfile summary support tally tensor udev verdicts virtual
"""
EDGES = """
    arena baseline build buildlog canvas codegen codegen_aot codegen_tflm console emulator ending
    evidence exhibits featuremaps files flash layers library link lock memory page plots ports
    project ptyboard reference toolchain training versus
"""
LAYERS = (
    {"errors"},
    set(CORE.split()),
    set(EDGES.split()),
    {"runner"},
    {"recovery", "seat", "attach"},
    {"rig"},
    {"rows"},
    {"record", "profiling"},
    {"session", "schedule"},
    {"doctor", "rigcheck"},
    {"reporting", "cli_profile", "cli_baseline", "cli_report", "cli_models", "cli_rig"},
    {"plugin", "cli"},
)
OUTSIDE_CORE = {"serial", "subprocess", "time", "pytest", "tensorflow"}


def imports(path: Path) -> Iterator[str]:
    """Full names of everything a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def modules(package: str) -> dict[str, list[str]]:
    files = (ROOT / package).glob("*.py")
    return {path.stem: list(imports(path)) for path in files}


HARNESS = modules("harness")
INSIDE = {
    name: {full.split(".")[1] for full in used if full.startswith("harness.")} & set(HARNESS)
    for name, used in HARNESS.items()
}


def layer(module: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if module in names)


def test_every_module_has_its_layer() -> None:
    assert set(HARNESS) - {"__init__", "__main__"} == set().union(*LAYERS)


@pytest.mark.parametrize("module", sorted(set().union(*LAYERS)))
def test_module_imports_leftwards_only(module: str) -> None:
    assert {name for name in INSIDE[module] if layer(name) > layer(module)} == set()


def test_no_import_is_circular() -> None:
    assert set(TopologicalSorter(INSIDE).static_order()) == set(HARNESS)


@pytest.mark.parametrize("module", sorted(LAYERS[0] | LAYERS[1]))
def test_core_has_no_wire_no_process_and_no_clock(module: str) -> None:
    assert {full.split(".")[0] for full in HARNESS[module]} & OUTSIDE_CORE == set()


def test_harness_and_models_know_nothing_of_each_other() -> None:
    for package, barred in (
        ("harness", {"models", "tensorflow", "keras"}),
        ("models", {"harness"}),
    ):
        for module, used in modules(package).items():
            assert {full.split(".")[0] for full in used} & barred == set(), f"{package}.{module}"


def test_only_the_plugin_and_its_parts_know_pytest() -> None:
    using = {name for name, used in HARNESS.items() if any(f.startswith("pytest") for f in used)}
    assert using <= {"plugin", "reporting", "schedule", "session"}


def test_rig_and_runner_load_neither_tensorflow_nor_pandas() -> None:
    code = "import sys, harness.rig, harness.runner; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "harness" in loaded and loaded & {"tensorflow", "keras", "pandas"} == set()


def test_command_line_and_plugin_load_no_drawing_before_a_report_is_asked_for() -> None:
    code = "import sys, harness.cli, harness.plugin, harness.page; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "harness" in loaded and loaded & {"matplotlib", "jinja2", "scipy"} == set()
