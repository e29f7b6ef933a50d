"""Byte code of the harness that each step has of its own, and of the packages that they share.

Python knows byte code by the time and size of its source, and two commits can agree in both: that
of a commit's harness is kept by the id of its tree. Packages are the same for all steps, so that
only the harness is compiled where a commit changes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.bisect.run import prune
from harness.errors import RigError

MOST = 20
"""Versions of the harness whose byte code is kept; one takes about 3 MB."""

_SHARED, _OF_TREES = "bytecode", "bytecode-of-trees"


def bytecode_environment(state: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment by which Python keeps byte code in the state folder of the steps.

    Also where the user wants none written: without it every step compiles all packages anew.
    """
    made = {**environment, "PYTHONPYCACHEPREFIX": str(state / _SHARED)}
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    return made


def use_bytecode(state: Path, tree: Path, harness_tree: str) -> None:
    """Let the byte code of what lies in `tree` be that of a version of the harness.

    Args:
        harness_tree: id of the tree that the harness is in.

    Raises:
        RigError: byte code of another version is there and cannot be taken away.
    """
    link = state / _SHARED / tree.relative_to(tree.anchor)
    kept = state / _OF_TREES / harness_tree
    try:
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            shutil.rmtree(link)
    except OSError as error:
        raise RigError(f"cannot remove byte code in {link}: {error.strerror or error}") from error
    with suppress(OSError):  # Then Python makes a folder there, or on a full disk writes nothing.
        kept.mkdir(parents=True, exist_ok=True)
        kept.touch()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept.resolve())


def prune_bytecode(state: Path) -> None:
    """Remove the byte code of versions that have not been used for longest."""
    prune(state / _OF_TREES, MOST)
