"""Programs that tests compile for this machine, each once for all that it is made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from harness.project import find_project

MOST = 20
"""Programs that are kept; those used least recently are removed."""


def host_program(words: Sequence[str], *, folders: Sequence[Path], text: str = "") -> Path:
    """What g++ makes; an error where it warns or fails.

    Args:
        words: flags, and paths of the sources.
        folders: hold all sources, and all headers that are no system's.
        text: more source, on standard input.
    """
    key = hashlib.sha256(repr((_compiler(), list(words), text)).encode())
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if path.suffix in (".c", ".cpp", ".h"):
            key.update(f"\0{path}\0".encode() + path.read_bytes())
    kept = find_project().state / "programs"
    place = kept / key.hexdigest()[:32]
    if not place.exists():
        kept.mkdir(parents=True, exist_ok=True)
        _compile(words, text, place)
        for old in sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
    os.utime(place)
    return place


def _compile(words: Sequence[str], text: str, place: Path) -> None:
    part = place.with_name(f"{place.name}.{os.getpid()}")
    command = ["g++", *words, *(("-x", "c++", "-") if text else ()), "-o", str(part)]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    part.rename(place)


@cache
def _compiler() -> tuple[str, str]:
    """The compiler and the C library, whose headers are in every program."""
    if shutil.which("g++") is None:
        raise RuntimeError("g++ not found. Install it: sudo apt-get install -y g++")
    said = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    return said.stdout, os.confstr("CS_GNU_LIBC_VERSION") or ""
