"""Where the project's sources lie, and the folder for everything built from them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """`root` holds platformio.ini, firmware/ and models/artifacts/; `state` is where builds go."""

    root: Path
    state: Path

    @property
    def artifacts(self) -> Path:
        """Folder of artifact folders."""
        return self.root / "models" / "artifacts"

    @property
    def artifact_roots(self) -> tuple[Path, ...]:
        """All folders of artifact folders: the committed ones, and what was trained here."""
        return self.artifacts, self.state / "artifacts"

    @property
    def firmware(self) -> Path:
        """Firmware sources."""
        return self.root / "firmware"


def find_project() -> Project:
    """The checkout this package lies in, or the copy of its sources inside an installed wheel.

    What is built goes to `.hil/` in a checkout, otherwise to the user's cache folder;
    $HIL_STATE_DIR overrides both. $HIL_PROJECT_DIR names another folder with such sources.
    """
    package = Path(__file__).resolve().parent
    override = os.environ.get("HIL_STATE_DIR")
    named = os.environ.get("HIL_PROJECT_DIR")
    found = (
        (package.parent, package.parent / ".hil"),
        (package / "project", None),
    )
    for root, state in ((Path(named), Path(named) / ".hil"),) if named else found:
        if (root / "platformio.ini").is_file():
            # PlatformIO finds a library by its real path only, and says nothing where it does not.
            return Project(root=root, state=Path(override or state or _cache()).resolve())
    if named:
        raise RigError(f"no platformio.ini in {named}, which HIL_PROJECT_DIR names")
    raise RigError(
        f"no platformio.ini beside or inside {package}",
        hint="Work in a checkout, or install the package again.",
    )


def _cache() -> Path:
    """Folder for what is built, among the user's caches."""
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # As of a container's user that is no user of its system.
        raise RigError(
            "this user has no home folder, where what is built would be kept",
            hint="Name another folder with HIL_STATE_DIR.",
        ) from error
    return Path(caches) / "tinyml-hil"


def git_commit(root: Path) -> str | None:
    """Short hash of the checkout's HEAD, with `-dirty` if files differ; None outside git.

    Only read: `git describe --dirty` would write into the index what it has seen of the files.
    """
    commit = _git(root, "describe", "--always", "--abbrev=12")
    if not commit:
        return None
    changed = _git(root, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
