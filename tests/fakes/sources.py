"""Copies of the firmware's sources, to be changed by a test."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.project import Project, find_project


def copied_sources(folder: Path) -> Project:
    """A copy with a state folder of its own: whatever is asked for is built."""
    project = find_project()
    shutil.copytree(project.firmware, folder / "firmware")
    shutil.copy(project.root / "platformio.ini", folder)
    return Project(root=folder, state=folder / "state")


def changed_sources(folder: Path, source: str, old: str, new: str) -> Project:
    """A copy that differs in one place, and shares finished builds with the tests of other runs.

    They are found by all that they are built of: the same change is built once on a machine. For
    tests of what firmware does, not of how it is built.

    Args:
        source: path of the file that differs.
        old: text that is in it once.
    """
    copy = copied_sources(folder)
    text = (folder / source).read_text()
    assert text.count(old) == 1, (source, old)
    (folder / source).write_text(text.replace(old, new))
    kept = find_project().state / "firmware"
    kept.mkdir(parents=True, exist_ok=True)
    copy.state.mkdir()
    (copy.state / "firmware").symlink_to(kept.absolute())
    return copy


def lend_packages(copy: Project) -> None:
    """Let a copy use what PlatformIO has fetched for this project: it fetches nothing itself."""
    for kind in ("platforms", "packages"):
        theirs = copy.state / "platformio" / kind
        theirs.mkdir(parents=True, exist_ok=True)
        for fetched in (find_project().state / "platformio" / kind).glob("*/"):
            (theirs / fetched.name).symlink_to(fetched.absolute())
