"""Finished builds by build id, of which those used least recently are removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

MOST = 200
"""Builds that are kept. One takes half a megabyte, more with TFLM."""

IDLE_S = 86_400.0
"""A build used within this time stays: a process may still read it."""

INDEX = "firmware.json"
"""Written last: its presence says that a build is whole."""


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
        """A build's folder, from now on in use; None if there is no such build."""
        index = self.place(identity) / INDEX
        if not index.is_file():
            return None
        with self._lock():
            # Another process may have removed it meanwhile.
            if not index.is_file():
                return None
            now = self._clock()
            os.utime(index, (now, now))
            return index.parent

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

    def _lock(self) -> FileLock:
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / "lock")


def _last_use(folder: Path) -> tuple[float, Path]:
    index = folder / INDEX
    return (index if index.is_file() else folder).stat().st_mtime, folder
