"""Finished builds by build id, checked when found; those used least recently are removed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import RigError
from harness.locks import held
from harness.terminal import say

MOST = 200
"""Builds that are kept. One takes half a megabyte, more with TFLM."""

IDLE_S = 86_400.0
"""A build used within this time stays: a process may still read it."""

ELF = "firmware.elf"
INDEX = "firmware.json"
"""Says what the other files hold, by their SHA-256, and what whoever kept them had to note."""

_FILES, _NOTES, _ID = "files", "notes", "build_id"
_UNFINISHED = ".part"


class KeptBuilds:
    """The folders of finished builds; several processes may use them at once.

    Args:
        folder: holds one folder for each build, named by its id.
        clock: seconds since 1970, as the times of files.
    """

    def __init__(
        self, folder: Path, *, most: int = MOST, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._most = most
        self._clock = clock

    def place(self, identity: str) -> Path:
        """Where a build is kept, or is to be."""
        return self._folder / identity

    def find(self, identity: str) -> Path | None:
        """A build's folder, from now on in use; None if there is no such build.

        One whose files are not what was kept is removed, and a line says so.
        """
        place = self.place(identity)
        if not place.is_dir():
            return None
        with self._lock():
            if not (place / INDEX).is_file():
                return None  # Another process may have removed it meanwhile.
            if problem := _problem(place, identity):
                say(f"the firmware kept in {place} is not whole, it is built again: {problem}")
                shutil.rmtree(place)
                return None
            now = self._clock()
            os.utime(place / INDEX, (now, now))
            return place

    def keep(self, identity: str, files: Mapping[str, bytes], notes: object) -> Path:
        """Keep the files of a build, all of them or none, whenever this is killed.

        Args:
            files: contents by name; one is the ELF file, which must contain the build id.
            notes: what JSON can hold, for `notes_of`.

        Raises:
            RigError: they cannot be written.
            ValueError: the ELF file is that of another build.
        """
        if not contains_id(files[ELF], identity):
            raise ValueError(f"not the firmware of build {identity}")
        place = self.place(identity)
        with self._lock():
            making = place.with_name(f".{identity}{_UNFINISHED}")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            index = {
                _ID: identity,
                _FILES: {name: _digest(content) for name, content in files.items()},
                _NOTES: notes,
            }
            for name, content in {**files, INDEX: json.dumps(index, indent=1).encode()}.items():
                _write_durably(making / name, content)
            _sync_folder(making)
            shutil.rmtree(place, ignore_errors=True)
            making.rename(place)
            _sync_folder(self._folder)
        return place

    def prune(self) -> int:
        """Remove builds beyond the number kept, used least recently first; return how many.

        What was left unfinished counts as used when it was written.
        """
        with self._lock():
            builds = sorted(map(_last_use, filter(Path.is_dir, self._folder.iterdir())))
            old = [
                folder
                for used, folder in builds[: max(0, len(builds) - self._most)]
                if used < self._clock() - IDLE_S
            ]
            for folder in old:
                (folder / INDEX).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        what = f"the firmware kept in {self._folder} is looked through"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with held(self._folder / "lock", what):
                yield
        except OSError as error:
            raise RigError(
                f"cannot keep firmware in {self._folder}: {error.strerror or error}",
                hint="Make room, or name another state folder with HIL_STATE_DIR.",
            ) from error


def contains_id(elf: bytes, identity: str) -> bool:
    """Whether an ELF file holds the bytes of a build id, which are in every firmware's data."""
    return bytes.fromhex(identity) in elf


def notes_of(kept: Path) -> Any:
    """What was noted when a build was kept; `kept` is what `find` or `keep` returned."""
    return json.loads((kept / INDEX).read_bytes())[_NOTES]


def _problem(place: Path, identity: str) -> str | None:
    """What is wrong with a kept build; None if all is as it was kept."""
    try:
        index = json.loads((place / INDEX).read_bytes())
        files = dict(index[_FILES])
        if index[_ID] != identity or _NOTES not in index or ELF not in files:
            return f"{INDEX} is not of this build"
        for name, digest in files.items():
            content = (place / name).read_bytes()
            if _digest(content) != digest:
                return f"{name} is not as it was written"
            if name == ELF and not contains_id(content, identity):
                return f"{name} is the firmware of another build"
    except OSError as error:
        return f"{Path(str(error.filename)).name} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{INDEX} is damaged, or of an older version"
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last_use(folder: Path) -> tuple[float, Path]:
    index = folder / INDEX
    return (index if index.is_file() else folder).stat().st_mtime, folder
