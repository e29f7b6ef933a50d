"""Byte code of two versions of a harness that Python cannot tell apart."""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from harness.bisect.bytecode import bytecode_environment, prune_bytecode, use_bytecode


def value_of(module: Path) -> int:
    """What a module says, by its byte code where that is up to date in Python's eyes."""
    code = SourceFileLoader("module", str(module)).get_code("module")
    names: dict[str, int] = {}
    exec(code, names)
    return names["VALUE"]


def test_byte_code_is_that_of_the_version_and_packages_share_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, tree = tmp_path / "state", tmp_path / "tree"
    tree.mkdir()
    module, package = tree / "module.py", tmp_path / "package.py"
    package.write_text("VALUE = 7\n")
    made = bytecode_environment(state, {"A": "b", "PYTHONDONTWRITEBYTECODE": "1"})
    assert "PYTHONDONTWRITEBYTECODE" not in made and made["A"] == "b"
    monkeypatch.setattr(sys, "pycache_prefix", made["PYTHONPYCACHEPREFIX"])
    for version in (1, 2, 1):
        module.write_text(f"VALUE = {version}\n")
        os.utime(module, (1e9, 1e9))
        use_bytecode(state, tree, f"version{version}")
        assert value_of(module) == version
        assert value_of(package) == 7
    compiled = [path for path in state.rglob("*.pyc") if "module" in path.name]
    assert len(compiled) == 2
    # Python itself made the folder where the link could not be made.
    link = state / "bytecode" / tree.relative_to("/")
    link.unlink()
    link.mkdir()
    assert value_of(module) == 1
    module.write_text("VALUE = 3\n")
    os.utime(module, (1e9, 1e9))
    assert value_of(module) == 1
    use_bytecode(state, tree, "version3")
    assert value_of(module) == 3


def test_versions_that_were_used_long_ago_are_removed(tmp_path: Path) -> None:
    for number in range(23):
        use_bytecode(tmp_path, Path("/tree"), f"version{number}")
        os.utime(tmp_path / "bytecode-of-trees" / f"version{number}", (number, number))
    use_bytecode(tmp_path, Path("/tree"), "version1")
    prune_bytecode(tmp_path)
    left = {path.name for path in (tmp_path / "bytecode-of-trees").iterdir()}
    assert left == {"version1", *(f"version{number}" for number in range(4, 23))}
