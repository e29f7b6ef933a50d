"""Writing files: atomically, and never over what is being read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from harness.errors import WrongUse


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file in one step: readers see the old content or the new, never a part.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file, also by way of links; neither has to exist."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def refuse_foreign(output: Path, option: str, what: str, ours: Callable[[Path], bool]) -> None:
    """Raise WrongUse if a file that is to be written is there already and is none of `ours`.

    Args:
        option: that named it.
        what: it would have to be: `report`.
    """
    if output.is_file() and not ours(output):
        raise WrongUse(
            f"{option} {output}: that file is there already and is no {what}",
            hint="Nothing was changed. Name another file, or remove it.",
        )


def refuse_overwriting(output: Path | None, option: str, inputs: Iterable[Path]) -> None:
    """Raise WrongUse if a file that is to be written is one of those to be read or appended to.

    Args:
        option: that named the output.
    """
    for path in inputs:
        if output is not None and same_file(output, path):
            named = "" if output == path else f", which is {path}"
            raise WrongUse(
                f"{option} {output}{named}: that file is read or appended to, it is not to be "
                "overwritten",
                hint="Nothing was changed. Name another file.",
            )


def tree_digest(root: Path) -> str:
    """Digest of the names and contents of all files below a folder, without Python's byte code."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
