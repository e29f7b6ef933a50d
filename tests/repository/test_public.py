"""The public surface: what `harness.__all__` names, lazily, and as type checkers see it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[2]
PUBLIC = """
    Board load_registry Artifact resolve_model open_board OpenBoard RigOptions Dut measure_board
    Plan LatencyRow read_rows Comparison Verdict HilError RigError BoardError
    Detection DetectionSummary Interval detect judge_detections Windows samples_of sliding_windows
    Runtime Question Look Job Step write_model
"""


def seen_by_type_checkers() -> dict[str, str]:
    """Names that the block under TYPE_CHECKING imports, with their modules."""
    tree = ast.parse((ROOT / "harness" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_public_names_are_these_and_sorted() -> None:
    assert harness.__all__ == sorted(PUBLIC.split())


def test_every_public_name_is_what_type_checkers_are_told() -> None:
    told = seen_by_type_checkers()
    assert set(told) == set(harness.__all__)
    for name in harness.__all__:
        assert getattr(harness, name) is getattr(sys.modules[told[name]], name)


def test_dir_lists_public_names_and_an_unknown_one_is_an_attribute_error() -> None:
    assert set(harness.__all__) <= set(dir(harness))
    with pytest.raises(AttributeError, match="no_such_name"):
        harness.__getattr__("no_such_name")


def test_importing_the_package_loads_none_of_it() -> None:
    code = "import sys, harness; print(*(name for name in sys.modules if 'harness' in name))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"harness", "harness.version"}


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "harness" / "py.typed").is_file()
