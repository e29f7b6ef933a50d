"""A model's folder: its manifest and the files it names, read as if a stranger wrote them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError, TensorError, Where
from harness.model.arrays import read_npz
from harness.model.subgraphs import MOST_BYTES
from harness.text import printable

MANIFEST = "manifest.json"
SCHEMA = 2

MOST_MANIFEST = 1 << 20
"""Bytes of a manifest; those of recipes have 5 KB."""

MOST_HISTORY = 1 << 24
MOST_GOLDENS = 1 << 28
"""Bytes of a file of goldens, and of the arrays that are unpacked of it."""

DAMAGED = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError),
    *(MemoryError, zipfile.BadZipFile, TensorError),
)
"""What reading a manifest of wrong types and absurd numbers raises, wherever these come up."""


MOST_NAME = 255
"""Bytes of a file's name: NAME_MAX of Linux."""


def read_file(path: Path, most: int, where: Where, hint: str = "") -> bytes:
    """The bytes of a regular file.

    Raises:
        ModelError: it cannot be read, is something else, such as a pipe, or has more than `most`
            bytes, of which no more are read.
    """
    try:
        # A pipe that nobody writes to would be waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ModelError(f"cannot read {path}: it is not a file", where=where)
            # Room for what is asked for is taken before anything is read.
            content = file.read(min(most, found.st_size) + 1)
    except IsADirectoryError as error:
        raise ModelError(f"cannot read {path}: it is not a file", where=where) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or printable(str(error))
        raise ModelError(f"cannot read {path}: {said}", where=where, hint=hint) from error
    if len(content) > most:
        raise ModelError(f"{path} is larger than {most} bytes", where=where)
    return content


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """A folder's manifest.

    Raises:
        ModelError: absent, too large, not JSON, or of another schema.
    """
    path = folder / MANIFEST
    where = Where(model=folder.name)
    content = read_file(path, MOST_MANIFEST, where)
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ModelError(f"{path} is not JSON: {said}", where=where) from error
    if not isinstance(manifest, dict):
        raise ModelError(f"{path} is not a JSON object", where=where)
    if manifest.get("schema") != SCHEMA:
        schema = printable(repr(manifest.get("schema")), 40)
        raise ModelError(f"{path} has schema {schema}, this harness reads {SCHEMA}", where=where)
    return manifest


def beside(folder: Path, name: Any, where: Where) -> Path:
    """The file of a folder that its manifest names; it need not be there.

    Raises:
        ModelError: the name is none of a file in this folder, or the file is a link out of it.
    """
    plain = isinstance(name, str) and name == os.path.basename(name) and name.isprintable()
    if not plain or name in ("", ".", "..") or len(os.fsencode(name)) > MOST_NAME:
        shown = printable(str(name), 80)
        raise ModelError(f"the manifest in {folder} names {shown!r}, no file in it", where=where)
    path: Path = folder / name
    if path.is_symlink() and path.resolve().parent != folder.resolve():
        raise ModelError(f"{path} is a link to a file outside of its folder", where=where)
    return path


def checked_file(
    folder: Path, table: Mapping[str, Any], most: int, where: Where, hint: str = ""
) -> bytes:
    """The file that a table of the manifest names, which has the SHA-256 that it says.

    Raises:
        ModelError: as `read_file` and `beside`, or it is another file.
    """
    path = beside(folder, table["file"], where)
    content = read_file(path, most, where, hint)
    actual, said = hashlib.sha256(content).hexdigest(), table["sha256"]
    if actual != said:
        raise ModelError(
            f"{path} is not the file its manifest describes: its SHA-256 is {actual[:12]}, "
            f"the manifest says {printable(str(said), 12)}",
            where=where,
            hint="Restore both from git, or train the model again: hil train NAME",
        )
    return content


def model_file(folder: Path, table: Mapping[str, Any], where: Where) -> bytes:
    """The model file of a table of the manifest: see `checked_file`."""
    hint = f"Large files are not in git. Make them: hil train {where.model}"
    return checked_file(folder, table, MOST_BYTES, where, hint)


def golden_arrays(
    folder: Path, table: Mapping[str, Any], where: Where
) -> Mapping[str, NDArray[Any]]:
    """The arrays of the file of goldens, none of which is unpacked before all sizes are known.

    Raises:
        ModelError: as `checked_file`, or its arrays are no numbers, or too large.
    """
    checked_file(folder, table, MOST_GOLDENS, where)
    path = beside(folder, table["file"], where)
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_GOLDENS:
        raise ModelError(
            f"{path} unpacks to {size} bytes; {MOST_GOLDENS} at most are read", where=where
        )
    arrays = read_npz(path).arrays
    held = {name: array.rows(0, len(array)) for name, array in arrays.items()}
    if any(array.dtype.kind not in "biuf" for array in held.values()):
        raise ModelError(f"{path} holds arrays that are no numbers", where=where)
    return {name: np.asarray(array) for name, array in held.items()}
