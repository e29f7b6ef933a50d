"""What PlatformIO builds, with which environment variables and in which folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.board.registry import Board
from harness.errors import (
    Where,
)
from harness.firmware.arena import ArenaPlan
from harness.firmware.tflm_library import (
    Library,
    work_name,
)
from harness.model.artifact import Artifact
from harness.project import Project


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A firmware to build. `library` and `arena` are for the `tflm` runtime, else None."""

    board: Board
    runtime: str
    artifact: Artifact
    library: Library | None = None
    arena: ArenaPlan | None = None
    profile: bool = False

    @property
    def env(self) -> str:
        """Name of the environment in platformio.ini."""
        return self.board.env[self.runtime]

    @property
    def work_name(self) -> str:
        """Name of the working folder. PlatformIO wipes a folder when libraries or flags change."""
        name = work_name(self.env, self.library)
        return f"{name}-profile" if self.profile else name

    @property
    def where(self) -> Where:
        """Board and model, for errors."""
        return Where(board=self.board.id, model=self.artifact.name)


def pio_environment(project: Project, work: Path, model_dir: Path) -> dict[str, str]:
    """Environment variables for PlatformIO: all its folders lie in the project's state folder."""
    core_dir = project.state / "platformio"
    return {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(core_dir),
        "PLATFORMIO_WORKSPACE_DIR": str(work / "pio"),
        "PLATFORMIO_BUILD_DIR": str(work / "pio" / "build"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_NO_ANSI": "true",
        "HIL_MODEL_DIR": str(model_dir),
    }


def sync(source: Path, target: Path) -> None:
    """Make `target` equal to `source`; files that are equal already are not touched."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for path in list(target.rglob("*")) if target.is_dir() else []:
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        content = (source / name).read_bytes()
        if not (target / name).is_file() or (target / name).read_bytes() != content:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)
