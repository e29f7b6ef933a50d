"""The files of an artifact: their names, how they are written, whether they are up to date."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import io
import json
import os
import tempfile
import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.model.artifact import MANIFEST
from harness.model.goldens import derive
from harness.model.tensor import activate, dequantize, quantize
from models.catalogue import module_name
from models.recipe import Recipe

GOLDENS = "goldens.npz"
HISTORY = "history.json"
COMMITTED_BYTES = 300_000
"""Larger files are not committed: `hil train` makes them."""
IGNORED = ".gitignore"
DEFAULT_OUTPUT = Path(__file__).parent / "artifacts"

# Everything that decides what an artifact contains; the command line and its printing do not.
_PRODUCERS = (
    "models.recipe",
    "models.train",
    "models.convert",
    "models.interpret",
    "models.goldens",
    "models.produce",
)
# Of the harness what computes numbers that are stored. What reads files and runs interpreters is
# not here: tests compare what it gives with what is stored.
_ARITHMETIC = (quantize, dequantize, activate, derive)


def recipe_sha256(recipe: Recipe, *, variant: str, schedule: str, seed: int) -> str:
    """Hash the code and choices an artifact results from, without comments and docstrings."""
    choices = json.dumps([recipe.name, variant, schedule, seed])
    digest = hashlib.sha256(choices.encode())
    modules = sorted({*_with_imports(module_name(recipe)), *_PRODUCERS})
    sources = {name: _source(name) for name in modules}
    sources |= {function.__name__: inspect.getsource(function) for function in _ARITHMETIC}
    for name, source in sources.items():
        digest.update(f"\n{name}\n{_code(source)}".encode())
    return digest.hexdigest()


def file_sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_current(directory: Path, sha256: str) -> bool:
    """Whether the folder's manifest has this recipe hash, and its files have their SHA-256.

    A file too large for git may be absent.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        entries = [*manifest["dtypes"].values(), manifest["goldens"], manifest["history"]]
        return manifest["recipe_sha256"] == sha256 and all(
            _is_whole(directory / entry["file"], entry) for entry in entries
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_whole(path: Path, entry: Mapping[str, Any]) -> bool:
    if entry.get("size_bytes", 0) > COMMITTED_BYTES and not path.exists():
        return True
    expected: str = entry["sha256"]
    return file_sha256(path.read_bytes()) == expected


def write(directory: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write the files, then the manifest; each appears whole or not at all.

    If the writer is killed in between, files and manifest do not match, and `is_current` is False.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n"
    large = sorted(name for name, content in files.items() if len(content) > COMMITTED_BYTES)
    if large:
        listed = "".join(f"/{name}\n" for name in large)
        files = {IGNORED: f"# Too large for git; hil train makes them.\n{listed}".encode(), **files}
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".artifact-") as temporary:
        for name, content in {**files, MANIFEST: text.encode()}.items():
            (Path(temporary) / name).write_bytes(content)
        if not large:
            (directory / IGNORED).unlink(missing_ok=True)
        for name in (*files, MANIFEST):
            os.replace(Path(temporary) / name, directory / name)


def _with_imports(name: str) -> set[str]:
    """The module and those of this package that it imports, and these in turn."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        found.add(current := waiting.pop())
        for node in ast.walk(ast.parse(_source(current))):
            if isinstance(node, ast.ImportFrom) and node.module == "models":
                waiting |= {f"models.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models."):
                waiting.add(str(node.module))
        waiting -= found
    return found


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"no source for {name}")
    return Path(spec.origin).read_text(encoding="utf-8")


def _code(source: str) -> str:
    """Source without comments, docstrings and blank lines, the same on every Python version."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    return "\n".join(line.rstrip() for line in lines if line.strip())
