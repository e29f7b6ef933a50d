"""The working folder of a PlatformIO environment: one build at a time, and what a killed one left.

SCons notes when it ends what it made of which sources. Of what a killed build made it knows
nothing, and takes it for the outcome of the sources that it noted last: the next firmware would
hold parts of another one.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from harness.errors import NOWHERE, Where
from harness.locks import held
from harness.progress import Progress, no_progress

BUILD_WAIT_S = 3600.0
"""How long another build is waited for. One that fetches and compiles a core takes minutes."""

_NOTES_OF_SCONS = ".sconsign"


class WorkFolder:
    """The folder in which one environment is built, with what is compiled already."""

    def __init__(self, folder: Path, env: str) -> None:
        self.folder = folder
        self.built = folder / "pio" / "build" / env
        self._under_way = folder / "under-way"

    def alone(
        self, *, where: Where = NOWHERE, progress: Progress = no_progress
    ) -> AbstractContextManager[int]:
        """Keep other builds out; the descriptor of the lock, for the commands of the build.

        Raises:
            LockBusy: another build took longer than BUILD_WAIT_S.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return held(
            self.folder / "lock",
            f"firmware is being built in {self.folder}",
            timeout_s=BUILD_WAIT_S,
            where=where,
            progress=progress,
        )

    def begin(self) -> None:
        """A build begins. Removes what one that did not end has left, and what it has made."""
        for left in self.folder.glob("model-*"):
            shutil.rmtree(left, ignore_errors=True)
        if self._under_way.exists():
            self._remove_since(self._under_way.stat().st_mtime_ns)
        self._under_way.write_bytes(b"")

    def end(self) -> None:
        """The build has ended in order, whether or not it succeeded."""
        self._under_way.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything that was compiled."""
        shutil.rmtree(self.built, ignore_errors=True)

    def _remove_since(self, time_ns: int) -> None:
        for path in self.built.rglob("*"):
            made = path.is_file() and not path.name.startswith(_NOTES_OF_SCONS)
            if made and path.stat().st_mtime_ns >= time_ns:
                path.unlink()
